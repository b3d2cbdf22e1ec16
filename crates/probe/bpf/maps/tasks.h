/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * vor_tasks, vor_requests: what is written down of tasks and of the requests that they serve. lineage.h has the
 * rules.
 */
#pragma once
#include <lib/task.h>
#include <lib/trace.h>

struct task_row {
    __u64 since_ns; /* tells this task from a later one of the same name */
    __u64 received; /* span ids of the requests it received that are not over, xor-ed: one alone is itself */
    __u64 given;    /* span id of the request it was given */
    __u32 count;    /* of the requests in `received` */
    __u8 method;    /* how it was given: PARENT_… */
    __u8 several;   /* it once had several at a time */
    __u8 loose : 1; /* a thread that read the latest of them from a socket that does not wait */
    __u8 lent : 1;  /* it works for what it was given, although it has received others that are not over */
    __u8 called;    /* it has made a call for what it serves now */
};

struct request_row {
    struct trace_context context;
    struct task task; /* that received it */
    __u64 task_since_ns;
    __u64 conduct_since_ns; /* of its process, if the task was loose, otherwise 0 */
};

#ifdef __bpf__
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
#endif
