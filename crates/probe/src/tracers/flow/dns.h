/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Copies messages between clients and name servers: UDP from or to port 53 (RFC 1035). */
#pragma once
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <lib/ring.h>
#include <pure/packet.h>
#include "table.h"

#define DNS_PORT 53
/* Shortest message: its header. */
#define DNS_HEAD 12
#define DNS_HIGH_WATER (64 * 1024)

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 256 * 1024);
} flow_dns SEC(".maps");

struct dns_question {
    struct flow_dns_head head;
    __u8 message[FLOW_DNS_QUESTION];
};

struct dns_answer {
    struct flow_dns_head head;
    __u8 message[FLOW_DNS_ANSWER];
};

static __always_inline void dns_head(struct flow_dns_head *head, const struct packet *p, __u32 netns, __u32 sent)
{
    __builtin_memset(head, 0, sizeof(*head));
    head->at_ns = bpf_ktime_get_ns();
    __builtin_memcpy(head->src, p->src, sizeof(head->src));
    __builtin_memcpy(head->dst, p->dst, sizeof(head->dst));
    head->netns = netns;
    head->src_port = p->src_port;
    head->dst_port = p->dst_port;
    head->sent = sent > 0xffff ? 0xffff : sent;
}

/* The message of `sent` bytes at the end of the headers of `p`. */
static __always_inline void dns_copy(struct __sk_buff *skb, const struct packet *p, __u32 netns)
{
    __u32 sent = skb->len - p->end, len = sent;

    if (skb->len < p->end + DNS_HEAD)
        return;
    if (p->src_port == DNS_PORT) {
        struct dns_answer *r = bpf_ringbuf_reserve(&flow_dns, sizeof(*r), 0);

        if (!r)
            goto lost;
        dns_head(&r->head, p, netns, sent);
        if (len > FLOW_DNS_ANSWER)
            len = FLOW_DNS_ANSWER;
        if (len < DNS_HEAD || bpf_skb_load_bytes(skb, p->end, r->message, len))
            len = 0;
        r->head.len = len;
        bpf_ringbuf_submit(r, ring_wake(&flow_dns, DNS_HIGH_WATER));
        return;
    }
    struct dns_question *r = bpf_ringbuf_reserve(&flow_dns, sizeof(*r), 0);

    if (!r)
        goto lost;
    dns_head(&r->head, p, netns, sent);
    if (len > FLOW_DNS_QUESTION)
        len = FLOW_DNS_QUESTION;
    if (len < DNS_HEAD || bpf_skb_load_bytes(skb, p->end, r->message, len))
        len = 0;
    r->head.len = len;
    bpf_ringbuf_submit(r, ring_wake(&flow_dns, DNS_HIGH_WATER));
    return;
lost:
    total(FLOW_DNS_LOST, 1);
}
