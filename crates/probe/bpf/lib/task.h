/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * A task: whoever works on one thing at a time. A thread is one; in a process whose runtime divides its threads
 * among goroutines, promises or green threads, each of those is one.
 *
 * `admitted.runs` says who the tasks of a process are. Its threads, unless a program of its runtime says
 * otherwise: tasks_are_set and tasks_in_tls do, once or as often as they like.
 */
#pragma once
#include <lib/wire.h>

/* task.kind */
#define TASK_THREAD 1       /* id: tid, in the initial pid namespace */
#define TASK_GOROUTINE 2    /* id: address of its runtime.g */
#define TASK_NODE 3         /* id: async id */
#define TASK_ASYNCIO 4      /* id: address of the Python object */
#define TASK_JAVA_VIRTUAL 5 /* id: address or number of the virtual thread */
#define TASK_TOKIO 6        /* id: task id */
#define TASK_NGINX 7        /* id: address of the request */
#define TASK_FIBER 8        /* id: address of the Ruby fiber */

/* A key of maps: all of its bytes count. */
struct task {
    __u64 id;
    __u32 pid; /* in the initial pid namespace */
    __u32 kind;
};

#ifdef __bpf__
#include <kernel.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <lib/lost.h>
#include <maps/admit.h>

/* The task of a runtime that a thread goes on with; id 0: none. It lies in the storage of the thread. */
struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct task);
} vor_running SEC(".maps");

/* The current thread. */
static __always_inline struct task thread_task(void)
{
    __u64 id = bpf_get_current_pid_tgid();

    return (struct task){ .id = (__u32)id, .pid = id >> 32, .kind = TASK_THREAD };
}

/* Says that tasks of `kind` work in the current process, and that task_resumed tells which. */
static __always_inline void tasks_are_set(struct admitted *who, __u8 kind)
{
    who->kind = kind;
    who->runs = RUNS_SET;
}

/*
 * Says that tasks of `kind` work in the current process, and that the word `offset` bytes from the thread
 * pointer identifies the one that a thread runs. Zero there: the thread itself.
 */
static __always_inline void tasks_in_tls(struct admitted *who, __u8 kind, __s16 offset)
{
    who->kind = kind;
    who->offset = offset;
    who->runs = RUNS_TLS;
}

/* The current thread goes on with task `id`, until it says otherwise. 0: with none. */
static __always_inline void task_resumed(struct admitted *who, __u64 id)
{
    struct task *running =
        bpf_task_storage_get(&vor_running, bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

    if (!running) {
        count(COUNT_TASKS_FULL);
        return;
    }
    running->pid = bpf_get_current_pid_tgid() >> 32;
    running->kind = who->kind;
    running->id = id;
}

/* Where the runtime's word in the thread's own memory lies. */
static __always_inline __u64 task_thread_pointer(void)
{
#if defined(__TARGET_ARCH_x86)
    return BPF_CORE_READ(bpf_get_current_task_btf(), thread.fsbase);
#else
    return BPF_CORE_READ(bpf_get_current_task_btf(), thread.uw.tp_value);
#endif
}

/* Who works now: a task of the process's runtime, or the thread. */
static __always_inline struct task current_task(const struct admitted *who)
{
    struct task task = thread_task();
    __u64 id = 0;

    if (who->runs == RUNS_SET) {
        struct task *running = bpf_task_storage_get(&vor_running, bpf_get_current_task_btf(), NULL, 0);

        if (running && running->id && running->pid == task.pid)
            task = *running;
    } else if (who->runs == RUNS_TLS) {
        bpf_probe_read_user(&id, sizeof(id), (void *)(task_thread_pointer() + who->offset));
        if (id) {
            task.id = id;
            task.kind = who->kind;
        }
    }
    return task;
}
#endif
