/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* How V8's own code, its builtins, are called: arguments in registers, objects by tagged addresses. */
#pragma once
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <lib/code.h>

#if defined(__TARGET_ARCH_x86)
#define BUILTIN_ARG1(ctx) ((ctx)->bx)
#define BUILTIN_ARG2(ctx) ((ctx)->cx)
#define BUILTIN_ARG3(ctx) ((ctx)->dx)
#define BUILTIN_RESULT(ctx) ((ctx)->ax)
#elif defined(__TARGET_ARCH_arm64)
#define BUILTIN_ARG1(ctx) ((ctx)->regs[1])
#define BUILTIN_ARG2(ctx) ((ctx)->regs[2])
#define BUILTIN_ARG3(ctx) ((ctx)->regs[3])
#define BUILTIN_RESULT(ctx) ((ctx)->regs[0])
#endif

/* The address of an object has these bits set; without them it is a number, or where a moved object has gone. */
#define HEAP_TAG 1
#define HEAP_TAG_MASK 3

/* An object's first word: its map, or, when it has been moved, its new address without the tag; 0: unreadable. */
static __always_inline __u64 heap_map(__u64 object)
{
    __u64 word = 0;

    if ((object & HEAP_TAG_MASK) == HEAP_TAG)
        bpf_probe_read_user(&word, sizeof(word), (void *)(object - HEAP_TAG));
    return word;
}

/*
 * Where an object is after a collection that was at `object` before, and had this map; 0: it is not to be found.
 * Nothing moves while it is asked.
 */
static __always_inline __u64 heap_moved(__u64 object, __u64 map)
{
    __u64 word = heap_map(object);

    if (!object || word == map)
        return object;
    if (!word || word & HEAP_TAG_MASK)
        return 0;
    object = word + HEAP_TAG;
    return heap_map(object) == map ? object : 0;
}
