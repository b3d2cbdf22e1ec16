// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * java: threads of a JVM hand work over by java.util.concurrent, and an agent in the JVM calls a function each time.
 *
 * What is in a queue may be work or anything else, so it is taken as queue.h has it. What an executor, a fork-join pool
 * or a completion runs is certainly work, from where it begins to where it ends. An object is known by its identity
 * hash, together with that of its collection: two objects may share one, and then an item may be mistaken for another,
 * once in a hundred thousand.
 *
 * In     code of the agent: vor_java_put, vor_java_take, vor_java_enter, vor_java_leave
 * Out    nothing of its own
 * State  vor_tasks, vor_items; queue_taken, queue_pools, java_runs
 * Needs  uprobes with cookies (5.15)
 * Cost   a probe per hand-over in JVMs that have the agent, with some map operations
 */
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <maps/admit.h>
#include "runs.h"

/* A virtual thread: the collection's hash, which has 31 bits, is turned over. */
static __always_inline bool is_virtual(__u32 collection)
{
    return collection >> 31;
}

/* The thread below a virtual one carries others too, so whom that works for is not known. */
static __always_inline struct task nobody(void)
{
    return (struct task){ .pid = bpf_get_current_pid_tgid() >> 32, .kind = TASK_JAVA_VIRTUAL };
}

/* put0(item, collection); collection 0: it is not in a queue. */
SEC("uprobe")
int BPF_UPROBE(java_put, __u64 jni, __u64 class, __u32 item, __u32 collection)
{
    struct admitted *who = admitted();

    if (!who || !item)
        return 0;
    struct task task = is_virtual(collection) ? nobody() : current_task(who);

    if (is_virtual(collection))
        collection = ~collection;
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
    struct task task = current_task(who);

    if (is_virtual(collection)) {
        struct item_row *row = queue_row(task.pid, queue_item(~collection, item));

        if (row) {
            row->request = 0;
            row->taken = 1;
        }
        return 0;
    }
    queue_take(&task, collection, queue_item(collection, item), item);
    return 0;
}

/* enter0(item, collection): the item begins to be run. */
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

char LICENSE[] SEC("license") = "Dual BSD/GPL";
