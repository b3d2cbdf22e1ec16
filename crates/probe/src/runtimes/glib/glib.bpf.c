// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * glib: threads of programs that use GLib hand work over by a GQueue, with a condition variable of their own or, in a
 * GAsyncQueue, of the library's.
 *
 * What is put into a queue is a pointer, and so is what is taken out: the item. A GThreadPool keeps its work in a
 * GAsyncQueue, and a GTask runs in one.
 *
 * In     code of libglib: g_queue_push_head, g_queue_push_tail, g_queue_insert_sorted; g_queue_pop_head,
 *        g_queue_pop_tail
 * Out    nothing of its own
 * State  vor_tasks, vor_items; queue_taken, queue_pools, glib_threads
 * Needs  uprobes with cookies (5.15)
 * Cost   one look at the process per call in observed and unobserved programs with the library; in observed ones some
 *        map operations
 */
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <maps/admit.h>
#include <maps/queue.h>

/* struct _GQueue and struct _GList, which are public. */
struct queue {
    __u64 head;
    __u64 tail;
};

/* Where a GThreadPool has its GAsyncQueue, and where that has its GQueue. */
#define POOL_WORK 24
#define WORK_QUEUE 24

/* What each thread took last. */
struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, __u64);
} glib_threads SEC(".maps");

/* g_queue_push_head(queue, data) and its like */
SEC("uprobe")
int BPF_UPROBE(glib_push, __u64 queue, __u64 data)
{
    struct admitted *who = admitted();

    if (!who || !data)
        return 0;
    struct task task = current_task(who);

    queue_put_into(&task, queue, data);
    return 0;
}

/*
 * Threads that all GThreadPools share wait for a pool, and then for its work: whether `object`, which the thread took
 * before, is the pool whose work lies in `queue` (struct _GRealThreadPool, struct _GAsyncQueue).
 */
static __always_inline bool is_of_pool(__u64 object, __u64 queue)
{
    __u64 work = 0;

    return object && !bpf_probe_read_user(&work, sizeof(work), (void *)(object + POOL_WORK)) &&
           work + WORK_QUEUE == queue;
}

/* The current task takes what the first member of the list at `node` points to out of `queue`. */
static __always_inline int popped(struct admitted *who, __u64 queue, __u64 node)
{
    __u64 *before =
        bpf_task_storage_get(&glib_threads, bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
    struct taken now = { .from = queue };

    if (!before || !node || bpf_probe_read_user(&now.object, sizeof(now.object), (void *)node) || !now.object)
        return 0;
    struct task task = current_task(who);
    __u64 item = queue_item(queue, now.object);

    if (is_of_pool(*before, queue)) {
        item_take(&task, item);
        bpf_map_update_elem(&queue_taken, &task, &now, BPF_ANY);
    } else {
        queue_take(&task, queue, item, now.object);
    }
    *before = now.object;
    return 0;
}

/* g_queue_pop_head(queue) */
SEC("uprobe")
int BPF_UPROBE(glib_pop_head, __u64 queue)
{
    struct admitted *who = admitted();
    struct queue q;

    return who && !bpf_probe_read_user(&q, sizeof(q), (void *)queue) ? popped(who, queue, q.head) : 0;
}

/* g_queue_pop_tail(queue) */
SEC("uprobe")
int BPF_UPROBE(glib_pop_tail, __u64 queue)
{
    struct admitted *who = admitted();
    struct queue q;

    return who && !bpf_probe_read_user(&q, sizeof(q), (void *)queue) ? popped(who, queue, q.tail) : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
