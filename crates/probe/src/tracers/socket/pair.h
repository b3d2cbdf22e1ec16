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
 */
#pragma once
#include <lib/extent.h>
#include "conn.h"

/* Pieces in which the bytes of one operation are copied: the segments of its memory. */
#define PIECES 8
/* Flags of a receiving call that takes nothing from the stream: MSG_PEEK, MSG_ERRQUEUE. */
#define NOT_DATA (0x2 | 0x2000)
/* The last chunk of a chunked body: CR LF "0" CR LF CR LF. */
#define LAST_CHUNK 0x0a0d0a0d300a0dULL
#define LAST_CHUNK_MASK 0xffffffffffffffULL
/* A stream that is not known to be HTTP is shown to user space after so many bytes one way. */
#define UNPROVEN_MAX 65536

/*
 * Functions without `static` are verified once, not once for each way that leads to them; therefore they take
 * a kernel address by reference: it is a number to them and may be a typed pointer to their caller.
 */

/* Copies `n` bytes of user memory to `at` of the bytes; returns how many came. */
__noinline int copy_piece(struct socket_conn *c, __u32 at, __u32 n, __u64 from)
{
    if (!c || at >= SOCKET_BYTES)
        return 0;
    if (n > CONN_SLACK)
        n = CONN_SLACK;
    return bpf_probe_read_user(c->bytes + at, n, (void *)from) ? 0 : n;
}

/* Copies the first `want` bytes of an operation to `at` of the bytes; returns how many came. */
__noinline int conn_copy(struct socket_conn *c, __u32 at, __u32 want, const struct extent *whole)
{
    if (!c || !whole || !whole->base)
        return 0;
    struct extent x = *whole;
    __u32 copied = 0;

    for (__u32 i = 0; i < PIECES && copied < want; i++) {
        __u32 ask = want - copied < x.len ? want - copied : x.len;
        __u32 n = ask ? copy_piece(c, at + copied, ask, x.base) : 0;

        copied += n;
        x.base += n;
        x.len -= n;
        if ((ask && !n) || (!x.len && !extent_next(&x)))
            break;
    }
    return copied;
}

/* Adds what fits of an operation to a run that ends at `at` and may go up to `limit`; returns how much. */
static __always_inline __u32 capture(struct socket_conn *c, __u32 at, __u32 limit, const struct extent *x, __u64 done)
{
    if (at >= limit)
        return 0;
    return conn_copy(c, at, limit - at < done ? limit - at : done, x);
}

/* The bytes at `at`, or none when it is out of bounds; CONN_SLACK more can be read after them. */
static __always_inline const __u8 *bytes_at(const struct socket_conn *c, __u64 at)
{
    const __u8 *bytes = c->bytes;

    /* The verifier wants the sum after the check, of the register that was checked; clang would rather not. */
    barrier_var(at);
    if (at >= SOCKET_BYTES)
        return NULL;
    asm volatile("%0 += %1" : "+r"(bytes) : "r"(at));
    return bytes;
}

/* enum http1_start of the `len` bytes at `at`. */
__noinline int starts_with(const struct socket_conn *c, __u32 at, __u32 len)
{
    const __u8 *bytes = c ? bytes_at(c, at) : NULL;

    return bytes ? http1_start(bytes, len) : HTTP1_OTHER;
}

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
    __sync_fetch_and_add(&who->exchanges, 1);
    count(COUNT_EXCHANGES_OPENED);
}

/* More of a request, or a new one. */
static __always_inline void asked(struct socket_conn *c, struct admitted *who, const struct extent *x, __u64 done,
                                  __u64 now)
{
    struct socket_record *r = &c->record;

    if (c->state == ANSWERING && r->request_len) {
        __u64 whole = c->scan.head_len + c->scan.body_len;

        /* Asked before the answer was over: the rest of it is not to be taken for the next one. */
        c->left = c->end == HTTP1_LENGTH && whole > r->response_len ? whole - r->response_len : 0;
        conn_finish(c, SOCKET_ANSWERED);
    }
    bool late = c->state == ANSWERING; /* its answer was seen first */

    if (c->state == IDLE) {
        exchange_open(c, who, now);
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
    if (late && c->end > HTTP1_UNKNOWN && c->end != HTTP1_CLOSE)
        conn_finish(c, SOCKET_ANSWERED);
    else if (!c->http && !c->told && r->request_len > UNPROVEN_MAX)
        conn_finish(c, SOCKET_ANSWERED);
}

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

/* One step of the search through the answer's head; an enum http1_end. */
__noinline int search_step(struct socket_conn *c)
{
    if (!c)
        return HTTP1_UNKNOWN;
    const __u8 *answer = bytes_at(c, c->record.response_at);
    const __u8 *request = bytes_at(c, c->record.request_at);

    if (!answer || !request)
        return HTTP1_UNKNOWN;
    return http1_step(&c->scan, answer, c->record.response_cap, SOCKET_RESPONSE_MAX,
                      c->record.request_cap >= 8 ? http1_word(request) : 0);
}

/* Looks for the end of the answer's head. */
static __always_inline void search(struct socket_conn *c)
{
    int end = HTTP1_MORE;

    for (__u32 i = 0; i < HTTP1_STEPS && end == HTTP1_MORE; i++)
        end = search_step(c);
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

/* More of an answer. */
static __always_inline void answered(struct socket_conn *c, struct admitted *who, const struct extent *x, __u64 done,
                                     __u64 now)
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
        /* The rest of an answer that was reported, or an answer whose request is yet to be seen. */
        __u32 seen = capture(c, r->path_len, SOCKET_BYTES, x, done < 16 ? done : 16);

        if (starts_with(c, r->path_len, seen) != HTTP1_RESPONSE) {
            count(COUNT_STRAY_BYTES);
            return;
        }
        exchange_open(c, who, now);
        r->response_start_ns = now;
        c->state = ANSWERING;
    } else if (c->state == ASKING) {
        r->response_at = r->request_at + r->request_cap;
        r->response_start_ns = now;
        c->state = ANSWERING;
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
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &sk);
    bool fresh = !c;

    if (fresh)
        c = conn_open((struct sock *)sk, way, done);
    if (!c || c->mode == SOCKET_IGNORED || !conn_lock(c))
        return 0;
    __u64 now = bpf_ktime_get_ns();

    if (fresh) {
        /* Joined midway, the first bytes may be an answer. */
        __u32 seen = capture(c, c->record.path_len, SOCKET_BYTES, x, done < 16 ? done : 16);
        if (starts_with(c, c->record.path_len, seen) == HTTP1_RESPONSE)
            c->asks = way == SENT ? RECEIVED : SENT;
    }
    if (c->mode == SOCKET_MESSAGES)
        message(c, who, way, x, done, now);
    else if (way == c->asks)
        asked(c, who, x, done, now);
    else
        answered(c, who, x, done, now);
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
