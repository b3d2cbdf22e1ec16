/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Where in a trace an exchange belongs, and what follows for those that work on it: docs/lineage.md.
 *
 * A call gets its place before its first byte leaves, so that its other end finds it in vor_pairs. A request
 * that arrives gets its own when its first bytes are read, before the program sees them. What the message's own
 * head says about the trace stands above both.
 */
#pragma once
#include <maps/worker.h>
#include <pure/traceparent.h>
#include "bytes.h"
#include "next.h"

#define TCP_ESTABLISHED 1
#define O_NONBLOCK 04000

/* The place of a call that the current task makes, `before` bytes of which have left. */
static __always_inline void place_call(struct socket_conn *c, const struct admitted *who, struct sock *sk, __u64 before)
{
    struct task task = current_worker(who, true);

    place_for(&c->next, &task);
    place_next(c, sk, before);
}

/* An observed process is about to send: if that begins a call, the call gets its place. */
__noinline int socket_sending(struct admitted *who, const __u64 *at)
{
    if (!who || !at)
        return 0;
    __u64 sk = *at;

    if (!sk)
        return 0;
    if (who->runs == RUNS_ASYNC)
        async_write();
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &sk);

    /* An answer, as a rule: servers are not to pay for the rest. */
    if (c && c->asks != SENT)
        return 0;
    if (BPF_CORE_READ((struct sock *)sk, __sk_common.skc_state) != TCP_ESTABLISHED)
        return 0;
    if (!c)
        c = conn_open(sk, SENT, 0);
    if (!c || c->mode != SOCKET_PAIRS || c->asks != SENT || c->owns_next)
        return 0;
    /* More of a request, or an answer to wait for. */
    if (c->state == ASKING || (c->state == ANSWERING && !c->record.request_len) || !conn_lock(c))
        return 0;
    place_call(c, who, (struct sock *)sk, 0);
    conn_unlock(c);
    return 0;
}

/*
 * The open exchange, of which `done` bytes went `way`, gets its place. Verified with each caller: parts of `c` go into
 * maps, which verifiers before 6.2 allow only if they know that it lies in one.
 */
static __noinline int place_exchange(struct socket_conn *c, struct admitted *who, __u64 at, __u32 way, __u64 done)
{
    struct sock *sk = (struct sock *)at;
    struct trace_context *place = &c->record.place;

    __builtin_memset(&c->asked, 0, sizeof(c->asked));
    c->ask = HTTP1_CUT;
    if (c->asks == SENT && !c->placed)
        place_call(c, who, sk, way == SENT ? done : 0);
    /* Of what is received, only who reads it in TLS knows the place before. */
    if (c->placed && (c->asks == SENT || c->record.flags & SOCKET_TLS)) {
        c->placed = 0;
        c->owned = c->owns_next;
        c->owns_next = 0;
        *place = c->next;
        return 0;
    }
    bool named = way == RECEIVED && pair_name(&c->pair, c, sk, RECEIVED, done);

    c->certain = 0;
    if (!named || !place_below(c, &c->pair))
        trace_begin(place);
    return 0;
}

/* Whether what came is certainly a request: it says so, or comes from the end that opened the connection. */
static __always_inline bool is_request(const struct socket_conn *c)
{
    if (c->asks != RECEIVED)
        return false;
    if (c->record.flags & SOCKET_UNIX)
        return c->http || c->record.flags & SOCKET_PATH_LOCAL;
    return c->http || c->opened == OPENED_THERE;
}

/* As the program has set it when it reads its first request: asked once, not for each. */
static __always_inline bool does_not_wait(struct socket_conn *c)
{
    if (c->waits == WAITS_UNKNOWN) {
        struct sock *sk = conn_sock(c->record.socket);

        c->waits = BPF_CORE_READ(sk, sk_socket, file, f_flags) & O_NONBLOCK ? WAITS_NEVER : WAITS_ALWAYS;
    }
    return c->waits == WAITS_NEVER;
}

/* The current task has received the request of the open exchange. */
__noinline int place_request(struct socket_conn *c, struct admitted *who)
{
    if (!c || !who)
        return 0;
    struct task task = current_worker(who, false);

    if (is_request(c))
        c->served = request_begin(&task, &c->record.place, task.kind == TASK_THREAD && does_not_wait(c));
    return 0;
}

/* The current thread begins to answer the request of the open exchange. */
static __always_inline void place_answer(const struct socket_conn *c, const struct admitted *who)
{
    if (c->served && who->runs == RUNS_THREADS && c->record.tid != (__u32)bpf_get_current_pid_tgid())
        request_moved(c->record.pid);
}

/* Reads the traceparent that was found in the request's head; 0 when it is none. */
__noinline int place_read(const struct socket_conn *c, struct traceparent *t)
{
    const __u8 *value = c && t ? bytes_at(c, (__u64)c->record.request_at + c->asked.trace_at) : NULL;

    return value ? traceparent_read(t, value) : 0;
}

/* Whether the task that makes this call passes on the header of the request it serves. */
static __always_inline bool is_passed_on(const struct trace_context *call, const struct traceparent *t)
{
    __u64 parent = call->parent;
    struct request_row *request = parent ? bpf_map_lookup_elem(&vor_requests, &parent) : NULL;

    return request && request->context.heard == t->span;
}

/* What the head of the message says about its place. */
static __always_inline void place_as_said(struct socket_conn *c, const struct traceparent *t)
{
    struct trace_context *place = &c->record.place;
    __u64 parent = place->parent;
    __u8 method = place->method;

    /* The unit go_write has written it. */
    if (c->asks == SENT && t->span == place->span)
        return;
    if (c->asks == SENT && is_passed_on(place, t)) {
        place->heard = t->span;
        return;
    }
    trace_heard(place, t->trace, t->span, t->flags);
    /* The other end of this very call has the same head, and its span is nearer. */
    if (method == PARENT_SOCKET_PAIR) {
        place->parent = parent;
        place->method = method;
    }
}

/* Looks on through the head of the open exchange's request. */
__noinline int place_head(struct socket_conn *c)
{
    struct traceparent t = {};

    if (!c || c->ask != HTTP1_CUT)
        return 0;
    const struct captured *head = captured_at(c, c->record.request_at);
    bool said = c->asked.trace_at;
    int end = head ? HTTP1_MORE : HTTP1_UNKNOWN;

    for (__u32 i = 0; i < HTTP1_STEPS && end == HTTP1_MORE; i++)
        end = scan_step(&c->asked, head, c->record.request_cap, SOCKET_REQUEST_MAX, HTTP1_ASKS);
    c->ask = end == HTTP1_MORE ? HTTP1_UNKNOWN : end;
    if (!said && c->asked.trace_at && place_read(c, &t)) {
        place_as_said(c, &t);
        if (c->served)
            request_placed(&c->record.place);
    }
    return 0;
}

/*
 * A message of a connection whose messages are sent in order: a call may begin with each that is sent. Which of
 * those that are received begin a request, and which end one, only user space can tell.
 */
__noinline int place_message(struct socket_conn *c, struct admitted *who, __u32 way)
{
    if (!c || !who)
        return 0;
    struct task task = current_worker(who, way == SENT);

    __builtin_memset(&c->record.place, 0, sizeof(c->record.place));
    if (way == SENT && c->asks == SENT)
        place_for(&c->record.place, &task);
    return 0;
}

/* Whether more than one request came at once: then there is no telling which of them is worked at. */
static __always_inline bool is_crowded(const struct socket_conn *c)
{
    return c->ask == HTTP1_LENGTH && c->record.request_len > c->asked.head_len + c->asked.body_len;
}
