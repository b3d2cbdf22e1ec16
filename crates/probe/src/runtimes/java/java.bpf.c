// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * java: threads of a JVM hand work over by java.util.concurrent, and threads carry virtual ones in turn; an agent in the
 * JVM calls a function each time.
 *
 * What is in a queue may be work or anything else, so it is taken as queue.h has it. What an executor, a fork-join pool
 * or a completion runs is certainly work, from where it begins to where it ends. An object is known by its identity
 * hash, together with that of its collection: two objects may share one, and then an item may be mistaken for another,
 * once in a hundred thousand.
 *
 * Without the agent it is known at least that threads are kept in pools, so that what a new one does may be for another.
 *
 * In     code of the JVM: JVM_StartThread; code of the agent: vor_java_put, vor_java_take, vor_java_enter, vor_java_leave, vor_java_create,
 *        vor_java_resume, vor_java_pause, vor_java_end
 * Out    nothing of its own
 * State  vor_tasks, vor_items, vor_running, vor_conduct; queue_taken, queue_pools, java_runs
 * Needs  uprobes with cookies (5.15)
 * Cost   a probe per hand-over, and two each time a thread goes on with a virtual one, in JVMs that have the agent,
 *        with some map operations
 */
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <maps/admit.h>
#include "runs.h"

/* Said by a virtual thread: the collection's hash, which has 31 bits, is turned over. */
static __always_inline bool is_virtual(__u32 collection)
{
    return collection >> 31;
}

/* The collection itself. */
static __always_inline __u32 plain(__u32 collection)
{
    return is_virtual(collection) ? ~collection : collection;
}

static __always_inline struct task virtual_thread(__u32 number)
{
    return (struct task){ .id = number, .pid = bpf_get_current_pid_tgid() >> 32, .kind = TASK_JAVA_VIRTUAL };
}

/* Who says so: a thread, or a virtual one; number 0 when nobody was seen to go on with that. */
static __always_inline struct task speaker(const struct admitted *who, __u32 collection)
{
    struct task task = current_task(who);

    return is_virtual(collection) && task.kind == TASK_THREAD ? virtual_thread(0) : task;
}

/* put0(item, collection); collection 0: it is not in a queue. */
SEC("uprobe")
int BPF_UPROBE(java_put, __u64 jni, __u64 class, __u32 item, __u32 collection)
{
    struct admitted *who = admitted();

    if (!who || !item)
        return 0;
    struct task task = speaker(who, collection);

    collection = plain(collection);
    if (collection)
        queue_fills(&task, collection, item);
    queue_put_object(&task, queue_item(collection, item));
    return 0;
}

/* take0(item, collection); item 0: nothing, or several at once. */
SEC("uprobe")
int BPF_UPROBE(java_take, __u64 jni, __u64 class, __u32 item, __u32 collection)
{
    struct admitted *who = admitted();

    if (!who)
        return 0;
    struct task task = speaker(who, collection);
    __u64 place = queue_item(plain(collection), item);

    if (task.id) {
        queue_take(&task, plain(collection), place, item);
        return 0;
    }
    struct item_row *row = queue_row(task.pid, place);

    if (row) {
        row->request = 0;
        row->taken = 1;
    }
    return 0;
}

/* enter0(item, collection): the item begins to be run. A virtual thread that runs others' work is not followed. */
SEC("uprobe")
int BPF_UPROBE(java_enter, __u64 jni, __u64 class, __u32 item, __u32 collection)
{
    struct admitted *who = admitted();

    if (!who || is_virtual(collection))
        return 0;
    struct task task = current_task(who);

    run_enter(&task, collection, item);
    return 0;
}

/* leave0(item, collection): it has been run. Item 0: the one of this collection. */
SEC("uprobe")
int BPF_UPROBE(java_leave, __u64 jni, __u64 class, __u32 item, __u32 collection)
{
    struct admitted *who = admitted();

    if (!who || is_virtual(collection))
        return 0;
    struct task task = current_task(who);

    run_leave(&task, collection, item);
    return 0;
}

/* create0(number, 0): a virtual thread is made, for what its maker serves. */
SEC("uprobe")
int BPF_UPROBE(java_create, __u64 jni, __u64 class, __u32 number)
{
    struct admitted *who = admitted();

    if (!who)
        return 0;
    struct task by = current_task(who), task = virtual_thread(number);

    task_created(&task, &by);
    return 0;
}

/* resume0(number, 0): this thread goes on with a virtual one. */
SEC("uprobe")
int BPF_UPROBE(java_resume, __u64 jni, __u64 class, __u32 number)
{
    struct admitted *who = admitted();

    if (!who)
        return 0;
    tasks_are_set(who, TASK_JAVA_VIRTUAL);
    task_resumed(who, number);
    return 0;
}

/* pause0(number, 0): it is off this thread. */
SEC("uprobe")
int BPF_UPROBE(java_pause)
{
    struct admitted *who = admitted();

    if (who)
        task_resumed(who, 0);
    return 0;
}

/* end0(number, 0): it is over. */
SEC("uprobe")
int BPF_UPROBE(java_end, __u64 jni, __u64 class, __u32 number)
{
    struct admitted *who = admitted();

    if (!who)
        return 0;
    struct task task = virtual_thread(number);

    task_resumed(who, 0);
    task_ended(&task);
    return 0;
}

/* JVM_StartThread: before there is the thread */
SEC("uprobe")
int java_starts(void *ctx)
{
    if (admitted())
        conduct_kept(bpf_get_current_pid_tgid() >> 32);
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
