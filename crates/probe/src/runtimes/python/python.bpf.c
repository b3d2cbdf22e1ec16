// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * python: threads of CPython hand work over by collections, asyncio runs its callbacks in contexts.
 *
 * A thread gives its work to another by a `deque` (queue.Queue is one) or a SimpleQueue (so do executors). asyncio
 * runs each callback and each step of a coroutine in the context that was copied where it was created, so the
 * context that a thread is in tells whose work it does: it is the task.
 *
 * In     code of CPython: deque.append, appendleft, pop, popleft; SimpleQueue.put, get; Context.run, Context(),
 *        PyContext_CopyCurrent, copy_context
 * Out    nothing of its own
 * State  vor_tasks, vor_items; queue_taken, queue_pools, python_threads
 * Needs  uprobes with cookies (5.15)
 * Cost   one look at the process per call in observed and unobserved Python programs; in observed ones some map
 *        operations
 */
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <maps/admit.h>
#include <maps/queue.h>
#include "deque.h"

/* Contexts that a thread may be in at a time. */
#define DEPTH 8

struct thread {
    __u64 outer[DEPTH]; /* the contexts that it comes back to */
    __u64 woken;        /* the request whose arrival is why the callback that was just taken is called, or 0 */
    __u32 depth;
    __u8 took; /* from a collection, outside of any context */
    __u8 _pad[3];
};

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct thread);
} python_threads SEC(".maps");

static __always_inline struct thread *this_thread(void)
{
    return bpf_task_storage_get(&python_threads, bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/* Where a thread keeps what it comes back to at `depth`; deeper ones are not kept. */
static __always_inline __u64 *outer_at(struct thread *thread, __u32 depth)
{
    if (depth >= DEPTH)
        return NULL;
    /* The compiler would see that the mask changes nothing, but verifiers before 6.2 need it. */
    barrier_var(depth);
    return &thread->outer[depth & (DEPTH - 1)];
}

static __always_inline struct task context_task(__u64 context)
{
    return (struct task){ .id = context, .pid = bpf_get_current_pid_tgid() >> 32, .kind = TASK_ASYNCIO };
}

SEC("uprobe")
int BPF_UPROBE(python_append, __u64 deque, __u64 object)
{
    struct admitted *who = admitted();
    struct deque d;

    if (!who || !deque_read(&d, deque))
        return 0;
    struct task task = current_task(who);

    queue_put(&task, deque, queue_item(deque_place(d.right, d.right_index + 1), object), object);
    return 0;
}

SEC("uprobe")
int BPF_UPROBE(python_appendl, __u64 deque, __u64 object)
{
    struct admitted *who = admitted();
    struct deque d;

    if (!who || !deque_read(&d, deque))
        return 0;
    struct task task = current_task(who);

    queue_put(&task, deque, queue_item(deque_place(d.left, d.left_index - 1), object), object);
    return 0;
}

/*
 * A loop takes the callback that it calls next. When it was put there by the task that has just received a request,
 * and only that, the callback is called because of it.
 */
static __always_inline void note_callback(const struct task *task, __u64 item)
{
    struct item_row *row = queue_row(task->pid, item);
    struct thread *thread = this_thread();
    struct trace_context c;

    if (!thread || task->kind != TASK_THREAD)
        return;
    thread->took = 1;
    thread->woken = 0;
    if (row && row->request && request_of(&row->task, &c) && c.method == PARENT_TASK && c.span == row->request)
        thread->woken = c.span;
}

/* The item at `index` of `block` leaves the deque. */
static __always_inline void leaves(struct admitted *who, __u64 deque, __u64 block, __s64 index)
{
    struct task task = current_task(who);
    __u64 object = deque_word(deque_place(block, index));
    __u64 item = queue_item(deque_place(block, index), object);
    __u64 beyond = deque_beyond(block, index);

    if (beyond && queue_row(task.pid, queue_item(beyond, object)))
        item = queue_item(beyond, object);
    note_callback(&task, item);
    queue_take(&task, deque, item, object);
}

SEC("uprobe")
int BPF_UPROBE(python_popleft, __u64 deque)
{
    struct admitted *who = admitted();
    struct deque d;

    if (who && deque_read(&d, deque) && d.length > 0)
        leaves(who, deque, d.left, d.left_index);
    return 0;
}

SEC("uprobe")
int BPF_UPROBE(python_pop, __u64 deque)
{
    struct admitted *who = admitted();
    struct deque d;

    if (who && deque_read(&d, deque) && d.length > 0)
        leaves(who, deque, d.right, d.right_index);
    return 0;
}

/* SimpleQueue.put(self, &arguments): the queue's own memory is not understood, so an item is its object. */
SEC("uprobe")
int BPF_UPROBE(python_put, __u64 queue, __u64 arguments)
{
    struct admitted *who = admitted();

    if (!who)
        return 0;
    struct task task = current_task(who);
    __u64 object = deque_word(arguments);

    queue_put_object(&task, object);
    return 0;
}

SEC("uprobe")
int BPF_URETPROBE(python_get, __u64 object)
{
    struct admitted *who = admitted();
    struct trace_context c;

    if (!who || !object)
        return 0;
    struct task task = current_task(who);

    if (!request_of(&task, &c) || c.method == PARENT_ITEM || c.method == PARENT_ANCESTOR)
        item_take(&task, object);
    return 0;
}

/* Context.run: until it returns, the thread works for this context. */
SEC("uprobe")
int BPF_UPROBE(python_run, __u64 context)
{
    struct admitted *who = admitted();
    struct thread *thread = who ? this_thread() : NULL;
    struct trace_context c;

    if (!thread)
        return 0;
    struct task outer = current_task(who), task = context_task(context);
    __u64 request = 0;
    __u8 method = PARENT_ITEM;

    __u64 *kept = outer_at(thread, thread->depth);

    if (kept)
        *kept = outer.kind == TASK_ASYNCIO ? outer.id : 0;
    if (!thread->depth && thread->took) {
        request = thread->woken;
    } else if (request_of(&outer, &c)) {
        /* A context of which nobody has seen where it comes from belongs to what enters it. */
        request = c.span;
        method = c.method == PARENT_ITEM ? PARENT_ITEM : PARENT_ANCESTOR;
    }
    thread->depth++;
    thread->woken = 0;
    if (request && !request_of(&task, &c))
        task_given(&task, request, method);
    tasks_are_set(who, TASK_ASYNCIO);
    task_resumed(who, context);
    return 0;
}

SEC("uprobe")
int BPF_URETPROBE(python_ran)
{
    struct admitted *who = admitted();
    struct thread *thread = who ? this_thread() : NULL;

    if (!thread || !thread->depth)
        return 0;
    thread->depth--;
    __u64 *kept = outer_at(thread, thread->depth);

    task_resumed(who, kept ? *kept : 0);
    if (!thread->depth && thread->took) {
        struct task task = thread_task();

        /* What comes next in the loop has nothing to do with what this callback was for. */
        task_given(&task, 0, PARENT_NONE);
        thread->took = 0;
    }
    return 0;
}

/* A copy of the current context: what is done in it is done for the one who made it. */
SEC("uprobe")
int BPF_URETPROBE(python_copied, __u64 context)
{
    struct admitted *who = admitted();

    if (!who || !context)
        return 0;
    struct task by = current_task(who), task = context_task(context);

    task_created(&task, &by);
    return 0;
}

/* An empty context, at an address where another one may have been. */
SEC("uprobe")
int BPF_URETPROBE(python_fresh, __u64 context)
{
    struct admitted *who = admitted();

    if (!who || !context)
        return 0;
    struct task task = context_task(context);

    task_ended(&task);
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
