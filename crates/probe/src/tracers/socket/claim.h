/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * For units that read a library instead of its bytes: what they tell of a connection, the unit `socket` does not
 * tell too. It goes on to find the place of each exchange in its trace, whether it can read the bytes or not.
 * Objects that include this share that unit's maps.
 */
#pragma once
#include "bytes.h"
#include "next.h"

/* Bytes of the header of a TLS record (RFC 8446, section 5.1), and records that are looked at. */
#define TLS_HEADER 5
#define TLS_RECORDS 8

/* The connection of `sk`, locked, if it can be followed. */
static __always_inline struct socket_conn *conn_claim(struct sock *sk, enum direction asks)
{
    __u64 key = (__u64)sk;
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &key);

    if (!c) {
        c = conn_open(sk, asks, 0);
        if (c)
            c->record.pid = bpf_get_current_pid_tgid() >> 32;
    }
    if (!c || !conn_lock(c))
        return NULL;
    return c;
}

/* This unit tells exchanges of the connection, one at a time. What could not be read is paired again. */
static __always_inline void conn_follow(struct socket_conn *c)
{
    if (c->mode == SOCKET_IGNORED && !c->claimed) {
        c->mode = SOCKET_PAIRS;
        c->state = IDLE;
    }
    c->claimed = 1;
}

/* What the library tells, or what is not to be told, has begun: the open exchange is not told too. */
static __always_inline void conn_forgo(struct socket_conn *c, struct admitted *who)
{
    c->state = IDLE;
    conn_leave(c);
    __sync_fetch_and_add(&who->exchanges, -1);
    count(COUNT_EXCHANGES_CLAIMED);
}

/*
 * The place of a request whose bytes say nothing. The first one in TLS follows the end of the handshake, maybe in the
 * same read; its caller has named it by the record it begins with. A caller that does not know its calls has named
 * what is none, such as that end.
 */
static __always_inline void place_record(struct socket_conn *c)
{
    struct pair_key key = c->pair;
    __u32 at = 0;

    for (int i = 0; i < TLS_RECORDS && at + TLS_HEADER <= c->record.request_cap; i++) {
        const __u8 *header = bytes_at(c, c->record.request_at + at);

        if (!header)
            break;
        at += TLS_HEADER + (header[3] << 8 | header[4]);
        key.at = c->pair.at + at;
        if (place_below(c, &key))
            return;
    }
    /* An option does not say who knows what. */
    if (c->record.place.method != PARENT_TCP_OPTION)
        trace_begin(&c->record.place);
}

/*
 * A server's unit tells the exchange that is open on `sk`; `place` is its place, and the current task serves it.
 * False: there is none.
 */
static __always_inline bool conn_serve(struct sock *sk, struct admitted *who, struct trace_context *place)
{
    struct socket_conn *c = conn_claim(sk, RECEIVED);
    struct task task = current_task(who);
    bool open = false;

    if (!c)
        return false;
    conn_follow(c);
    if (c->state == ASKING && c->asks == RECEIVED && !c->owned) {
        c->owned = 1;
        open = true;
        if (!c->http && !c->certain)
            place_record(c);
        *place = c->record.place;
        __sync_fetch_and_add(&who->exchanges, -1); /* counted by both */
        /* It may have been read by another task. */
        if (c->served)
            request_end(place->span);
        c->served = request_begin(&task, place, false);
    }
    conn_unlock(c);
    return open;
}

/* A client's unit tells the exchange that is about to be sent on `sk`, whose place is `place`. */
static __always_inline void conn_call(struct sock *sk, struct admitted *who, const struct trace_context *place)
{
    struct socket_conn *c = conn_claim(sk, SENT);

    if (!c)
        return;
    conn_follow(c);
    if (c->asks == SENT) {
        /* The end of a handshake, to which nobody answers. */
        if (c->state == ASKING && !c->owned)
            conn_forgo(c, who);
        if (!c->owns_next)
            __sync_fetch_and_add(&who->exchanges, -1); /* counted by both */
        c->owns_next = 1;
        c->next = *place;
        c->next.certain = 1;
        place_next(c, sk, 0);
    }
    conn_unlock(c);
}

/* What the head of a call that this unit tells says of its place, if it could be read on `socket`. */
static __always_inline void conn_said(__u64 socket, struct trace_context *place)
{
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &socket);

    if (c && c->record.place.span == place->span)
        *place = c->record.place;
}

/* This unit tells everything that passes on `sk` from now on: many exchanges at once. */
static __always_inline void conn_take(struct sock *sk, struct admitted *who, enum direction asks)
{
    __u64 key = (__u64)sk;
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &key);

    if (c && c->claimed && c->mode == SOCKET_IGNORED)
        return;
    c = conn_claim(sk, asks);
    if (!c)
        return;
    if (c->state != IDLE)
        conn_forgo(c, who);
    c->mode = SOCKET_IGNORED;
    c->claimed = 1;
    conn_unlock(c);
}

/*
 * The name that both ends of the followed connection of `socket` have for the call on one of its streams; false: they
 * have none.
 */
static __always_inline bool stream_name(struct pair_key *key, __u64 socket, enum direction way, __u32 stream)
{
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &socket);

    if (!c || c->opened == OPENED_UNKNOWN || c->record.flags & SOCKET_UNIX)
        return false;
    __u64 caller = c->iss[way & 1], other = c->iss[~way & 1];

    *key = (struct pair_key){ .ends = caller << 32 | other, .at = stream, .kind = PAIR_STREAM };
    return true;
}

/* A client's unit is about to send the head of the call on `stream`, whose place is `place`. */
static __always_inline void stream_call(__u64 socket, __u32 stream, const struct trace_context *place)
{
    struct pair_key key;

    if (stream_name(&key, socket, SENT, stream))
        bpf_map_update_elem(&vor_heard, &key, place, BPF_ANY);
}

/* The place of what came on `stream`, below its caller's; false: no caller has told. */
static __always_inline bool stream_serve(__u64 socket, __u32 stream, struct trace_context *place)
{
    struct pair_key key;

    if (!stream_name(&key, socket, RECEIVED, stream) || !heard_take(&key, place))
        return false;
    trace_descend(place);
    place->method = PARENT_SOCKET_PAIR;
    return true;
}

/* The addresses of the connection of `sk`; NULL when it is not followed. */
static __always_inline const struct socket_record *conn_ends(struct sock *sk)
{
    __u64 key = (__u64)sk;
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &key);

    return c ? &c->record : NULL;
}
