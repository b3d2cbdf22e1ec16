/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Who is working for whom: which request a task serves. Written by whoever sees requests (the unit `socket`,
 * units of libraries) and by units of runtimes, which add what they see of their tasks.
 *
 * A request is named by its span id, and there as long as its answer is not complete. A task serves
 *   1. the request that it received, while there is exactly one; with several there is no telling which,
 *      unless its runtime says when a turn of its loop begins;
 *   2. otherwise the one it was given: by the task that created it, or with an item of work that it took.
 * A request that is over is served by nobody, so a link never outlives it. docs/lineage.md tells the whole story.
 */
#pragma once
#include <lib/task.h>
#include <lib/trace.h>

struct task_row {
    __u64 since_ns; /* tells this task from a later one of the same name */
    __u64 received; /* span ids of the requests it received that are not over, xor-ed: one alone is itself */
    __u64 turn;     /* the latest of them, if it came in this turn */
    __u64 given;    /* span id of the request it was given */
    __u32 count;    /* of the requests in `received` */
    __u8 method;    /* how it was given: PARENT_… */
    __u8 several;   /* it once had several at a time */
    __u8 turns;     /* its runtime tells its turns */
    __u8 _pad;
};

struct request_row {
    struct trace_context context;
    struct task task; /* that received it */
    __u64 task_since_ns;
};

#ifdef __bpf__
/*
 * Functions without `static` are verified once, and what is passed to them is memory of any kind: verifiers
 * before 6.2 take a key of a map from the stack only, hence the copies.
 */

/* Rows go when the task or its process ends. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536); /* ebpf.max_tasks */
    __type(key, struct task);
    __type(value, struct task_row);
} vor_tasks SEC(".maps");

/* Rows go when the answer is complete or the connection ends. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 16384); /* ebpf.max_requests */
    __type(key, __u64);
    __type(value, struct request_row);
} vor_requests SEC(".maps");

/* The row of a task, made when it has none. */
static __always_inline struct task_row *task_row(const struct task *task)
{
    struct task_row *row = bpf_map_lookup_elem(&vor_tasks, task);

    if (row)
        return row;
    struct task_row fresh = { .since_ns = bpf_ktime_get_ns() };

    bpf_map_update_elem(&vor_tasks, task, &fresh, BPF_NOEXIST);
    row = bpf_map_lookup_elem(&vor_tasks, task);
    if (!row)
        count(COUNT_TASKS_FULL);
    return row;
}

/* The span id of the request that a task serves and how it came to it, or 0. */
static __always_inline __u64 served(const struct task_row *row, __u8 *method)
{
    *method = row->several ? PARENT_ONLY_CANDIDATE : PARENT_TASK;
    if (row->count == 1)
        return row->received;
    if (row->count) {
        *method = PARENT_TASK;
        return row->turns ? row->turn : 0;
    }
    *method = row->method;
    return row->given;
}

/*
 * The request that `task` serves: its context, with `method` saying how the task came to it. Returns 0 when
 * there is none, or it is not certain which.
 */
__noinline int request_of(const struct task *task, struct trace_context *c)
{
    struct request_row *request;
    struct task_row *row;
    __u64 span;
    __u8 method;

    if (!task || !c)
        return 0;
    struct task key = *task;

    row = bpf_map_lookup_elem(&vor_tasks, &key);
    if (!row)
        return 0;
    span = served(row, &method);
    if (!span || !(request = bpf_map_lookup_elem(&vor_requests, &span)))
        return 0;
    *c = request->context;
    c->method = method;
    return 1;
}

/* `task` has received a request, whose place in its trace is `c`. It serves it until request_end. */
__noinline int request_begin(const struct task *task, const struct trace_context *c)
{
    if (!task || !c)
        return 0;
    struct request_row request = { .context = *c, .task = *task };
    struct task_row *row = task_row(&request.task);

    if (!row)
        return 0;
    request.task_since_ns = row->since_ns;
    if (bpf_map_update_elem(&vor_requests, &request.context.span, &request, BPF_ANY)) {
        count(COUNT_REQUESTS_FULL);
        return 0;
    }
    row->turn = c->span;
    __sync_fetch_and_xor(&row->received, c->span);
    if (__sync_fetch_and_add(&row->count, 1))
        row->several = 1;
    return 1;
}

/* What has been learnt since of the place of a request in its trace. */
static __always_inline void request_placed(const struct trace_context *c)
{
    __u64 span = c->span;
    struct request_row *request = bpf_map_lookup_elem(&vor_requests, &span);

    if (request)
        request->context = *c;
}

/* The request is over: nobody serves it any more. Ending it twice does no harm. */
__noinline int request_end(__u64 span)
{
    struct request_row *request = bpf_map_lookup_elem(&vor_requests, &span);
    struct task_row *row;

    if (!request)
        return 0;
    struct task task = request->task;
    __u64 since_ns = request->task_since_ns;

    if (bpf_map_delete_elem(&vor_requests, &span))
        return 0; /* another did it at this moment */
    row = bpf_map_lookup_elem(&vor_tasks, &task);
    if (!row || row->since_ns != since_ns)
        return 0;
    __sync_fetch_and_xor(&row->received, span);
    __sync_fetch_and_add(&row->count, -1);
    return 1;
}

/* `task` serves request `span` (0: none) from now on, because it was given it by `method`. */
static __always_inline void task_given(const struct task *task, __u64 span, __u8 method)
{
    struct task_row *row = span ? task_row(task) : bpf_map_lookup_elem(&vor_tasks, task);

    if (!row)
        return;
    row->given = span;
    row->method = method;
}

/* `by` has created `task`, which serves what `by` serves at this moment. */
__noinline int task_created(const struct task *task, const struct task *by)
{
    struct trace_context c;

    if (!task || !by)
        return 0;
    struct task key = *task;

    /* There may be the row of an earlier task of the same name. */
    bpf_map_delete_elem(&vor_tasks, &key);
    if (!request_of(by, &c))
        return 0;
    task_given(&key, c.span, PARENT_ANCESTOR);
    return 1;
}

/* The task is no more. */
static __always_inline void task_ended(const struct task *task)
{
    bpf_map_delete_elem(&vor_tasks, task);
}

/* The loop that `task` runs begins a turn: what it received before has nothing to do with what it does now. */
static __always_inline void task_turned(const struct task *task)
{
    struct task_row *row = task_row(task);

    if (!row)
        return;
    row->turns = 1;
    row->turn = 0;
}
#endif
