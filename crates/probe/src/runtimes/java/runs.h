/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * What a thread runs, within each other: a task that waits for another one may run others meanwhile, and goes on with
 * its own after that.
 */
#pragma once
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <maps/queue.h>

/* Runs within each other that are kept; of more than that, the innermost. A power of two. */
#define RUNS 8

/* What is run, and what the thread was given before. */
struct run {
    __u64 given;
    __u32 item;
    __u32 collection;
    __u32 level;
    __u8 method;
    __u8 called;
    __u8 lent;
    __u8 _pad;
};

struct runs {
    struct run run[RUNS];
    __u32 depth;
    __u32 _pad;
};

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct runs);
} java_runs SEC(".maps");

static __always_inline struct runs *this_runs(void)
{
    return bpf_task_storage_get(&java_runs, bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

static __always_inline struct run *run_at(struct runs *runs, __u32 level)
{
    /* The compiler would see what the mask changes, but verifiers before 6.2 need it right here. */
    barrier_var(level);
    return &runs->run[level & (RUNS - 1)];
}

/* Whether `task` serves `request` already, or must go on with what it serves. */
static __always_inline bool run_keeps(const struct task *task, const struct task_row *row, __u64 request)
{
    struct trace_context c;

    if (!row)
        return !request;
    if (!row->count)
        return row->given == request && (!request || row->method == PARENT_ITEM);
    /* It has received a request: what it runs meanwhile is for another one only if that is certain. */
    return !request || !bpf_map_lookup_elem(&vor_requests, &request) || (request_of(task, &c) && c.span == request);
}

/*
 * `task`, the current thread, begins to run an item: it serves what the item is for. One that nobody was seen to leave
 * changes nothing.
 */
static __always_inline void run_enter(const struct task *task, __u32 collection, __u32 item)
{
    struct item_row *left = queue_row(task->pid, queue_item(collection, item));
    struct task_row *row = bpf_map_lookup_elem(&vor_tasks, task);
    struct runs *runs;
    __u64 request;

    if (!left)
        return;
    left->taken = 1;
    request = left->request;
    if (run_keeps(task, row, request))
        return;
    runs = this_runs();
    if (!runs)
        return;
    *run_at(runs, runs->depth) = (struct run){
        .given = row ? row->given : 0,
        .item = item,
        .collection = collection,
        .level = runs->depth,
        .method = row ? row->method : PARENT_NONE,
        .called = row ? row->called : 0,
        .lent = row ? row->lent : 0,
    };
    runs->depth++;
    task_given(task, request, PARENT_ITEM);
    if (row && row->count)
        row->lent = 1;
}

/* It is done with the item (0: with whichever is of `collection`), and with those within, whose ends nobody has seen. */
static __always_inline void run_leave(const struct task *task, __u32 collection, __u32 item)
{
    struct runs *runs = bpf_task_storage_get(&java_runs, bpf_get_current_task_btf(), NULL, 0);

    if (!runs)
        return;
    for (__u32 back = 1; back <= RUNS && back <= runs->depth; back++) {
        __u32 level = runs->depth - back;
        struct run *run = run_at(runs, level);
        struct task_row *row;

        if (run->level != level)
            return; /* it was not kept */
        if (run->collection != collection || (item && run->item != item))
            continue;
        runs->depth = level;
        row = bpf_map_lookup_elem(&vor_tasks, task);
        if (!row)
            return;
        row->given = run->given;
        row->method = run->method;
        row->called = run->called;
        row->lent = run->lent;
        return;
    }
}
