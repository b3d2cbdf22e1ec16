/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * vor_admit: the processes that are observed. Written by user space, and by the unit `life` when an observed
 * process forks or runs another program.
 *
 * It lies in the storage of the thread group's leader, so it dies with the process.
 */
#pragma once
#include <lib/wire.h>

/* admitted.flags: what an observed process starts is observed, whatever program it runs. */
#define ADMIT_DESCENDANTS 0x1
/* admitted.flags: how the place of its calls in a trace is written into what it sends. */
#define ADMIT_WRITES_TCP 0x2
#define ADMIT_WRITES_HEADERS 0x4

/* admitted.runs: who works in the process; see lib/task.h. */
#define RUNS_THREADS 0 /* its threads */
#define RUNS_SET 1     /* tasks of a runtime, which says when a thread goes on with which */
#define RUNS_TLS 2     /* tasks of a runtime; a word in a thread's own memory says which it runs */
#define RUNS_ASYNC 3   /* resources and promises of Node.js; see maps/async.h */

struct admitted {
    __u64 started_ns; /* boot clock */
    __u64 exchanges;  /* that began in it */
    __u32 flags;
    __u8 runs;
    __u8 kind;    /* of the tasks: TASK_… */
    __s16 offset; /* RUNS_TLS: of the word, from the thread pointer */
};

#ifdef __bpf__
#include <kernel.h>
#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct admitted);
} vor_admit SEC(".maps");

/* The current process when it is observed, otherwise NULL. */
static __always_inline struct admitted *admitted(void)
{
    return bpf_task_storage_get(&vor_admit, bpf_get_current_task_btf()->group_leader, NULL, 0);
}
#endif
