/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Where an answer ends, as HTTP/1 frames it. */
#pragma once
#include "bytes.h"

/* The last chunk of a chunked body: CR LF "0" CR LF CR LF. */
#define LAST_CHUNK 0x0a0d0a0d300a0dULL
#define LAST_CHUNK_MASK 0xffffffffffffffULL

/* An interim answer says nothing about the request: what follows its head is the answer, or nothing yet. */
static __always_inline void skip_interim(struct socket_conn *c)
{
    struct socket_record *r = &c->record;
    __u32 head = c->scan.head_len;

    __builtin_memset(&c->scan, 0, sizeof(c->scan));
    c->end = HTTP1_CUT;
    if (r->response_cap > head) {
        r->response_at += head;
        r->response_cap -= head;
        r->response_len -= head;
        return;
    }
    r->response_cap = 0;
    r->response_len = 0;
    c->state = ASKING;
}

/* Looks for the end of the answer's head. */
static __always_inline void search(struct socket_conn *c)
{
    const struct captured *answer = captured_at(c, c->record.response_at),
                          *request = captured_at(c, c->record.request_at);
    __u64 word = request && c->record.request_cap >= 8 ? http1_word(request->bytes) : 0;
    int end = answer ? HTTP1_MORE : HTTP1_UNKNOWN;

    for (__u32 i = 0; i < HTTP1_STEPS && end == HTTP1_MORE; i++)
        end = scan_step(&c->scan, answer, c->record.response_cap, SOCKET_RESPONSE_MAX, word);
    c->end = end == HTTP1_MORE ? HTTP1_UNKNOWN : end;
}

/* Looks for the end of the answer; true when what was there was an interim answer. */
__noinline int find_end(struct socket_conn *c)
{
    if (!c)
        return 0;
    struct socket_record *r = &c->record;

    if (!c->scan.at && r->response_cap >= 12 && starts_with(c, r->response_at, r->response_cap) != HTTP1_RESPONSE) {
        c->end = HTTP1_UNKNOWN;
        return 0;
    }
    search(c);
    if (c->end != HTTP1_INTERIM)
        return 0;
    skip_interim(c);
    return 1;
}

static __always_inline bool is_whole(const struct socket_conn *c)
{
    switch (c->end) {
    case HTTP1_LENGTH:
        return c->record.response_len >= c->scan.head_len + c->scan.body_len;
    case HTTP1_CHUNKED:
        return (c->tail >> 8 & LAST_CHUNK_MASK) == LAST_CHUNK;
    case HTTP1_UPGRADE:
        return true;
    default:
        return false;
    }
}

/* Keeps the answer's last eight bytes, of which an operation may bring fewer. */
static __always_inline void keep_tail(struct socket_conn *c, const struct extent *x, __u64 done)
{
    __u64 last = 0;
    __u64 n = x->tail_len < 8 ? x->tail_len : 8;

    if (!n || bpf_probe_read_user(&last, n & 15, (void *)(x->tail_end - n)))
        return;
    if (n == 8)
        c->tail = last;
    else if (n == done)
        c->tail = c->tail >> (n * 8) | last << (64 - n * 8);
    else /* what stands before a segment of its own is taken for the end of a line */
        c->tail = 0x0a0d000000000000ULL >> (n * 8) | last << (64 - n * 8);
}
