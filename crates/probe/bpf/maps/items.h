/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Work that is handed over: what one task puts somewhere, and another takes from there. Written by units of
 * runtimes.
 */
#pragma once
#include <maps/lineage.h>

/* A thing that one task leaves and another takes: the address of an object, or of the slot it lies in. */
struct item_key {
    __u64 address;
    __u32 pid;
    __u32 _pad;
};

struct item_row {
    __u64 request;    /* span id of the one it is for; 0: none */
    struct task task; /* that put it, then that took it */
    __u32 taken;
    __u32 returned; /* put back by the task that had taken it: a thing in use, rather than work */
};

#ifdef __bpf__
/* Nobody says when an item is no more, so the oldest make room. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384); /* ebpf.max_items */
    __type(key, struct item_key);
    __type(value, struct item_row);
} vor_items SEC(".maps");

/* `task` has left the item at `address` for another. */
__noinline int item_put(const struct task *task, __u64 address)
{
    struct trace_context c;
    struct item_row item = {}, *before;

    if (!task)
        return 0;
    struct item_key key = { .address = address, .pid = task->pid };

    before = bpf_map_lookup_elem(&vor_items, &key);
    item.returned = before && before->taken && before->task.id == task->id && before->task.kind == task->kind;
    item.request = request_of(task, &c) ? c.span : 0;
    item.task = *task;
    bpf_map_update_elem(&vor_items, &key, &item, BPF_ANY);
    return item.request != 0;
}

/*
 * `task` has taken the item at `address`: it serves what the one that put it there served. What is passed
 * around among tasks that are at work (a connection of a pool) changes nothing for them.
 */
__noinline int item_take(const struct task *task, __u64 address)
{
    struct trace_context c;
    struct item_row *item;
    __u64 request = 0;

    if (!task)
        return 0;
    struct task taker = *task;
    struct item_key key = { .address = address, .pid = task->pid };

    item = bpf_map_lookup_elem(&vor_items, &key);
    if (item) {
        bool in_use = item->returned;

        request = item->request;
        item->task = taker;
        item->taken = 1;
        if (in_use && request_of(&taker, &c))
            return 0;
    }
    task_given(&taker, request, PARENT_ITEM);
    return request != 0;
}
#endif
