/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Who is working for whom: which request a task serves. Written by whoever sees requests (the unit `socket`,
 * units of libraries) and by units of runtimes, which add what they see of their tasks.
 *
 * A request is named by its span id, and there as long as its answer is not complete. A task serves
 *   1. the request that it received, while there is exactly one; with several there is no telling which;
 *   2. otherwise the one it was given: by the task that created it, or with an item of work that it took.
 * A request that is over is served by nobody, so a link never outlives it. What a thread received or inherited may
 * not be what it works for; conduct.h has what speaks for and against it. docs/lineage.md tells the whole story.
 */
#pragma once
#include <maps/conduct.h>
#include <maps/tasks.h>

#ifdef __bpf__
/*
 * Functions without `static` are verified once, and what is passed to them is memory of any kind: verifiers
 * before 6.2 take a key of a map from the stack only, hence the copies.
 */

/* The request that `task` received and has not answered, if that is certainly what it works for, or 0. */
static __always_inline __u64 received(const struct task *task, const struct task_row *row, __u8 *method)
{
    *method = row->several ? PARENT_ONLY_CANDIDATE : PARENT_TASK;
    if (row->count > 1)
        return 0;
    if (row->loose) {
        struct conduct *of = conduct_of(task->pid);

        if (!of)
            return 0;
        if (of->mixed || of->orderly < CONDUCT_PROVEN) {
            *method = PARENT_ONLY_CANDIDATE;
            return of->loose == 1 ? row->received : 0;
        }
    }
    return row->received;
}

/*
 * Whether a thread may work for something else than the request that its creator served: where threads are kept. The
 * first call of a thread is what it was created for, but in runtimes that have pools.
 */
static __always_inline bool is_doubtful(const struct task *task, const struct task_row *row, bool calls)
{
    if (row->method != PARENT_ANCESTOR || task->kind != TASK_THREAD || task->id == task->pid)
        return false;
    struct conduct *of = conduct_of(task->pid);

    if (of && !of->outlived && of->ended >= CONDUCT_PROVEN)
        return false;
    return row->called || (calls && of && of->kept);
}

/* A thread that was created for request `span`, which is over, is still at work. */
static __always_inline void outlives(const struct task *task, const struct task_row *row, __u64 span)
{
    if (row->count || !span || row->method != PARENT_ANCESTOR || task->kind != TASK_THREAD)
        return;
    struct conduct *of = conduct_made(task->pid);

    if (of)
        of->outlived = 1;
}

/* request_of; `calls`: the task makes a call. */
static __always_inline int request_for(const struct task *task, struct trace_context *c, bool calls)
{
    struct task_row *row = bpf_map_lookup_elem(&vor_tasks, task);
    struct request_row *request;
    __u64 span;
    bool doubtful = false;
    __u8 method;

    if (!row)
        return 0;
    if (row->count && !row->lent) {
        span = received(task, row, &method);
    } else {
        span = is_doubtful(task, row, false) ? 0 : row->given;
        doubtful = calls && is_doubtful(task, row, true);
        method = row->method;
    }
    request = bpf_map_lookup_elem(&vor_requests, &span);
    if (calls) {
        row->called = 1;
        if (!request)
            outlives(task, row, span);
    }
    if (!request || doubtful)
        return 0;
    *c = request->context;
    c->method = method;
    return 1;
}

/*
 * The request that `task` serves: its context, with `method` saying how the task came to it. Returns 0 when
 * there is none, or it is not certain which.
 */
__noinline int request_of(const struct task *task, struct trace_context *c)
{
    if (!task || !c)
        return 0;
    struct task key = *task;

    return request_for(&key, c, false);
}

/* The same, for a call that `task` makes now. */
__noinline int request_called(const struct task *task, struct trace_context *c)
{
    if (!task || !c)
        return 0;
    struct task key = *task;

    return request_for(&key, c, true);
}

/*
 * `task` has received a request, whose place in its trace is `c`. It serves it until request_end. `loose`: it is a
 * thread, and has read it from a socket that does not wait.
 */
__noinline int request_begin(const struct task *task, const struct trace_context *c, bool loose)
{
    if (!task || !c)
        return 0;
    struct request_row request = { .context = *c, .task = *task };
    struct task_row *row = task_row(&request.task);

    if (!row)
        return 0;
    request.task_since_ns = row->since_ns;
    if (loose)
        request.conduct_since_ns = conduct_begin(request.task.pid, row->count);
    if (bpf_map_update_elem(&vor_requests, &request.context.span, &request, BPF_ANY)) {
        count(COUNT_REQUESTS_FULL);
        conduct_end(request.task.pid, request.conduct_since_ns, false);
        return 0;
    }
    row->loose = loose;
    row->called = 0;
    row->lent = 0;
    __sync_fetch_and_xor(&row->received, c->span);
    if (__sync_fetch_and_add(&row->count, 1))
        row->several = 1;
    return 1;
}

/* Another thread than the one that received it begins to answer a request of process `pid`. */
static __always_inline void request_moved(__u32 pid)
{
    struct conduct *of = conduct_of(pid);

    if (of)
        of->mixed = 1;
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
    __u64 since_ns = request->task_since_ns, conduct_since_ns = request->conduct_since_ns;

    if (bpf_map_delete_elem(&vor_requests, &span))
        return 0; /* another did it at this moment */
    row = bpf_map_lookup_elem(&vor_tasks, &task);
    if (row && row->since_ns != since_ns)
        row = NULL;
    if (conduct_since_ns)
        conduct_end(task.pid, conduct_since_ns, row && row->called);
    if (!row)
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
    row->called = 0;
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

/* The current thread ends; `last`: and with it its process. */
static __always_inline void thread_ended(bool last)
{
    struct task task = thread_task();
    struct task_row *row = bpf_map_lookup_elem(&vor_tasks, &task);

    if (last) {
        bpf_map_delete_elem(&vor_conduct, &task.pid);
    } else if (row && row->method == PARENT_ANCESTOR && row->called) {
        struct conduct *of = conduct_made(task.pid);

        if (of && of->ended < CONDUCT_PROVEN)
            of->ended++;
    }
    task_ended(&task);
}
#endif
