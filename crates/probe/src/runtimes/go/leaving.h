/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Heads of calls over HTTP/2 that goroutines are about to write: told by units of libraries, which know whose they are,
 * to go_write, which adds their places.
 */
#pragma once
#include "go.h"

struct leaving {
    __u64 socket;
    __u64 block;  /* bytes.Buffer with the head as it is encoded */
    __u64 writer; /* gRPC's bufWriter that the frame is written to; 0: a bufio.Writer */
    struct trace_context place;
    __u32 stream;
    __u32 _pad;
};

/* By goroutine. Those that end before they write make room. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, struct go_key);
    __type(value, struct leaving);
} vor_leaving SEC(".maps");

/* The current goroutine is about to write this head, to which its place is to be added if its process does so. */
static __always_inline void leaving_put(struct code_regs *ctx, const struct admitted *who, const struct leaving *l)
{
    struct go_key key = go_key(ctx, 0);

    if (who->flags & ADMIT_WRITES_HEADERS)
        bpf_map_update_elem(&vor_leaving, &key, l, BPF_ANY);
}

/* The head that the current goroutine has just written; false: none that is known. */
static __always_inline bool leaving_take(struct code_regs *ctx, struct leaving *l)
{
    struct go_key key = go_key(ctx, 0);
    const struct leaving *found = bpf_map_lookup_elem(&vor_leaving, &key);

    if (!found)
        return false;
    *l = *found;
    bpf_map_delete_elem(&vor_leaving, &key);
    return true;
}
