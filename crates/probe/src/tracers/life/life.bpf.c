// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * life: processes begin, run another program, listen and end.
 *
 * In     tp_btf/sched_process_fork, sched_process_exec, sched_process_exit, inet_sock_set_state
 * Out    life_events   one life_record per event
 * State  vor_admit     a child of an observed process is observed from its first instruction
 *        vor_tasks     what a new thread or process of an observed one serves
 *        vor_conduct   whether threads that were created for a request end with it
 * Needs  kernel BTF, ring buffer (5.8), task storage in tracing programs (5.13)
 * Cost   one record per process event; one look into task storage per thread; one comparison per change of a
 *        TCP state
 */
#include <kernel.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <lib/lost.h>
#include <lib/ring.h>
#include <maps/admit.h>
#include <maps/lineage.h>
#include "wire.h"

#define TCP_LISTEN 10
/* Ring fill at which the reader is woken instead of waiting for its timer: 2,000 records. */
#define LIFE_HIGH_WATER (64 * 1024)

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 256 * 1024);
} life_events SEC(".maps");

static __always_inline void tell(const struct life_record *r)
{
    if (bpf_ringbuf_output(&life_events, (void *)r, sizeof(*r), ring_wake(&life_events, LIFE_HIGH_WATER)))
        lost(LOST_RING_FULL);
}

/* What happened to the process of `leader`. */
static __always_inline void happened(struct task_struct *leader, __u16 kind, __u32 parent, __u16 port)
{
    struct life_record r = {
        .started_ns = leader->start_boottime,
        .pid = leader->tgid,
        .parent = parent,
        .kind = kind,
        .port = port,
    };

    tell(&r);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(life_fork, struct task_struct *parent, struct task_struct *child)
{
    struct task task = { .id = child->pid, .pid = child->tgid, .kind = TASK_THREAD };
    bool thread = child->pid != child->tgid;
    struct admitted *who = admitted(); /* the parent is the current task */

    if (who) {
        struct task by = current_task(who);

        task_created(&task, &by);
    }
    if (thread)
        return 0;
    if (who) {
        struct admitted own = {
            .started_ns = child->start_boottime,
            .flags = who->flags,
            .runs = who->runs,
            .kind = who->kind,
            .offset = who->offset,
        };

        if (!bpf_task_storage_get(&vor_admit, child, &own, BPF_LOCAL_STORAGE_GET_F_CREATE))
            lost(LOST_ADMIT);
    }
    happened(child, LIFE_FORK, parent->tgid, 0);
    return 0;
}

/*
 * The new program may be one that nobody asked for; user space decides again when it has heard of it.
 * A program run by a thread other than the leader takes over the leader's pid, but not its task storage.
 */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(life_exec, struct task_struct *task)
{
    struct admitted *who = bpf_task_storage_get(&vor_admit, task, NULL, 0);

    if (who && !(who->flags & ADMIT_DESCENDANTS))
        bpf_task_storage_delete(&vor_admit, task);
    else if (who)
        who->runs = RUNS_THREADS;
    struct life_record r = {
        .started_ns = task->start_boottime,
        .pid = task->tgid,
        .kind = LIFE_EXEC,
    };

    /* The kernel has named the task after its program just before. */
    bpf_get_current_comm(r.program, sizeof(r.program));
    tell(&r);
    return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(life_exit, struct task_struct *task)
{
    if (bpf_task_storage_get(&vor_admit, task->group_leader, NULL, 0))
        thread_ended(!task->signal->live.counter);
    /* Counted down before this hook (do_exit); the last threads may end at once and both see none left. */
    if (task->signal->live.counter)
        return 0;
    happened(task->group_leader, LIFE_EXIT, 0, 0);
    return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(life_listen, struct sock *sk, int from, int to)
{
    if (to != TCP_LISTEN)
        return 0;
    /* listen(2) runs in the caller's context. Without bind(2) before it there is no port yet. */
    __u16 port = sk->__sk_common.skc_num;

    if (port)
        happened(bpf_get_current_task_btf()->group_leader, LIFE_LISTEN, 0, port);
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
