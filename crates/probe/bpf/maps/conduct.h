/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * vor_conduct: how the threads of a process conduct themselves, as far as it decides what one of them works for.
 *
 * - A thread that reads a request from a socket that does not wait is loose: it may go on with the work of others
 *   before it has answered, as event loops and runtimes with tasks of their own do.
 * - A thread that was created by one that serves a request may be made for it, or be one more of a pool, which goes
 *   on with what others leave, and in some runtimes begins with that.
 *
 * Neither can be told from the single case, but from what the threads of the process did before.
 */
#pragma once
#include <lib/wire.h>

struct conduct {
    __u64 since_ns; /* tells this process from a later one of the same pid */
    __u32 loose;    /* requests of loose threads that are not over */
    __u8 orderly;   /* those during which the thread kept to its own, up to CONDUCT_PROVEN */
    __u8 ended;     /* threads that were made for a request, called for it and ended, up to CONDUCT_PROVEN */
    __u8 outlived;  /* a thread that was created for a request called when it was over */
    __u8 mixed : 1; /* a loose thread went on with the work of others */
    __u8 kept : 1;  /* its runtime has pools, whose threads may begin with the work of others */
};

#ifdef __bpf__
#include <kernel.h>
#include <bpf/bpf_helpers.h>

/* After so many cases a process is taken to do so always, until one speaks against it. */
#define CONDUCT_PROVEN 4

/* Rows go when the process does. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536); /* ebpf.max_tasks */
    __type(key, __u32);
    __type(value, struct conduct);
} vor_conduct SEC(".maps");

/* What is known of process `pid`; NULL: nothing. */
static __always_inline struct conduct *conduct_of(__u32 pid)
{
    return bpf_map_lookup_elem(&vor_conduct, &pid);
}

/* The same, made when there is nothing; NULL: there is no room. */
static __always_inline struct conduct *conduct_made(__u32 pid)
{
    struct conduct *row = conduct_of(pid);

    if (row)
        return row;
    struct conduct fresh = { .since_ns = bpf_ktime_get_ns() };

    bpf_map_update_elem(&vor_conduct, &pid, &fresh, BPF_NOEXIST);
    return conduct_of(pid);
}

/* Threads of process `pid` are of a runtime that keeps them in pools. */
static __always_inline void conduct_kept(__u32 pid)
{
    struct conduct *row = conduct_made(pid);

    if (row && !row->kept)
        row->kept = 1;
}

/* A loose thread has received a request; `several`: before it had answered another. */
static __always_inline __u64 conduct_begin(__u32 pid, bool several)
{
    struct conduct *row = conduct_made(pid);

    if (!row)
        return 0;
    if (several)
        row->mixed = 1;
    __sync_fetch_and_add(&row->loose, 1);
    return row->since_ns;
}

/* A request of a loose thread is over; `kept`: the thread has called for it and gone on with nothing else. */
static __always_inline void conduct_end(__u32 pid, __u64 since_ns, bool kept)
{
    struct conduct *row = conduct_of(pid);

    if (!row || row->since_ns != since_ns)
        return;
    /* With nothing else to go on with, it shows nothing. */
    if (__sync_fetch_and_add(&row->loose, -1) > 1 && kept && row->orderly < CONDUCT_PROVEN)
        row->orderly++;
}
#endif
