/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What becomes of one packet, whichever way the kernel shows it to us. */
#pragma once
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <pure/packet.h>
#include "dns.h"
#include "fragment.h"
#include "pair.h"
#include "table.h"
#include "wire.h"

/* Bytes that are looked at first: Ethernet, IPv6 and TCP without options. */
#define FLOW_GLANCE 74
/* An IPv4 header without anything else. */
#define FLOW_LEAST 20

const volatile struct flow_config flow_config SEC(".rodata.config") = {};

struct flow_scratch {
    __u8 bytes[PACKET_WINDOW + PACKET_SLACK];
    struct packet outer;
    struct packet inner;
};

/* Programs that see packets cannot be interrupted by one another on the same processor. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct flow_scratch);
} flow_scratch SEC(".maps");

/* Reads the first `len` bytes; those in a tunnel, too, when somebody wants them. */
static __noinline int flow_read(struct flow_scratch *s, __u32 len, __u16 type, bool into_tunnel)
{
    enum packet_verdict verdict;

    if (!s)
        return PACKET_BROKEN;
    __builtin_memset(&s->outer, 0, sizeof(s->outer));
    __builtin_memset(&s->inner, 0, sizeof(s->inner));
    verdict = packet_read(s->bytes, len, 0, type, &s->outer);
    if (verdict || !into_tunnel || !s->outer.tunnel)
        return verdict;
    verdict = packet_read(s->bytes, len, s->outer.end, s->outer.tunnel, &s->inner);
    return verdict == PACKET_CUT ? PACKET_CUT : PACKET_WHOLE;
}

/* The packet's headers, from as few bytes as tell them. */
static __always_inline int flow_look(struct __sk_buff *skb, struct flow_scratch *s, __u16 type, bool into_tunnel)
{
    __u32 len = skb->len;
    int verdict = PACKET_CUT;

    if (len >= FLOW_GLANCE) {
        if (bpf_skb_load_bytes(skb, 0, s->bytes, FLOW_GLANCE))
            return PACKET_BROKEN;
        verdict = flow_read(s, FLOW_GLANCE, type, into_tunnel);
    }
    if (verdict != PACKET_CUT)
        return verdict;
    if (len > PACKET_WINDOW)
        len = PACKET_WINDOW;
    if (len < FLOW_LEAST || bpf_skb_load_bytes(skb, 0, s->bytes, len))
        return PACKET_BROKEN;
    return flow_read(s, len, type, into_tunnel);
}

/*
 * Packets and bytes as they are on the wire: a buffer that is cut into segments later, or was put together from
 * them, has the headers once, the wire in each.
 */
static __always_inline void flow_measure(struct __sk_buff *skb, const struct flow_scratch *s, struct flow_count *n)
{
    __u32 tag = skb->vlan_present ? 4 : 0; /* taken out of the bytes */
    __u32 len = skb->len, size = skb->gso_size, segments = skb->gso_segs;
    __u32 headers = s->inner.read == PACKET_READ_ALL ? s->inner.end : s->outer.end;

    n->packets = 1;
    n->bytes = len + tag;
    if (!size || s->outer.read != PACKET_READ_ALL || len <= headers)
        return;
    if (!segments) /* who made the buffer is not trusted to know (SKB_GSO_DODGY) */
        segments = (len - headers + size - 1) / size;
    if (segments > 1) {
        n->packets = segments;
        n->bytes += (__u64)(segments - 1) * (headers + tag);
    }
}

static __always_inline void flow_name(struct __sk_buff *skb, const struct packet *p, __u8 passage, struct flow_key *key)
{
    __builtin_memcpy(key->src, p->src, sizeof(key->src));
    __builtin_memcpy(key->dst, p->dst, sizeof(key->dst));
    key->netns = flow_config.netns;
    key->ifindex = skb->ifindex;
    key->src_port = p->src_port;
    key->dst_port = p->dst_port;
    key->protocol = p->protocol;
    key->passage = passage;
}

static __always_inline bool flow_skips(void)
{
    return flow_config.sampling > 1 && bpf_get_prandom_u32() % flow_config.sampling;
}

/* Counts a packet that begins with an Ethernet header, or with one of `type`. */
static __always_inline void flow_see(struct __sk_buff *skb, __u16 type, __u8 passage)
{
    struct flow_count packet = {};
    struct flow_key key = {};
    struct flow_scratch *s;
    struct packet *p;
    __u32 zero = 0;
    void *table;
    int verdict;

    if (!(flow_config.passages & passage) || (!flow_config.dns && flow_skips()))
        return;
    s = bpf_map_lookup_elem(&flow_scratch, &zero);
    if (!s)
        return;
    verdict = flow_look(skb, s, type, flow_config.inner || skb->gso_size);
    if (verdict == PACKET_OTHER) {
        total(FLOW_NOT_IP, 1);
        return;
    }
    if (verdict == PACKET_BROKEN || s->outer.read == PACKET_READ_NOTHING) {
        total(FLOW_BROKEN, 1);
        return;
    }
    p = flow_config.inner && s->inner.read ? &s->inner : &s->outer;
    if (p->fragment)
        fragment_ports(p, flow_config.netns);
    if (flow_config.dns) {
        if (p->fragment != PACKET_LATER && p->read == PACKET_READ_ALL)
            dns_see(skb, p, flow_config.netns);
        if (flow_skips())
            return;
    }

    flow_measure(skb, s, &packet);
    flow_name(skb, p, passage, &key);
    packet.first_ns = packet.last_ns = bpf_ktime_get_coarse_ns();
    packet.vlan = skb->vlan_present ? skb->vlan_tci & 0xfff : s->outer.vlan;
    packet.tcp_flags = p->tcp_flags;
    packet.resets = !!(p->tcp_flags & TCP_RST);
    packet.zero_windows = p->zero_window && !(p->tcp_flags & TCP_RST);

    table = bpf_map_lookup_elem(&flow_now, &zero);
    if (!table)
        return;
    if (!(packet.tcp_flags & TCP_SYN) && add_packet(table, &key, &packet))
        return;
    struct pair_news news = note_pair(&key, packet.tcp_flags);

    packet.initiator = news.initiator;
    if (!add_packet(table, &key, &packet))
        new_packet(table, &key, &packet, news.first);
}
