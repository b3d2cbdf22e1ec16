/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * vor_pairs: where in a trace a call belongs whose other end may be observed too. Written by whoever sees the
 * call before its first byte leaves; read by who sees it arrive on this host.
 * vor_heard: the same, of calls that nobody will take back: those whose first segment says so in an option, written by
 * the unit wire_tcp, and those that share a connection, written by a library's unit.
 *
 * The name of a call is the same at both ends, and nowhere else: for TCP, the initial sequence numbers of both
 * directions and that of its first byte, or the number of its stream. Addresses are not part of it, so namespaces and address translation
 * make no difference; what splices two connections into one (a proxy) gives each its own.
 */
#pragma once
#include <lib/trace.h>

/* pair_key.kind */
#define PAIR_TCP 0
#define PAIR_UNIX 1
#define PAIR_STREAM 2 /* of HTTP/2, over TCP */

struct pair_key {
    __u64 ends; /* TCP: both initial sequence numbers, the caller's first; unix: the caller's socket */
    __u32 at;   /* where in what the caller sends the call begins, or its stream */
    __u32 kind;
};

#ifdef __bpf__
#include <lib/lost.h>

/* Rows go when the other end takes them, or when the call is over. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 16384); /* ebpf.max_requests */
    __type(key, struct pair_key);
    __type(value, struct trace_context);
} vor_pairs SEC(".maps");

/* Who receives a call may not be observed, and then nobody takes its row: the oldest make room. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384); /* ebpf.max_requests */
    __type(key, struct pair_key);
    __type(value, struct trace_context);
} vor_heard SEC(".maps");

static __always_inline void pair_put(const struct pair_key *key, const struct trace_context *c)
{
    if (bpf_map_update_elem(&vor_pairs, key, c, BPF_ANY))
        count(COUNT_PAIRS_FULL);
}

/* Takes what the caller has put; false when it has not. */
static __always_inline bool pair_take(const struct pair_key *key, struct trace_context *c)
{
    struct trace_context *found = bpf_map_lookup_elem(&vor_pairs, key);

    if (!found)
        return false;
    *c = *found;
    bpf_map_delete_elem(&vor_pairs, key);
    return true;
}

/* Takes what was put there; false when nothing was. */
static __always_inline bool heard_take(const struct pair_key *key, struct trace_context *c)
{
    struct trace_context *found = bpf_map_lookup_elem(&vor_heard, key);

    if (!found)
        return false;
    *c = *found;
    bpf_map_delete_elem(&vor_heard, key);
    return true;
}
#endif
