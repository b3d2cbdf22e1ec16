/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Copies messages between clients and name servers: UDP and TCP from or to port 53 (RFC 1035). */
#pragma once
#include <kernel.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <lib/ring.h>
#include <pure/packet.h>
#include "table.h"

#define DNS_PORT 53
/* Shortest message: its header. */
#define DNS_HEAD 12
/* In TCP, the length of the message comes first (RFC 1035, 4.2.2). */
#define DNS_LENGTH 2
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

/*
 * Copies up to `most` of the `len` bytes at `at`; says how many. A function of its own, since the verifier of 6.1 loses
 * a bound when the value is spilled.
 */
static __noinline __u32 dns_load(struct __sk_buff *skb, __u32 at, __u8 *to, __u32 len, __u32 most)
{
    if (len > most)
        len = most;
    if (len < DNS_HEAD || bpf_skb_load_bytes(skb, at, to, len))
        return 0;
    return len;
}

/* Copies the message of `sent` bytes at `at`. */
static __always_inline void dns_copy(struct __sk_buff *skb, const struct packet *p, __u32 netns, __u32 at, __u32 sent)
{
    if (p->src_port == DNS_PORT) {
        struct dns_answer *r = bpf_ringbuf_reserve(&flow_dns, sizeof(*r), 0);

        if (!r)
            goto lost;
        dns_head(&r->head, p, netns, sent);
        r->head.len = dns_load(skb, at, r->message, sent, FLOW_DNS_ANSWER);
        bpf_ringbuf_submit(r, ring_wake(&flow_dns, DNS_HIGH_WATER));
        return;
    }
    struct dns_question *r = bpf_ringbuf_reserve(&flow_dns, sizeof(*r), 0);

    if (!r)
        goto lost;
    dns_head(&r->head, p, netns, sent);
    r->head.len = dns_load(skb, at, r->message, sent, FLOW_DNS_QUESTION);
    bpf_ringbuf_submit(r, ring_wake(&flow_dns, DNS_HIGH_WATER));
    return;
lost:
    total(FLOW_DNS_LOST, 1);
}

/* Copies the message in a packet whose headers have been read. In TCP, the one that begins with the segment. */
static __always_inline void dns_see(struct __sk_buff *skb, const struct packet *p, __u32 netns)
{
    __u32 at = p->end, len = skb->len, most;
    __u16 sent;

    if (p->src_port != DNS_PORT && p->dst_port != DNS_PORT)
        return;
    if (p->protocol == PACKET_UDP) {
        if (len >= at + DNS_HEAD)
            dns_copy(skb, p, netns, at, len - at);
        return;
    }
    if (p->protocol != PACKET_TCP || bpf_skb_load_bytes(skb, at, &sent, DNS_LENGTH))
        return;
    sent = bpf_ntohs(sent);
    at += DNS_LENGTH;
    /* What is looked at of it must be here; the rest may come in further segments. */
    most = p->src_port == DNS_PORT ? FLOW_DNS_ANSWER : FLOW_DNS_QUESTION;
    if (most > sent)
        most = sent;
    if (most < DNS_HEAD || len < at + most)
        return;
    dns_copy(skb, p, netns, at, sent);
}
