/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Who works, as whoever sees requests and calls asks: a task by what lib/task.h says, or a thread of Node.js, which is
 * given what it works for at that moment.
 */
#pragma once
#include <maps/async.h>

#ifdef __bpf__
/* The current thread is about to write. A stream that is used for several requests stands for none of them. */
__noinline int async_write(void)
{
    struct async_thread *thread = async_thread();
    struct async_row *stream;
    __u8 method;

    if (!thread || !async_look(thread))
        return 0;
    stream = async_row(thread->now.handle);
    if (stream && stream->request && async_request(thread, &method) != stream->request)
        stream->request = 0;
    return 0;
}

/* What the thread received before, and nobody was called with, is for nobody. */
static __always_inline void async_drop(const struct task *self)
{
    struct task_row *row = bpf_map_lookup_elem(&vor_tasks, self);

    if (row && row->count)
        task_ended(self);
}

/* The current thread has read something. */
__noinline int async_read(void)
{
    struct task self = async_task();

    async_drop(&self);
    return 0;
}

/* `task` is the current thread; `calls`: it begins a call. */
__noinline int async_worker(struct task *task, bool calls)
{
    struct async_thread *thread = async_thread();
    __u64 request = 0;
    __u8 method = PARENT_NONE;

    if (!task || !thread)
        return 0;
    struct task self = async_task();

    if (async_look(thread)) {
        struct async_row *stream = calls ? async_row(thread->now.handle) : NULL;

        /* With a number of its own for each request, as an agent gives it, there would be one call. */
        if (stream && stream->called)
            stream->request = 0;
        else if (stream)
            stream->called = 1;
        request = async_request(thread, &method);
    }
    if (calls)
        async_drop(&self);
    task_given(&self, request, method);
    *task = self;
    return 0;
}

/* Who works now, in any process. */
static __always_inline struct task current_worker(const struct admitted *who, bool calls)
{
    struct task task = current_task(who);

    if (who->runs == RUNS_ASYNC)
        async_worker(&task, calls);
    return task;
}
#endif
