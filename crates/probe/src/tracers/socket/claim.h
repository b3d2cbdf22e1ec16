/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * For units that read a library instead of its bytes: what they tell of a connection, the unit `socket` does not
 * tell too. It goes on to find the place of each exchange in its trace, whether it can read the bytes or not.
 * Objects that include this share that unit's maps.
 */
#pragma once
#include "tls.h"

/* The key of the row by which what is said on `sk` is told. */
static __always_inline __u64 conn_key(struct sock *sk)
{
    return carries_tls(sk) ? (__u64)sk | IN_TLS : (__u64)sk;
}

/*
 * A server's unit tells the exchange that is open on `sk`; `place` is its place, and the current task serves it.
 * False: there is none.
 */
static __always_inline bool conn_serve(struct sock *sk, struct admitted *who, struct trace_context *place)
{
    struct socket_conn *c = conn_claim(conn_key(sk), RECEIVED);
    struct task task = current_task(who);
    bool open;

    if (!c)
        return false;
    conn_follow(c);
    open = conn_hand_over(c, who, place);
    if (open)
        c->served = request_begin(&task, place, false);
    conn_unlock(c);
    return open;
}

/* A client's unit tells the exchange that is about to be sent on `sk`, whose place is `place`. */
static __always_inline void conn_call(struct sock *sk, struct admitted *who, const struct trace_context *place)
{
    conn_announce((__u64)sk, who, place);
    if (carries_tls(sk))
        conn_announce((__u64)sk | IN_TLS, who, place);
}

/* What the head of a call that this unit tells says of its place, if it could be read on `socket`. */
static __always_inline void conn_said(__u64 socket, struct trace_context *place)
{
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &socket);

    if (c && c->record.place.span == place->span)
        *place = c->record.place;
}

/* Another tells everything that passes on the row with this key. */
static __always_inline void conn_leave_alone(__u64 key, struct admitted *who, enum direction asks)
{
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &key);

    if (c && c->claimed && c->mode == SOCKET_IGNORED)
        return;
    c = conn_claim(key, asks);
    if (!c)
        return;
    if (c->state != IDLE)
        conn_forgo(c, who);
    c->mode = SOCKET_IGNORED;
    c->claimed = 1;
    conn_unlock(c);
}

/* This unit tells everything that passes on `sk` from now on: many exchanges at once. */
static __always_inline void conn_take(struct sock *sk, struct admitted *who, enum direction asks)
{
    conn_leave_alone((__u64)sk, who, asks);
    if (carries_tls(sk))
        conn_leave_alone((__u64)sk | IN_TLS, who, asks);
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
    __u64 key = conn_key(sk);
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &key);

    return c ? &c->record : NULL;
}
