/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * How connections end, and what user space says about them: the same behind every door.
 */
#pragma once
#include <kernel.h>
#include <bpf/bpf_tracing.h>
#include "pair.h"

#define TCP_FIN_WAIT1 4
#define TCP_LAST_ACK 9

/* This end closes or shuts down: an exchange ends, but for a client that may only have finished asking. */
__noinline int conn_shut(const __u64 *at)
{
    if (!at)
        return 0;
    __u64 key = *at;
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &key);

    if (c && c->carrier) {
        key |= IN_TLS;
        c = bpf_map_lookup_elem(&socket_conns, &key);
    }
    if (!c || !conn_lock(c))
        return 0;
    if (c->state == ANSWERING || (c->state == ASKING && c->asks == RECEIVED))
        conn_finish(c, SOCKET_SHUT);
    conn_unlock(c);
    return 0;
}

/* The row with this key is no more; whether it was a carrier. */
__noinline int row_end(__u64 key)
{
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &key);

    if (!c)
        return 0;
    bool carrier = c->carrier;

    if (conn_lock(c)) {
        if (c->state != IDLE)
            conn_finish(c, SOCKET_SHUT);
        conn_leave(c);
        if (c->told)
            conn_tell(c, SOCKET_CLOSED, 0);
        conn_unlock(c);
    }
    bpf_map_delete_elem(&socket_conns, &key);
    return carrier;
}

/* The connection is no more, nor what is said on it in TLS. */
__noinline int conn_end(const __u64 *at)
{
    if (at && row_end(*at))
        row_end(*at | IN_TLS);
    return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(socket_state, struct sock *sk, int from, int to)
{
    __u64 key = (__u64)sk;

    /* Often not in the owner's context, so the table of observed connections is the gate. */
    if (to == TCP_CLOSE)
        return conn_end(&key);
    return to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK ? conn_shut(&key) : 0;
}

/* Nobody wants to know any more where in a trace belongs what begins on this carrier. */
static __always_inline void carrier_rests(__u64 key)
{
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &key);

    if (!c || !conn_lock(c))
        return;
    if (c->state != IDLE)
        count(COUNT_EXCHANGES_CLAIMED);
    c->state = IDLE;
    conn_leave(c);
    c->mode = SOCKET_IGNORED;
    conn_unlock(c);
}

SEC("syscall")
int socket_judge(struct socket_verdict *v)
{
    __u64 key = v->socket;
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &key);

    if (!c || c->record.serial != v->serial || c->claimed || !conn_lock(c))
        return 0;
    if (c->state != IDLE) {
        c->state = IDLE;
        count(COUNT_EXCHANGES_DROPPED);
    }
    conn_leave(c);
    c->mode = v->mode;
    conn_unlock(c);
    if (key & IN_TLS && v->mode == SOCKET_IGNORED)
        carrier_rests(key & ~IN_TLS);
    return 1;
}

struct sweep {
    __u64 now_ns;
    struct socket_sweeping *how;
};

/* Whether an exchange has waited long enough, and how it ends then; 0: not yet. */
static __always_inline __u8 overdue(const struct socket_conn *c, const struct sweep *s)
{
    const struct socket_record *r = &c->record;
    __u64 asked_for = s->now_ns - r->request_end_ns;
    __u64 quiet_for = s->now_ns - r->response_end_ns;
    __u64 timeout = s->how->timeout_ns;

    if (c->state == ASKING) {
        if (timeout && asked_for > timeout && asked_for < 1ULL << 62)
            return SOCKET_TIMED_OUT;
        return !c->http && !c->told && asked_for > s->how->quiet_ns ? SOCKET_ANSWERED : 0;
    }
    if (quiet_for >= 1ULL << 62)
        return 0;
    /* Of an answer that says where it ends, the rest may take long. */
    if (c->end == HTTP1_UNKNOWN || c->end == HTTP1_CUT || !r->request_len)
        return quiet_for > s->how->quiet_ns ? SOCKET_ANSWERED : 0;
    return timeout && quiet_for > timeout ? SOCKET_ANSWERED : 0;
}

static long sweep_one(void *map, __u64 *key, struct socket_conn *c, struct sweep *s)
{
    if (s->how->retired && c->record.pid == s->how->retired) {
        __u64 sk = *key;

        conn_end(&sk);
        return 0;
    }
    if (c->state == IDLE)
        return 0;
    if (overdue(c, s) && conn_lock(c)) {
        __u8 ending = c->state == IDLE ? 0 : overdue(c, s);

        /* It lasted until it was given up. */
        if (ending == SOCKET_TIMED_OUT)
            c->record.response_end_ns = s->now_ns;
        if (ending)
            conn_finish(c, ending);
        /* A late answer is to be told alone, not kept for the next request. */
        if (ending == SOCKET_TIMED_OUT)
            c->owed++;
        conn_unlock(c);
    }
    if (c->state != IDLE)
        s->how->open++;
    return 0;
}

/* Tasks and requests that their process took with it; threads have gone by themselves. */
static long forget_task(void *map, struct task *key, struct task_row *row, struct sweep *s)
{
    struct task task = *key;

    if (task.pid == s->how->retired)
        bpf_map_delete_elem(&vor_tasks, &task);
    return 0;
}

static long forget_request(void *map, __u64 *key, struct request_row *request, struct sweep *s)
{
    __u64 span = *key;

    if (request->task.pid == s->how->retired)
        bpf_map_delete_elem(&vor_requests, &span);
    return 0;
}

static long pass_over(void *map, void *key, void *row, void *context)
{
    return 0;
}

/* How many rows there are. Some thirty instructions for each that there may be. */
static __always_inline __u32 rows_of(void *map)
{
    return bpf_for_each_map_elem(map, pass_over, NULL, 0);
}

SEC("syscall")
int socket_sweep(struct socket_sweeping *how)
{
    struct sweep s = { .now_ns = bpf_ktime_get_ns(), .how = how };
    __u32 retired = how->retired;

    how->open = 0;
    how->conns = bpf_for_each_map_elem(&socket_conns, sweep_one, &s, 0);
    if (retired) {
        bpf_for_each_map_elem(&vor_requests, forget_request, &s, 0);
        bpf_for_each_map_elem(&vor_tasks, forget_task, &s, 0);
        bpf_map_delete_elem(&vor_conduct, &retired);
    }
    if (!how->count)
        return 0;
    how->tasks = rows_of(&vor_tasks);
    how->requests = rows_of(&vor_requests);
    how->calls = rows_of(&vor_pairs);
    return 0;
}
