/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Where packets are counted.
 *
 * Two tables take turns. User space puts the other one into flow_now; when that call returns no program uses
 * the first any more (the kernel waits for that: 1ae80cf31938), and it can be emptied without losing a packet.
 */
#pragma once
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <lib/ring.h>
#include "wire.h"

/* Bytes of flow_events at which the reader is woken instead of waiting for its timer. */
#define FLOW_HIGH_WATER (256 * 1024)

struct flow_table {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 5000);
    __type(key, struct flow_key);
    __type(value, struct flow_count);
};

struct flow_table flow_even SEC(".maps");
struct flow_table flow_odd SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 1);
    __type(key, __u32);
    __array(values, struct flow_table);
} flow_now SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1024 * 1024);
} flow_events SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, FLOW_TOTALS);
    __type(key, __u32);
    __type(value, __u64);
} flow_totals SEC(".maps");

static __always_inline void total(__u32 what, __u64 n)
{
    __u64 *sum = bpf_map_lookup_elem(&flow_totals, &what);

    if (sum)
        *sum += n;
}

static __always_inline void count_packets(struct flow_count *to, const struct flow_count *more)
{
    to->packets += more->packets;
    to->bytes += more->bytes;
    if (!to->first_ns)
        to->first_ns = more->first_ns;
    to->last_ns = more->last_ns;
    to->resets += more->resets;
    to->zero_windows += more->zero_windows;
    to->tcp_flags |= more->tcp_flags;
    if (more->vlan)
        to->vlan = more->vlan;
    if (more->initiator)
        to->initiator = more->initiator;
}

/* Sends the packet by itself; false when the ring is full. */
static __always_inline bool tell_packet(const struct flow_key *key, const struct flow_count *packet)
{
    struct flow_record *r = bpf_ringbuf_reserve(&flow_events, sizeof(*r), 0);

    if (!r)
        return false;
    r->key = *key;
    r->count = *packet;
    bpf_ringbuf_submit(r, ring_wake(&flow_events, FLOW_HIGH_WATER));
    return true;
}

/* Adds to an entry of the table; false when there is none. */
static __always_inline bool add_packet(void *table, const struct flow_key *key, const struct flow_count *packet)
{
    struct flow_count *entry = bpf_map_lookup_elem(table, key);

    if (!entry)
        return false;
    count_packets(entry, packet);
    return true;
}

/* Counts a packet whose flow is not in the table: there if it has room, otherwise by the ring. */
static __always_inline void new_packet(void *table, const struct flow_key *key, struct flow_count *packet, bool first)
{
    long error;

    if (first && tell_packet(key, packet)) {
        struct flow_count none = { .initiator = packet->initiator };

        /* Already counted. Without room in the table the next packet comes here again. */
        bpf_map_update_elem(table, key, &none, BPF_NOEXIST);
        return;
    }
    error = bpf_map_update_elem(table, key, packet, BPF_NOEXIST);
    if (!error || add_packet(table, key, packet))
        return; /* another processor may have been faster */
    total(FLOW_OVERFLOW, packet->packets);
    if (tell_packet(key, packet))
        return;
    total(FLOW_LOST_PACKETS, packet->packets);
    total(FLOW_LOST_BYTES, packet->bytes);
}
