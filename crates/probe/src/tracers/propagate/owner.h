/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Who writes the place of a call into what is sent: one owner per call. And the line that says it in HTTP/1. */
#pragma once
#include <pure/traceparent.h>
#include "../socket/conn.h"

/* "traceparent: ", the value, CR LF */
#define LINE_NAME 13
#define LINE_LEN (LINE_NAME + TRACEPARENT_LEN + 2)
/* Longest head that is read. */
#define HEAD_MAX 16384

/* The connection whose call is about to be sent, locked; nothing is lost of the call itself when it is too busy. */
static __always_inline struct socket_conn *call_locked(__u64 sk)
{
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &sk);

    if (!c || conn_lock_quietly(c))
        return c;
    count(COUNT_WIRE_UNFIT);
    return NULL;
}

/* From here on nobody else writes the place of the call that is about to be sent; false: there is none, or it has an owner. */
static __always_inline bool call_owned(__u64 sk, struct trace_context *place)
{
    struct socket_conn *c = call_locked(sk);
    bool owned;

    if (!c)
        return false;
    owned = c->placed && !c->written && c->mode == SOCKET_PAIRS && c->asks == SENT;
    if (owned) {
        *place = c->next;
        c->written = WRITTEN_HEAD;
    }
    conn_unlock(c);
    return owned;
}

/* Nothing was written for the call of this span: whoever can may write it otherwise. */
static __always_inline void call_released(__u64 sk, __u64 span)
{
    struct socket_conn *c = call_locked(sk);

    if (!c)
        return;
    if (c->next.span == span)
        c->written = WRITTEN_NOT;
    conn_unlock(c);
}

static __always_inline struct traceparent traceparent_of(const struct trace_context *place)
{
    return (struct traceparent){
        .trace = { place->trace[0], place->trace[1] },
        .span = place->span,
        .flags = place->flags,
    };
}

static __always_inline void line_of(__u8 *to, const struct trace_context *place)
{
    struct traceparent t = traceparent_of(place);

    __builtin_memcpy(to, "traceparent: ", LINE_NAME);
    traceparent_write(to + LINE_NAME, &t);
    to[LINE_LEN - 2] = '\r';
    to[LINE_LEN - 1] = '\n';
}
