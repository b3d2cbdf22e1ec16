// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * node: one thread of Node.js works for many requests, in callbacks and in continuations of promises.
 *
 * In     code of Node.js: AsyncWrap::AsyncReset, LibuvStreamWrap::OnUvRead, the HTTP parser's OnStreamRead; of V8: PerformPromiseThen,
 *        Promise.prototype.then, the jobs of promises, RunMicrotasks, and the end of a collection of garbage
 * Out    nothing of its own
 * State  vor_async, vor_async_ids, vor_tasks; node_promises, node_searches
 * Needs  uprobes with cookies (5.15), bpf_for_each_map_elem (5.13)
 * Cost   one look at the process per call in observed and unobserved Node.js programs; in observed ones four words of
 *        its memory and some map operations
 */
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <maps/admit.h>
#include <maps/async.h>
#include "builtin.h"
#include "find.h"
#include "promises.h"

/* Resources that are noted of one turn. */
#define MADE_MAX 32
/* Words of an AsyncWrap among which its ids are. */
#define WRAP_WORDS 12

/* AsyncWrap::AsyncReset(this, …): the resource gets the next number. */
SEC("uprobe")
int BPF_UPROBE(node_reset, __u64 wrap)
{
    struct admitted *who = admitted();
    struct async_thread *thread = who ? node_find(who, wrap) : NULL;
    struct async_row row = { .method = PARENT_ANCESTOR };
    __u8 method;

    if (!thread || !async_look(thread))
        return 0;
    row.request = async_request(thread, &method);
    row.since = thread->now.last + 1;
    if (row.request)
        async_note(thread->now.last + 1, &row, BPF_ANY);
    return 0;
}

/* The id of the resource `wrap`: the first of its words that is one, followed by that of what made it. 0: none. */
static __always_inline __u64 id_of(__u64 wrap, __u64 last)
{
    __u64 words[WRAP_WORDS];

    if (bpf_probe_read_user(words, sizeof(words), (void *)wrap))
        return 0;
    for (__u32 i = 0; i < WRAP_WORDS - 1; i++) {
        __u64 id = async_id(words[i]), trigger = async_id(words[i + 1]);

        if (id && id <= last && trigger < id && (trigger || !words[i + 1]))
            return id;
    }
    return 0;
}

/* The thread's turn is over: what was made in it is made for the same request. */
static __always_inline void turn_over(struct async_thread *thread)
{
    struct async_row row = { .request = async_turn(thread), .method = PARENT_ANCESTOR, .vague = 1 };
    __u64 id = thread->turn_since;

    if (row.request) {
        for (__u32 i = 0; i < MADE_MAX && id < thread->now.last; i++) {
            row.since = ++id;
            async_note(id, &row, BPF_NOEXIST);
        }
    }
    thread->turn = TURN_NONE;
}

static __always_inline void turn_begins(struct async_thread *thread, __u8 turn, __u64 id)
{
    thread->turn = turn;
    thread->turn_id = id;
    thread->turn_since = thread->now.last;
}

/* LibuvStreamWrap::OnUvRead(this, length, buffer): what was read just now is given to the program. */
SEC("uprobe")
int BPF_UPROBE(node_read, __u64 wrap, __s64 length)
{
    struct admitted *who = admitted();
    struct async_thread *thread = who ? node_find(who, wrap) : NULL;
    struct task task = async_task();
    struct task_row *received;
    __u64 id;

    if (!thread || length <= 0 || !async_look(thread))
        return 0;
    id = id_of(wrap, thread->now.last);
    received = bpf_map_lookup_elem(&vor_tasks, &task);
    if (received && received->count) {
        struct async_row row = { .since = thread->now.last, .method = PARENT_TASK };

        if (received->count == 1)
            row.request = received->received;
        task_ended(&task);
        if (id)
            async_note(id, &row, BPF_ANY);
    }
    turn_begins(thread, async_row(id) ? TURN_READ : TURN_NONE, id);
    return 0;
}

/* Parser::OnStreamRead(listener, …): a parser of HTTP is given what was read; it calls the program. */
SEC("uprobe")
int BPF_UPROBE(node_parse, __u64 listener)
{
    struct async_thread *thread = admitted() ? async_thread() : NULL;
    struct async_row *stream = thread && thread->turn == TURN_READ ? async_row(thread->turn_id) : NULL;
    __u64 id;

    if (!stream)
        return 0;
    struct async_row row = *stream;

    id = id_of(listener - code_tag(ctx), thread->now.last);
    if (id)
        async_note(id, &row, BPF_ANY);
    return 0;
}

/* PerformPromiseThen(promise, fulfilled, rejected, derived) */
SEC("uprobe")
int node_then(struct code_regs *ctx)
{
    struct async_thread *thread = admitted() ? async_thread() : NULL;
    __u64 fulfilled = BUILTIN_ARG1(ctx), rejected = BUILTIN_ARG2(ctx), derived = BUILTIN_ARG3(ctx);
    __u64 request;
    __u8 method;

    if (!thread || !async_look(thread))
        return 0;
    request = async_request(thread, &method);
    promise_put(thread, request, fulfilled, rejected, derived);
    if (rejected != fulfilled)
        promise_put(thread, request, rejected, fulfilled, derived);
    return 0;
}

/* Promise.prototype.then returns the promise that it made. */
SEC("uprobe")
int node_thened(struct code_regs *ctx)
{
    struct async_thread *thread = admitted() ? async_thread() : NULL;
    __u8 method;

    if (thread && async_look(thread))
        promise_put(thread, async_request(thread, &method), 0, 0, BUILTIN_RESULT(ctx));
    return 0;
}

/* PromiseFulfillReactionJob and PromiseRejectReactionJob(argument, handler, derived) */
SEC("uprobe")
int node_job(struct code_regs *ctx)
{
    struct async_thread *thread = admitted() ? async_thread() : NULL;

    if (!thread || !async_look(thread))
        return 0;
    turn_over(thread);
    thread->request = promise_take(BUILTIN_ARG1(ctx), BUILTIN_ARG2(ctx));
    turn_begins(thread, TURN_JOB, thread->now.execution);
    return 0;
}

/* OnUvRead or RunMicrotasks returns, or PromiseResolveThenableJob begins, for which there is no item. */
SEC("uprobe")
int BPF_UPROBE(node_idle)
{
    struct async_thread *thread = admitted() ? async_thread() : NULL;

    if (thread && thread->turn && async_look(thread))
        turn_over(thread);
    return 0;
}

/* Heap::GarbageCollectionEpilogueInSafepoint: objects have been moved, and nothing runs yet. */
SEC("uprobe")
int node_moved(struct code_regs *ctx)
{
    struct async_thread *thread = admitted() ? async_thread() : NULL;
    struct promise_walk walk = { .tid = (__u32)bpf_get_current_pid_tgid() };

    if (!thread)
        return 0;
    walk.round = ++thread->round;
    bpf_for_each_map_elem(&node_promises, promise_follow, &walk, 0);
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
