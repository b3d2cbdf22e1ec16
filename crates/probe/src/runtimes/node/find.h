/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Where a thread of Node.js keeps its async ids: a resource (node::AsyncWrap) leads to its realm, that to its environment,
 * and somewhere in that are three arrays that JavaScript shares, one after the other: the stack of ids, counters, and the
 * four ids. That is so from Node.js 18 to 26; where it is not, nothing is found, and nothing is guessed.
 */
#pragma once
#include <maps/async.h>

#define WRAP_REALM 16
#define REALM_ENVIRONMENT 176
/* The part of an environment in which the arrays are looked for, and how long its search may fail. */
#define SEARCH_FROM 0x300
#define SEARCH_WORDS 128
#define SEARCH_TRIES 64

/* node::AliasedBuffer */
struct aliased {
    __u64 type;
    __u64 isolate;
    __u64 count;
    __u64 offset;
    __u64 data;
    __u64 object;
    __u64 index;
};

#define ALIASED_WORDS (sizeof(struct aliased) / sizeof(__u64))

struct node_search {
    __u64 words[SEARCH_WORDS];
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct node_search);
} node_searches SEC(".maps");

static __always_inline __u64 user_word(__u64 at)
{
    __u64 word = 0;

    bpf_probe_read_user(&word, sizeof(word), (void *)at);
    return word;
}

/* Whether three arrays lie here that can only be those. */
static __always_inline bool are_arrays(const struct aliased *stack, const struct aliased *counters,
                                       const struct aliased *ids)
{
    return stack->type && stack->type == ids->type && stack->type != counters->type && stack->isolate &&
           stack->isolate == counters->isolate && stack->isolate == ids->isolate && stack->count >= 16 &&
           stack->count < 1 << 20 && counters->count >= 6 && counters->count < 16 && ids->count == 4 &&
           !stack->offset && !counters->offset && !ids->offset && ids->data;
}

/* Whether the four ids are at `ids`. */
static __always_inline bool are_ids(struct async_thread *thread, __u64 ids)
{
    const struct async_now *now = &thread->now;

    thread->ids = ids;
    if (async_look(thread) && now->last && now->execution <= now->last && now->trigger <= now->last &&
        now->handle <= now->last)
        return true;
    thread->ids = 0;
    return false;
}

/* The current thread, which works at the resource `wrap`; NULL: what it keeps cannot be found. */
static __always_inline struct async_thread *node_find(struct admitted *who, __u64 wrap)
{
    struct async_thread *thread =
        bpf_task_storage_get(&vor_async, bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
    __u32 zero = 0;
    struct node_search *search;

    if (!thread || thread->ids || thread->tries >= SEARCH_TRIES)
        return thread && thread->ids ? thread : NULL;
    search = bpf_map_lookup_elem(&node_searches, &zero);
    if (!search)
        return NULL;
    if (++thread->tries == SEARCH_TRIES)
        count(COUNT_LAYOUTS);
    __u64 environment = user_word(user_word(wrap + WRAP_REALM) + REALM_ENVIRONMENT);

    if (bpf_probe_read_user(search, sizeof(*search), (void *)(environment + SEARCH_FROM)))
        return NULL;
    for (__u32 i = 0; i <= SEARCH_WORDS - 3 * ALIASED_WORDS; i++) {
        const struct aliased *stack = (void *)&search->words[i];

        if (are_arrays(stack, stack + 1, stack + 2) && are_ids(thread, stack[2].data)) {
            who->runs = RUNS_ASYNC;
            who->kind = TASK_NODE;
            return thread;
        }
    }
    return NULL;
}
