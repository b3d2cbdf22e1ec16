/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The ports of fragments: only the first of a datagram has them, so they are kept for the others. */
#pragma once
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <pure/packet.h>
#include "table.h"

struct flow_datagram {
    __u8 src[16];
    __u8 dst[16];
    __u32 netns;
    __u32 id;
    __u8 protocol;
    __u8 _pad[7];
};

struct flow_ports {
    __u16 src;
    __u16 dst;
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 5000);
    __type(key, struct flow_datagram);
    __type(value, struct flow_ports);
} flow_fragments SEC(".maps");

/* Keeps the ports of a first fragment, gives them to a later one. */
static __always_inline void fragment_ports(struct packet *p, __u32 netns)
{
    struct flow_datagram datagram = { .netns = netns, .id = p->fragment_id, .protocol = p->protocol };
    struct flow_ports ports = { .src = p->src_port, .dst = p->dst_port };
    struct flow_ports *known;

    __builtin_memcpy(datagram.src, p->src, sizeof(datagram.src));
    __builtin_memcpy(datagram.dst, p->dst, sizeof(datagram.dst));
    if (p->fragment == PACKET_FIRST) {
        bpf_map_update_elem(&flow_fragments, &datagram, &ports, BPF_ANY);
        return;
    }
    known = bpf_map_lookup_elem(&flow_fragments, &datagram);
    if (!known) {
        total(FLOW_STRAY_FRAGMENTS, 1);
        return;
    }
    p->src_port = known->src;
    p->dst_port = known->dst;
}
