/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * For units that read a library instead of its bytes: what they tell of a connection, the unit `socket` does not
 * tell too. It goes on to find the place of each exchange in its trace, whether it can read the bytes or not.
 * Objects that include this share that unit's maps.
 */
#pragma once
#include "next.h"

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
        if (!c->owns_next)
            __sync_fetch_and_add(&who->exchanges, -1); /* counted by both */
        c->owns_next = 1;
        c->next = *place;
        place_next(c, sk, 0);
    }
    conn_unlock(c);
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
    if (c->state != IDLE) {
        /* The beginning of what the library will tell. */
        c->state = IDLE;
        conn_leave(c);
        __sync_fetch_and_add(&who->exchanges, -1);
        count(COUNT_EXCHANGES_CLAIMED);
    }
    c->mode = SOCKET_IGNORED;
    c->claimed = 1;
    conn_unlock(c);
}

/* The addresses of the connection of `sk`; NULL when it is not followed. */
static __always_inline const struct socket_record *conn_ends(struct sock *sk)
{
    __u64 key = (__u64)sk;
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &key);

    return c ? &c->record : NULL;
}
