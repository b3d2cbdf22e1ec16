/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Connections that carry TLS, where somebody reads what is said before it is encrypted, or after: that has a row of its
 * own, by which its exchanges are paired and told as those in clear text are. The row of the socket, the carrier, tells
 * nothing any more; it goes on to find where in a trace each exchange belongs, by the record that it begins with.
 */
#pragma once
#include "bytes.h"
#include "next.h"

/* Bytes of the header of a TLS record (RFC 8446, section 5.1), and records that are looked at. */
#define TLS_HEADER 5
#define TLS_RECORDS 8

/* The row with this key, locked, if it can be followed. */
static __always_inline struct socket_conn *conn_claim(__u64 key, enum direction asks)
{
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &key);

    if (!c) {
        c = conn_open(key, asks, 0);
        if (c)
            c->record.pid = bpf_get_current_pid_tgid() >> 32;
    }
    if (!c || !conn_lock(c))
        return NULL;
    return c;
}

/* Its exchanges are not told by this row alone. What could not be read is paired again. */
static __always_inline void conn_follow(struct socket_conn *c)
{
    if (c->mode == SOCKET_IGNORED && !c->claimed) {
        c->mode = SOCKET_PAIRS;
        c->state = IDLE;
    }
    c->claimed = 1;
}

/* What another row or a library tells is counted there. */
static __always_inline void conn_uncount(const struct socket_conn *c, struct admitted *who)
{
    if (!c->carrier)
        __sync_fetch_and_add(&who->exchanges, -1);
}

/* What is told elsewhere, or what is not to be told, has begun: the open exchange is not told too. */
static __always_inline void conn_forgo(struct socket_conn *c, struct admitted *who)
{
    c->state = IDLE;
    conn_leave(c);
    conn_uncount(c, who);
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

/* A request has begun that this row does not tell, and that may say nothing of its place; false: none has. */
static __always_inline bool conn_hand_over(struct socket_conn *c, struct admitted *who, struct trace_context *place)
{
    if (c->state != ASKING || c->asks != RECEIVED || c->owned)
        return false;
    c->owned = 1;
    conn_uncount(c, who);
    /* It may have been read by another task than the one that serves it. */
    conn_served(c);
    if (!c->http && !c->certain && !(c->record.flags & SOCKET_TLS))
        place_record(c);
    *place = c->record.place;
    return true;
}

/* A call is about to be sent that this row does not tell, and whose place is `place`. */
static __always_inline void conn_announce(__u64 key, struct admitted *who, const struct trace_context *place)
{
    struct socket_conn *c = conn_claim(key, SENT);

    if (!c)
        return;
    conn_follow(c);
    if (c->asks == SENT) {
        /* The end of a handshake, to which nobody answers. */
        if (c->state == ASKING && !c->owned)
            conn_forgo(c, who);
        if (!c->owns_next)
            conn_uncount(c, who);
        c->owns_next = 1;
        c->next = *place;
        c->next.certain = 1;
        place_next(c, conn_sock(key), 0);
    }
    conn_unlock(c);
}

/* The row of `sk` is a carrier from now on. */
static __always_inline void conn_encrypts(struct sock *sk, struct admitted *who, enum direction way)
{
    struct socket_conn *c = conn_claim((__u64)sk, way);

    if (!c)
        return;
    conn_follow(c);
    if (!c->carrier && c->state != IDLE && !c->owned)
        conn_uncount(c, who);
    c->carrier = 1;
    conn_unlock(c);
}

/* What was agreed on the carrier before anything in TLS was read holds for what is said from now on. */
static __always_inline void tls_inherit(struct socket_conn *c, struct sock *sk)
{
    __u64 key = (__u64)sk;
    const struct socket_conn *carrier = bpf_map_lookup_elem(&socket_conns, &key);

    if (!carrier || carrier->carrier || !carrier->claimed || !conn_lock(c))
        return;
    c->claimed = 1;
    c->mode = carrier->mode;
    c->owns_next = c->placed = carrier->owns_next;
    c->next = carrier->next;
    conn_unlock(c);
}

/* The row of what is said in TLS on `sk`; NULL: it cannot be followed. */
static __always_inline struct socket_conn *tls_conn(struct sock *sk, struct admitted *who, enum direction way)
{
    __u64 key = (__u64)sk | IN_TLS;
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &key);

    if (c || !(c = conn_open(key, way, 0)))
        return c;
    tls_inherit(c, sk);
    conn_encrypts(sk, who, way);
    return c;
}

/* Whether what goes `way` now begins a request. */
static __always_inline bool tls_begins(const struct socket_conn *c, enum direction way)
{
    if (c->mode != SOCKET_PAIRS || c->asks != way || c->owns_next)
        return false;
    return c->state == IDLE || (c->state == ANSWERING && c->record.request_len);
}

/* If what is about to go `way` in TLS begins a request, that gets its place. */
static __always_inline void tls_place(struct socket_conn *c, struct sock *sk, struct admitted *who, enum direction way)
{
    struct trace_context place = {};

    if (!tls_begins(c, way))
        return;
    if (way == SENT) {
        struct task task = current_task(who);

        place_for(&place, &task);
        conn_announce((__u64)sk, who, &place);
    } else {
        struct socket_conn *carrier = conn_claim((__u64)sk, way);

        if (!carrier || !conn_hand_over(carrier, who, &place))
            trace_begin(&place);
        if (carrier)
            conn_unlock(carrier);
    }
    if (!conn_lock(c))
        return;
    c->next = place;
    c->placed = 1;
    conn_unlock(c);
}
