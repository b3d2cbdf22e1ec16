/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Who began a conversation, and which of its two flows have been told of. Nothing is forgotten when a connection
 * ends, since packets come after it; the table forgets what was not used for longest.
 */
#pragma once
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include "wire.h"

/* The two ends of a conversation, whichever way a packet goes. */
struct flow_pair {
    __u8 low[16];
    __u8 high[16];
    __u32 netns;
    __u16 low_port;
    __u16 high_port;
    __u8 protocol;
    __u8 _pad[7];
};

#define PAIR_FROM_LOW 0x1  /* a flow from the low end has been told */
#define PAIR_FROM_HIGH 0x2 /* … from the high end */
#define PAIR_BY_LOW 0x4    /* the low end began */
#define PAIR_BY_HIGH 0x8   /* the high end began */

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 5000);
    __type(key, struct flow_pair);
    __type(value, __u32);
} flow_pairs SEC(".maps");

/* Whether `a` is lower than `b`, as numbers of 16 bytes in this machine's order: any total order will do. */
static __always_inline int end_order(const __u8 *a, const __u8 *b)
{
    const __u64 *left = (const void *)a, *right = (const void *)b;

    if (left[0] != right[0])
        return left[0] < right[0] ? -1 : 1;
    if (left[1] != right[1])
        return left[1] < right[1] ? -1 : 1;
    return 0;
}

#define TCP_RST 0x04
#define TCP_SYN 0x02
#define TCP_ACK 0x10

struct pair_news {
    __u8 initiator; /* as in flow_count */
    bool first;     /* nothing has been told of this flow */
};

/*
 * Notes a packet of the flow `key`. A handshake decides who began (RFC 9293, 3.5): whoever sends SYN alone, or is
 * sent SYN and ACK.
 */
static __always_inline struct pair_news note_pair(const struct flow_key *key, __u8 tcp_flags)
{
    struct flow_pair pair = { .netns = key->netns, .protocol = key->protocol };
    struct pair_news news = { .initiator = FLOW_INITIATOR_UNKNOWN, .first = true };
    int order = end_order(key->src, key->dst);
    bool low = order < 0 || (order == 0 && key->src_port < key->dst_port);
    bool began = (tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
    __u32 told = low ? PAIR_FROM_LOW : PAIR_FROM_HIGH, by = 0, was = 0;
    __u32 *known;

    __builtin_memcpy(pair.low, low ? key->src : key->dst, sizeof(pair.low));
    __builtin_memcpy(pair.high, low ? key->dst : key->src, sizeof(pair.high));
    pair.low_port = low ? key->src_port : key->dst_port;
    pair.high_port = low ? key->dst_port : key->src_port;
    if (tcp_flags & TCP_SYN)
        by = low == began ? PAIR_BY_LOW : PAIR_BY_HIGH;

    known = bpf_map_lookup_elem(&flow_pairs, &pair);
    if (known) {
        was = __sync_fetch_and_or(known, told | by);
        if (by)
            __sync_fetch_and_and(known, ~((PAIR_BY_LOW | PAIR_BY_HIGH) ^ by));
        news.first = !(was & told);
    } else {
        was = told | by;
        bpf_map_update_elem(&flow_pairs, &pair, &was, BPF_ANY);
    }
    if (!by)
        by = was & (PAIR_BY_LOW | PAIR_BY_HIGH);
    if (by)
        news.initiator = (by == PAIR_BY_LOW) == low ? FLOW_INITIATOR_SRC : FLOW_INITIATOR_DST;
    return news;
}
