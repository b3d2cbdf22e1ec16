/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Work that goes from one task to another by way of a collection: which takes count as hand-overs.
 *
 * Not every collection is a queue of work. A task that is at work takes other things too: a connection of a pool,
 * the next bytes of a stream. So a task that serves a request goes over to another one only by an item from the
 * collection from which it got that request, and a collection into which takers return what they took is a pool.
 */
#pragma once
#include <kernel.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <maps/items.h>

/* What a task took last. */
struct taken {
    __u64 from; /* the collection */
    __u64 object;
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, struct task);
    __type(value, struct taken);
} queue_taken SEC(".maps");

/* Collections that are pools. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, struct item_key);
    __type(value, __u8);
} queue_pools SEC(".maps");

/*
 * One object may be in several places at a time (a small number, a constant), and one place holds one object after
 * the other; a place with an object in it is one item.
 */
static __always_inline __u64 queue_item(__u64 place, __u64 object)
{
    return place * 0x9e3779b97f4a7c15ULL ^ object;
}

static __always_inline struct item_row *queue_row(__u32 pid, __u64 item)
{
    struct item_key key = { .address = item, .pid = pid };

    return bpf_map_lookup_elem(&vor_items, &key);
}

/* `task` puts `object` into `collection`: what it took from there last makes that a pool. */
static __always_inline void queue_fills(const struct task *task, __u64 collection, __u64 object)
{
    struct taken *last = bpf_map_lookup_elem(&queue_taken, task);

    if (last && last->from == collection && last->object == object) {
        struct item_key pool = { .address = collection, .pid = task->pid };
        __u8 one = 1;

        bpf_map_update_elem(&queue_pools, &pool, &one, BPF_ANY);
    }
}

/* `task` puts `object` into `collection`, where it is `item`. */
static __always_inline void queue_put(const struct task *task, __u64 collection, __u64 item, __u64 object)
{
    queue_fills(task, collection, object);
    item_put(task, item);
}

/* `task` leaves an item that is known by its object only, so that the same object may be on its way twice. */
static __always_inline void queue_put_object(const struct task *task, __u64 item)
{
    struct item_row *row = queue_row(task->pid, item);
    __u64 waits_for = row && !row->taken ? row->request : 0;
    struct trace_context c;

    item_put(task, item);
    if (!waits_for || (request_of(task, &c) && c.span == waits_for))
        return;
    /* It is on its way for two requests: there is no telling them apart. */
    row = queue_row(task->pid, item);
    if (row)
        row->request = 0;
}

/* `task` puts `object` into `collection`, where it is known by nothing but itself. */
static __always_inline void queue_put_into(const struct task *task, __u64 collection, __u64 object)
{
    queue_fills(task, collection, object);
    queue_put_object(task, queue_item(collection, object));
}

/* Whether `task` goes over to the request of an item that it takes from `collection`. */
static __always_inline bool queue_gives(const struct task *task, __u64 collection, const struct item_row *item)
{
    struct item_key pool = { .address = collection, .pid = task->pid };
    struct trace_context c;

    if (bpf_map_lookup_elem(&queue_pools, &pool))
        return false;
    if (!request_of(task, &c))
        return true;
    /* A thread of a pool that grew while this request was served. */
    if (c.method == PARENT_ANCESTOR)
        return item && item->request != c.span && task->kind == TASK_THREAD;
    if (c.method != PARENT_ITEM)
        return false; /* it received the request itself */
    struct taken *last = bpf_map_lookup_elem(&queue_taken, task);

    return (last && last->from == collection) || (item && item->request == c.span);
}

/* A coroutine serves the request of its creator, and takes something that is there for another one. */
static __always_inline bool queue_contradicts(const struct task *task, const struct item_row *item)
{
    struct trace_context c;

    return item && item->request && task->kind != TASK_THREAD && request_of(task, &c) && c.method == PARENT_ANCESTOR &&
           c.span != item->request && bpf_map_lookup_elem(&vor_requests, &item->request);
}

/* `task` takes `object` out of `collection`, where it was `item`. */
static __always_inline void queue_take(const struct task *task, __u64 collection, __u64 item, __u64 object)
{
    struct taken now = { .from = collection, .object = object };
    struct item_row *row = queue_row(task->pid, item);
    struct trace_context c;

    if (queue_gives(task, collection, row)) {
        struct taken *last = bpf_map_lookup_elem(&queue_taken, task);
        /* One piece of work may come through a collection within another; the next piece comes from the outer one. */
        bool inner = last && last->from != collection && row && request_of(task, &c) && c.method == PARENT_ITEM &&
                     c.span == row->request;

        item_take(task, item);
        if (!inner)
            bpf_map_update_elem(&queue_taken, task, &now, BPF_ANY);
        return;
    }
    if (queue_contradicts(task, row))
        task_given(task, 0, PARENT_NONE);
    /* It is not on its way any more. */
    if (row) {
        row->task = *task;
        row->taken = 1;
    }
}
