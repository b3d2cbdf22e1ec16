/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The place of a call that is about to be sent, and the name by which its other end finds it. */
#pragma once
#include "open.h"

/* The name that both ends have for a call whose first byte is the byte after `before` of those that passed. */
static __always_inline bool pair_name(struct pair_key *key, const struct socket_conn *c, struct sock *sk, __u32 way,
                                      __u64 before)
{
    __builtin_memset(key, 0, sizeof(*key));
    /* A call in TLS is named on its carrier, by the record that it begins with. */
    if (c->record.flags & SOCKET_TLS)
        return false;
    if (c->record.flags & SOCKET_UNIX) {
        key->ends = (__u64)(way == SENT ? sk : BPF_CORE_READ((struct unix_sock *)sk, peer));
        key->at = c->passed[way & 1];
        key->kind = PAIR_UNIX;
        return key->ends;
    }
    if (c->opened == OPENED_UNKNOWN)
        return false;
    struct tcp_sock *tcp = (struct tcp_sock *)sk;
    __u64 caller = c->iss[way & 1], other = c->iss[~way & 1];

    key->ends = caller << 32 | other;
    key->at = (way == SENT ? BPF_CORE_READ(tcp, write_seq) : BPF_CORE_READ(tcp, copied_seq)) - before;
    return true;
}

/* The open exchange's place below the call that has this name; false: nobody has told of such a call. */
static __always_inline bool place_below(struct socket_conn *c, const struct pair_key *key)
{
    struct trace_context *place = &c->record.place;
    __u8 method = PARENT_SOCKET_PAIR;

    if (!pair_take(key, place)) {
        if (!heard_take(key, place))
            return false;
        method = PARENT_TCP_OPTION;
    }
    c->certain = place->certain;
    trace_descend(place);
    place->method = method;
    return true;
}

/* The place of a call that `task` makes. */
static __always_inline void place_for(struct trace_context *place, const struct task *task)
{
    if (request_called(task, place))
        trace_descend(place);
    else
        trace_begin(place);
}

/* `next` is the place of the call that is about to be sent, `before` bytes of which have left. */
static __always_inline void place_next(struct socket_conn *c, struct sock *sk, __u64 before)
{
    c->placed = 1;
    c->written = WRITTEN_NOT;
    conn_unpair(c); /* prepared, and never sent */
    c->paired = pair_name(&c->pair, c, sk, SENT, before);
    if (c->paired)
        pair_put(&c->pair, &c->next);
}
