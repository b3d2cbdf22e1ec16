/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Promises: who says what is to be done when one is settled leaves an item, and the job that does it takes it.
 *
 * A job knows its handler and the promise that `then` returned, and so does `then`: that pair is the item's name. `await`
 * returns none, but has handlers of its own each time. Neither the promise that is awaited nor who settles it matters.
 *
 * The collector moves objects, so names change: after each collection all items are looked at.
 */
#pragma once
#include <maps/async.h>
#include "builtin.h"

/* A key of maps: all of its bytes count. */
struct promise_key {
    __u64 handler; /* 0: whichever */
    __u64 derived; /* the promise that `then` returned, or `undefined` */
    __u32 tid;
    __u32 _pad;
};

struct promise_row {
    __u64 request;
    __u64 other; /* the handler for the other outcome */
    __u64 handler_map;
    __u64 derived_map;
    __u32 round; /* of collections that it has seen */
    __u32 _pad;
};

/* What never settles goes without a word, so the oldest make room. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384); /* ebpf.max_items */
    __type(key, struct promise_key);
    __type(value, struct promise_row);
} node_promises SEC(".maps");

static __always_inline struct promise_key promise_key(__u64 handler, __u64 derived)
{
    return (struct promise_key){ .handler = handler, .derived = derived, .tid = (__u32)bpf_get_current_pid_tgid() };
}

/* `handler` is to run for `request`, if this outcome comes, or else `other`. 0: for nobody knows whom. */
static __always_inline void promise_put(const struct async_thread *thread, __u64 request, __u64 handler, __u64 other,
                                        __u64 derived)
{
    struct promise_key key = promise_key(handler, derived);
    struct promise_row row = { .request = request, .other = other, .round = thread->round };

    if (!request) {
        /* An item of the same name is from an object that is no more. */
        bpf_map_delete_elem(&node_promises, &key);
        return;
    }
    row.handler_map = heap_map(handler);
    row.derived_map = heap_map(derived);
    if (row.derived_map && (row.handler_map || !handler))
        bpf_map_update_elem(&node_promises, &key, &row, BPF_ANY);
}

/* The request for which `handler` runs. */
static __always_inline __u64 promise_take(__u64 handler, __u64 derived)
{
    struct promise_key key = promise_key(handler, derived);
    struct promise_row *row = bpf_map_lookup_elem(&node_promises, &key);
    __u64 request;

    if (!row) {
        key.handler = 0;
        row = bpf_map_lookup_elem(&node_promises, &key);
    }
    if (!row)
        return 0;
    request = row->request;
    struct promise_key twin = promise_key(row->other, derived);

    bpf_map_delete_elem(&node_promises, &key);
    bpf_map_delete_elem(&node_promises, &twin);
    return request;
}

struct promise_walk {
    __u32 tid;
    __u32 round;
};

/* The item's objects may have been moved. */
static long promise_follow(void *map, struct promise_key *key, struct promise_row *row, struct promise_walk *walk)
{
    struct promise_key now = *key, was = *key;
    struct promise_row moved = *row;

    if (was.tid != walk->tid || moved.round == walk->round)
        return 0;
    now.handler = heap_moved(was.handler, moved.handler_map);
    now.derived = heap_moved(was.derived, moved.derived_map);
    moved.round = walk->round;
    /* The other handler is made with this one, and is of the same kind; when it is lost, it is only not cleaned up. */
    moved.other = heap_moved(moved.other, moved.handler_map);
    bool lost = !now.derived || (was.handler && !now.handler);

    if (!lost && now.handler == was.handler && now.derived == was.derived) {
        row->round = walk->round;
        row->other = moved.other;
        return 0;
    }
    bpf_map_delete_elem(map, &was);
    if (!lost)
        bpf_map_update_elem(map, &now, &moved, BPF_ANY);
    return 0;
}
