/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * What a thread of Node.js works for. Written by the unit `node`, read by whoever sees requests and calls.
 *
 * Node.js gives every resource (a handle, a request, a timer, a tick) a number when it is made, its async id, and keeps
 * four of them where JavaScript and C++ both reach them: `execution`, the resource whose callback runs; `trigger`, the
 * resource that was the reason for it; `last`, the one that was given last; `handle`, at a write, that of the stream.
 * A promise's continuation runs with no execution id; it is a turn of the thread, as is what is done with what was read.
 *
 * The thread is one task in the sense of lineage.h. Before it is asked for, it is given what the callback or job that runs
 * works for. What it has received goes over to the resource whose callback is called with it.
 */
#pragma once
#include <maps/lineage.h>

/* The four, as they were when it was last asked. */
struct async_now {
    __u64 execution;
    __u64 trigger;
    __u64 last;
    __u64 handle;
};

struct async_thread {
    struct async_now now; /* here because the stack is small */
    __u64 ids;            /* address of the four; 0: not found */
    __u64 request;        /* TURN_JOB: span id of the one that it is for; 0: none */
    __u64 turn_id;        /* TURN_JOB: the execution id in it, which hooks on promises give it; TURN_READ: the stream */
    __u64 turn_since;     /* the last id that was given when it began */
    __u32 round;          /* collections of garbage */
    __u8 turn;            /* TURN_… */
    __u8 tries;           /* to find the four */
    __u8 _pad[2];
};

/* async_thread.turn */
#define TURN_NONE 0
#define TURN_JOB 1  /* a promise is continued */
#define TURN_READ 2 /* what was read from a stream is given to the program, and what that leaves for later is done */

/* A key of maps: all of its bytes count. Each thread that runs JavaScript has numbers of its own. */
struct async_key {
    __u64 id;
    __u32 tid; /* in the initial pid namespace */
    __u32 _pad;
};

struct async_row {
    __u64 request; /* span id of the one that it works for; 0: of several, so of none */
    __u64 since;   /* what was given later numbers only is made because of it */
    __u8 method;   /* PARENT_… */
    __u8 vague;    /* it was made while a job ran, perhaps by what that called on behalf of another */
    __u8 called;   /* a stream: a call has begun on it */
    __u8 _pad[5];
};

#ifdef __bpf__
struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct async_thread);
} vor_async SEC(".maps");

/* Resources go without a word, so the oldest make room. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384); /* ebpf.max_items */
    __type(key, struct async_key);
    __type(value, struct async_row);
} vor_async_ids SEC(".maps");

/* An id as it lies in memory, a double. 0: there is none, which is -1 there. */
static __always_inline __u64 async_id(__u64 bits)
{
    __u64 exponent = bits >> 52; /* with the sign */

    if (exponent < 1023 || exponent > 1023 + 52)
        return 0;
    return ((bits & ((1ULL << 52) - 1)) | 1ULL << 52) >> (1075 - exponent);
}

/* Reads the four; false: they cannot be read. */
static __always_inline bool async_look(struct async_thread *thread)
{
    struct async_now *now = &thread->now;

    if (bpf_probe_read_user(now, sizeof(*now), (void *)thread->ids))
        return false;
    now->execution = async_id(now->execution);
    now->trigger = async_id(now->trigger);
    now->last = async_id(now->last);
    now->handle = async_id(now->handle);
    return true;
}

/* The current thread, if it runs JavaScript and what it keeps was found. */
static __always_inline struct async_thread *async_thread(void)
{
    struct async_thread *thread = bpf_task_storage_get(&vor_async, bpf_get_current_task_btf(), NULL, 0);

    return thread && thread->ids ? thread : NULL;
}

static __always_inline struct async_key async_key(__u64 id)
{
    return (struct async_key){ .id = id, .tid = (__u32)bpf_get_current_pid_tgid() };
}

static __always_inline struct async_row *async_row(__u64 id)
{
    struct async_key key = async_key(id);

    return id ? bpf_map_lookup_elem(&vor_async_ids, &key) : NULL;
}

static __always_inline void async_note(__u64 id, const struct async_row *row, __u64 flags)
{
    struct async_key key = async_key(id);

    bpf_map_update_elem(&vor_async_ids, &key, row, flags);
}

/* The thread as a task. */
static __always_inline struct task async_task(void)
{
    struct task task = thread_task();

    task.kind = TASK_NODE;
    return task;
}

/* The request that whatever was the reason for the callback works for, or 0. */
static __always_inline __u64 async_cause(const struct async_now *now)
{
    struct async_row *row = async_row(now->trigger);

    return row && now->execution > row->since ? row->request : 0;
}

/* The request that the thread's turn is for, or 0. */
static __always_inline __u64 async_turn(const struct async_thread *thread)
{
    struct async_row *stream;

    if (thread->turn != TURN_READ)
        return thread->turn ? thread->request : 0;
    stream = async_row(thread->turn_id);
    return stream ? stream->request : 0;
}

/* The request that the current thread works for, or 0, and how it came to it. */
static __always_inline __u64 async_request(const struct async_thread *thread, __u8 *method)
{
    const struct async_now *now = &thread->now;
    bool made = thread->turn && now->execution > thread->turn_since;
    struct async_row *row;
    __u64 cause;

    *method = PARENT_ITEM;
    if (thread->turn == TURN_JOB && now->execution == thread->turn_id)
        return thread->request;
    if (!now->execution)
        return 0;
    row = async_row(now->execution);
    if (row && !row->vague) {
        *method = row->method;
        return row->request;
    }
    *method = PARENT_ANCESTOR;
    cause = async_cause(now);
    if (row)
        return cause && cause != row->request ? 0 : row->request;
    if (made && thread->turn == TURN_JOB)
        return cause && cause != thread->request ? 0 : thread->request;
    if (cause) {
        struct async_row fresh = { .request = cause, .since = now->execution, .method = PARENT_ANCESTOR };

        async_note(now->execution, &fresh, BPF_NOEXIST);
        return cause;
    }
    return made && now->trigger > thread->turn_since ? async_turn(thread) : 0;
}
#endif
