/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * collections.deque as it lies in memory, the same from Python 3.7 to 3.13: a chain of blocks with 64 places each.
 */
#pragma once
#include <kernel.h>
#include <bpf/bpf_helpers.h>

#define DEQUE_PLACES 64

struct deque {
    __u64 references;
    __u64 type;
    __s64 length;
    __u64 left;       /* block */
    __u64 right;      /* block */
    __s64 left_index; /* of the first item, in the left block */
    __s64 right_index;
};

/* Before the places of a block lies the address of the one to its left, behind them that of the one to its right. */
static __always_inline __u64 deque_place(__u64 block, __s64 index)
{
    return block + sizeof(__u64) + index * sizeof(__u64);
}

static __always_inline __u64 deque_word(__u64 address)
{
    __u64 word = 0;

    bpf_probe_read_user(&word, sizeof(word), (void *)address);
    return word;
}

static __always_inline bool deque_read(struct deque *d, __u64 address)
{
    return !bpf_probe_read_user(d, sizeof(*d), (void *)address);
}

/*
 * The place where an item was put that is now at `index` of `block`. Whoever puts into a full block puts one place
 * beyond its end, as far as can be told at that moment: the next block is not there yet.
 */
static __always_inline __u64 deque_beyond(__u64 block, __s64 index)
{
    if (!index)
        return deque_place(deque_word(deque_place(block, -1)), DEQUE_PLACES);
    if (index == DEQUE_PLACES - 1)
        return deque_place(deque_word(deque_place(block, DEQUE_PLACES)), -1);
    return 0;
}
