/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Pairing: what a read or a write of some bytes means for the connection's exchange.
 *
 * A run of bytes one way is the request, the run the other way its answer; the next request ends the pair.
 * For HTTP/1 the end of the answer is seen in its framing, so the pair ends at once.
 *
 * The hooks run when a call returns, so two threads of a program can be seen in the wrong order: an answer
 * before its request (a client that writes and reads in different threads), or a request before the end of
 * the answer to the one before (a server that does). The first waits for its request; the second joins the
 * run of the earlier request, and user space, which reads both directions as ordered streams, parts them.
 * In TLS a call is seen before anything leaves, so the order is right.
 */
#pragma once
#include "answer.h"
#include "place.h"

/* Flags of a receiving call that takes nothing from the stream: MSG_PEEK, MSG_ERRQUEUE. */
#define NOT_DATA (0x2 | 0x2000)
/* A stream that is not known to be HTTP is shown to user space after so many bytes one way. */
#define UNPROVEN_MAX 65536

/* Empties the record for what the current task is about to say. */
static __always_inline void record_begin(struct socket_conn *c, const struct admitted *who, __u64 now)
{
    struct socket_record *r = &c->record;
    __u64 id = bpf_get_current_pid_tgid();

    r->pid = id >> 32;
    r->tid = (__u32)id;
    r->started_ns = who->started_ns;
    r->request_at = r->response_at = r->path_len;
    r->request_cap = r->response_cap = 0;
    r->request_len = r->response_len = 0;
    r->request_start_ns = r->request_end_ns = now;
    r->response_start_ns = r->response_end_ns = 0;
}

static __always_inline void exchange_open(struct socket_conn *c, struct admitted *who, __u64 now)
{
    record_begin(c, who, now);
    __builtin_memset(&c->scan, 0, sizeof(c->scan));
    c->end = HTTP1_CUT;
    c->tail = 0;
    c->owned = 0;
    if (!c->carrier)
        __sync_fetch_and_add(&who->exchanges, 1);
    count(COUNT_EXCHANGES_OPENED);
}

/* More of a request, or a new one. */
static __always_inline void asked(struct socket_conn *c, struct admitted *who, __u64 sk, const struct extent *x,
                                  __u64 done, __u64 now)
{
    struct socket_record *r = &c->record;

    if (c->state == ANSWERING && r->request_len) {
        __u64 whole = c->scan.head_len + c->scan.body_len;

        /* Asked before the answer was over: the rest of it is not to be taken for the next one. */
        c->left = c->end == HTTP1_LENGTH && whole > r->response_len ? whole - r->response_len : 0;
        conn_finish(c, SOCKET_ANSWERED);
    }
    bool late = c->state == ANSWERING; /* its answer was seen first */
    bool first = c->state == IDLE;

    if (first) {
        exchange_open(c, who, now);
        place_exchange(c, who, sk, c->asks, done);
        c->state = ASKING;
    }
    if (late) {
        r->request_start_ns = now < r->response_start_ns ? now : r->response_start_ns;
        r->request_at = r->response_at + r->response_cap;
    }
    __u32 at = r->request_at + r->request_cap;
    __u32 copied = capture(c, at, late ? SOCKET_BYTES : SOCKET_REQUEST_MAX, x, done);

    if (copied && starts_with(c, at, copied) == HTTP1_REQUEST) {
        c->http = 1;
        if (r->request_len)
            c->owed++;
    }
    r->request_cap += copied;
    r->request_len += done;
    r->request_end_ns = now;
    if (c->http)
        place_head(c);
    if (c->served && is_crowded(c))
        conn_leave(c);
    else if (first && !is_crowded(c))
        place_request(c, who);
    if (late && c->end > HTTP1_UNKNOWN && c->end != HTTP1_CLOSE)
        conn_finish(c, SOCKET_ANSWERED);
    else if (!c->http && !c->told && r->request_len > UNPROVEN_MAX)
        conn_finish(c, SOCKET_ANSWERED);
}

/* More of an answer. */
static __always_inline void answered(struct socket_conn *c, struct admitted *who, __u64 sk, const struct extent *x,
                                     __u64 done, __u64 now)
{
    struct socket_record *r = &c->record;

    if (c->left) {
        c->left = c->left > done ? c->left - done : 0;
        return;
    }
    /* Whole, but without its request: this is the next of several answers to pipelined requests. */
    if (c->state == ANSWERING && !r->request_len && is_whole(c))
        conn_finish(c, SOCKET_ANSWERED);
    if (c->state == IDLE) {
        /* The rest of an answer that was reported, or an answer whose request is yet to be seen, but for TLS. */
        __u32 seen = capture(c, r->path_len, SOCKET_BYTES, x, done < 16 ? done : 16);

        if (starts_with(c, r->path_len, seen) != HTTP1_RESPONSE || (r->flags & SOCKET_TLS && !c->owed)) {
            count(COUNT_STRAY_BYTES);
            return;
        }
        exchange_open(c, who, now);
        place_exchange(c, who, sk, !c->asks, done);
        r->response_start_ns = now;
        c->state = ANSWERING;
    } else if (c->state == ASKING) {
        r->response_at = r->request_at + r->request_cap;
        r->response_start_ns = now;
        c->state = ANSWERING;
        place_answer(c, who);
    }
    __u32 at = r->response_at + r->response_cap;
    __u32 limit = r->response_at + SOCKET_RESPONSE_MAX;

    /* A request that came late stands behind; its place is not to be written over. */
    if (r->request_at <= r->response_at || !r->request_len)
        r->response_cap += capture(c, at, limit < SOCKET_BYTES ? limit : SOCKET_BYTES, x, done);
    r->response_len += done;
    r->response_end_ns = now;
    if (c->end == HTTP1_CUT && find_end(c) && r->response_len)
        find_end(c);
    if (c->end == HTTP1_CHUNKED)
        keep_tail(c, x, done);
    if (c->state != ANSWERING || !is_whole(c) || (!r->request_len && !c->owed))
        return;
    if (c->end == HTTP1_UPGRADE)
        c->mode = SOCKET_IGNORED;
    conn_finish(c, SOCKET_ANSWERED);
}

/* One message of a connection whose messages are sent in order. */
static __always_inline void message(struct socket_conn *c, struct admitted *who, enum direction way,
                                    const struct extent *x, __u64 done, __u64 now)
{
    struct socket_record *r = &c->record;

    record_begin(c, who, now);
    r->flags = way == SENT ? r->flags | SOCKET_SENT : r->flags & ~SOCKET_SENT;
    r->request_cap = capture(c, r->request_at, SOCKET_BYTES, x, done);
    r->request_len = done;
    place_message(c, who, way);
    conn_tell(c, SOCKET_MESSAGE, r->request_at + r->request_cap);
}

/* `done` bytes, which lie at `x`, went `way` through the socket. */
__noinline int socket_data(struct admitted *who, const __u64 *at, __u32 way, const struct extent *x, __u64 done)
{
    if (!who || !at || !x)
        return 0;
    __u64 sk = *at;

    if (!sk)
        return 0;
    if (way == RECEIVED && who->runs == RUNS_ASYNC)
        async_read();
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &sk);

    if (!c)
        c = conn_open(sk, way, done);
    if (!c || c->mode == SOCKET_IGNORED || !conn_lock(c))
        return 0;
    __u64 now = bpf_ktime_get_ns();

    if (!c->used) {
        c->used = 1;
        c->asks = way;
        /* Joined midway, the first bytes may be an answer. */
        __u32 seen = capture(c, c->record.path_len, SOCKET_BYTES, x, done < 16 ? done : 16);
        if (starts_with(c, c->record.path_len, seen) == HTTP1_RESPONSE)
            c->asks = way == SENT ? RECEIVED : SENT;
    }
    if (c->mode == SOCKET_MESSAGES)
        message(c, who, way, x, done, now);
    else if (way == c->asks)
        asked(c, who, sk, x, done, now);
    else
        answered(c, who, sk, x, done, now);
    c->passed[way & 1] += done;
    conn_unlock(c);
    return 0;
}

/* `done` bytes that never were in the program's memory: they count, but cannot be read. */
static __always_inline int socket_moved(struct admitted *who, struct sock *sk, enum direction way, __s64 done)
{
    struct extent x;

    if (done <= 0)
        return 0;
    extent_of_buffer(&x, 0, done);
    x.tail_len = 0;
    return socket_data(who, (__u64 *)&sk, way, &x, done);
}

/* The peer will say no more: an answer that ends with the connection is complete. */
__noinline int socket_eof(const __u64 *at)
{
    if (!at)
        return 0;
    __u64 sk = *at;
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &sk);

    if (!c || c->asks != SENT || c->state != ANSWERING || !conn_lock(c))
        return 0;
    if (c->state == ANSWERING && c->record.request_len)
        conn_finish(c, SOCKET_SHUT);
    conn_unlock(c);
    return 0;
}
