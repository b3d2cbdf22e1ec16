/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * One connection of an observed process: its state, its two runs of bytes, and the record they become.
 */
#pragma once
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <lib/lost.h>
#include <lib/origin.h>
#include <lib/ring.h>
#include <maps/admit.h>
#include <maps/lineage.h>
#include <maps/pairs.h>
#include <pure/http1.h>
#include "wire.h"

/* A copy or a search may be shown to reach this far past the captured bytes; see copy_piece, http1_step. */
#define CONN_SLACK (HTTP1_MAX + HTTP1_SLACK)
/* Ring fill at which the reader is woken instead of waiting for its timer. */
#define CONN_HIGH_WATER (512 * 1024)

enum direction {
    RECEIVED = 0,
    SENT = 1,
};

enum conn_state {
    IDLE = 0,
    ASKING,    /* a request has begun */
    ANSWERING, /* its answer has begun; or an answer whose request is yet to be seen */
};

/* Who has written the place of a call into what is sent: one owner per call. */
enum conn_written {
    WRITTEN_NOT = 0,
    WRITTEN_OPTION, /* the unit wire_tcp */
    WRITTEN_HEAD,   /* the unit wire_http or go_write, or the program itself */
};

/* What a client's unit knows of the heads that were sent on a connection of HTTP/2, which refer to earlier ones. */
enum conn_heads {
    HEADS_NONE = 0, /* nothing */
    HEADS_TO_COME,  /* that there was none yet */
    HEADS_PLAIN,    /* it saw all of them, and none said its place */
    HEADS_OTHER,    /* some did, or may have */
};

/* Whether the program waits for a request when it reads. */
enum conn_waits {
    WAITS_UNKNOWN = 0,
    WAITS_ALWAYS,
    WAITS_NEVER, /* it wants to be told when there is nothing to read */
};

struct socket_conn {
    __u32 lock;
    __u8 mode;       /* SOCKET_PAIRS, … */
    __u8 asks;       /* the direction that requests take */
    __u8 state;      /* enum conn_state */
    __u8 end;        /* enum http1_end of the answer */
    __u8 http;       /* HTTP/1 was seen on it */
    __u8 told;       /* user space has heard of it */
    __u8 used;       /* bytes have passed */
    __u8 placed;     /* `next` is the place of the request that is about to be sent */
    __u8 served;     /* a task serves the open exchange */
    __u8 paired;     /* the open exchange, or the next, is in vor_pairs as `pair` */
    __u8 opened;     /* enum conn_opened */
    __u8 ask;        /* enum http1_end of the request's head */
    __u8 claimed;    /* a library's unit reads it; see claim.h */
    __u8 owned;      /* that unit tells the open exchange */
    __u8 owns_next;  /* and the one that is about to be sent, whose place is `next` */
    __u8 written;    /* enum conn_written, of `next` */
    __u8 certain;    /* whoever asks in the open exchange is certain to tell it too */
    __u8 carrier;    /* it carries TLS, and what is said in it has a row of its own; see tls.h */
    __u8 heads;      /* enum conn_heads */
    __u8 waits;      /* enum conn_waits */
    __u32 iss[2];    /* TCP: first sequence number each way, by enum direction */
    __u64 passed[2]; /* bytes each way since the first that was seen */
    struct pair_key pair;
    struct trace_context next;
    struct http1_scan asked; /* the search through the request's head */
    __u32 owed;              /* answers to come whose requests were in earlier records */
    __u64 tail;              /* the answer's last eight bytes */
    __u64 left;              /* of an answer that was reported before it was over */
    struct http1_scan scan;
    struct socket_record record;
    __u8 bytes[SOCKET_BYTES]; /* follow the record without a gap, and so are sent with it */
    __u8 slack[CONN_SLACK];
};

_Static_assert(offsetof(struct socket_conn, bytes) ==
                   offsetof(struct socket_conn, record) + sizeof(struct socket_record),
               "the bytes must follow the record");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC); /* pay for live connections only */
    __uint(max_entries, 16384);           /* ebpf.max_connections */
    __type(key, __u64);
    __type(value, struct socket_conn);
} socket_conns SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 2 * 1024 * 1024); /* ebpf.ring_size */
} socket_events SEC(".maps");

/* What a new connection begins as: too large for the stack. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct socket_conn);
} socket_blank SEC(".maps");

__u64 socket_serial = 0;

/* Two threads may read and write one socket at the same time; the sections are short. */
__noinline int conn_lock_quietly(struct socket_conn *c)
{
    if (!c)
        return false;
    for (int i = 0; i < 256; i++)
        if (!__sync_val_compare_and_swap(&c->lock, 0, 1))
            return true;
    return false;
}

static __always_inline bool conn_lock(struct socket_conn *c)
{
    bool locked = conn_lock_quietly(c);

    if (!locked)
        lost(LOST_CONN_BUSY);
    return locked;
}

static __always_inline void conn_unlock(struct socket_conn *c)
{
    __sync_lock_test_and_set(&c->lock, 0);
}

/* Sends the record with the first `used` of its bytes. */
static __always_inline void conn_tell(struct socket_conn *c, __u8 kind, __u32 used)
{
    struct socket_record *r = &c->record;
    __u64 wake = ring_wake(&socket_events, CONN_HIGH_WATER);

    if (used > SOCKET_BYTES)
        used = SOCKET_BYTES;
    r->kind = kind;
    if (c->asks == RECEIVED)
        r->flags |= SOCKET_SERVER;
    else
        r->flags &= ~SOCKET_SERVER;
    if (bpf_ringbuf_output(&socket_events, r, sizeof(*r) + used, wake)) {
        lost(LOST_RING_FULL);
        return;
    }
    c->told = 1;
}

/* Nobody serves the open exchange any more. */
static __always_inline void conn_served(struct socket_conn *c)
{
    if (c->served)
        request_end(c->record.place.span);
    c->served = 0;
}

/* The other end does not need to know of the call any more. */
static __always_inline void conn_unpair(struct socket_conn *c)
{
    if (c->paired) {
        struct pair_key pair = c->pair;

        bpf_map_delete_elem(&vor_pairs, &pair);
    }
    c->paired = 0;
}

/* The open exchange is given up, and the call that was about to be sent. */
static __always_inline void conn_leave(struct socket_conn *c)
{
    conn_served(c);
    conn_unpair(c);
}

/* Ends the open exchange and sends it. */
__noinline int conn_finish(struct socket_conn *c, __u8 ending)
{
    if (!c)
        return 0;
    struct socket_record *r = &c->record;
    __u32 used = r->request_at + r->request_cap;
    __u32 head = c->scan.head_len;

    /* Nobody reads the body, unless more heads may follow in what was captured. */
    if (head && head < r->response_cap && c->end == HTTP1_LENGTH && r->response_len <= head + c->scan.body_len)
        r->response_cap = head;
    if (r->response_cap && r->response_at + r->response_cap > used)
        used = r->response_at + r->response_cap;
    if (!r->request_len && c->owed)
        c->owed--;
    /* What never came lasted until it was given up. */
    if (!r->response_len && ending != SOCKET_ANSWERED)
        r->response_end_ns = bpf_ktime_get_ns();
    r->ending = ending;
    c->state = IDLE;
    conn_served(c);
    /* Where nobody sees an answer end, the next call is about to be sent already, and `pair` is its name. */
    if (!c->placed)
        conn_unpair(c);
    if (c->owned || c->carrier) {
        count(COUNT_EXCHANGES_CLAIMED);
        return 0;
    }
    conn_tell(c, SOCKET_EXCHANGE, used);
    count(COUNT_EXCHANGES_ENDED);
    return 0;
}
