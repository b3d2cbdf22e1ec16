/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * What every unit of a library has: the calls that are under way, where fields are in each file, a ring, and a
 * program that forgets what a process had under way.
 *
 * Who includes this has named its things by GO_UNIT(thing), and has declared `struct going`, a call that is under
 * way: with `active`, which says so, and `record`, which is sent and begins with its `call`.
 */
#pragma once
#include "conn.h"

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 16384); /* ebpf.max_connections */
    __type(key, struct go_key);
    __type(value, struct going);
} GO_UNIT(calls) SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 256); /* ebpf.max_files */
    __type(key, __u32);
    __type(value, struct GO_UNIT(facts));
} GO_UNIT(files) SEC(".maps");

/* What a call begins as: too large for the stack. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct going);
} GO_UNIT(blank) SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 2 * 1024 * 1024); /* ebpf.ring_size */
} GO_UNIT(events) SEC(".maps");

static __always_inline const struct GO_UNIT(facts) * facts_of(struct code_regs *ctx)
{
    __u32 file = code_file(ctx);

    return bpf_map_lookup_elem(&GO_UNIT(files), &file);
}

/* The call that is under way as `key`, or NULL. */
static __always_inline struct going *going(const struct go_key *key)
{
    return bpf_map_lookup_elem(&GO_UNIT(calls), key);
}

/* Keeps `from` as `key`. */
static __always_inline struct going *going_keep(const struct go_key *key, const struct going *from)
{
    if (bpf_map_update_elem(&GO_UNIT(calls), key, from, BPF_ANY)) {
        lost(LOST_CALL);
        return NULL;
    }
    return going(key);
}

/* Keeps an empty call as `key`. */
static __always_inline struct going *going_make(const struct go_key *key)
{
    __u32 zero = 0;
    struct going *blank = bpf_map_lookup_elem(&GO_UNIT(blank), &zero);

    return blank ? going_keep(key, blank) : NULL;
}

/* A call begins in the current process. */
static __always_inline struct going *going_begin(struct code_regs *ctx, struct admitted *who, const struct go_key *key,
                                                 __u8 side)
{
    struct going *g = going_make(key);

    if (!g)
        return NULL;
    g->active = 1;
    go_begin(ctx, &g->record.call, who, side, bpf_ktime_get_ns());
    return g;
}

static __always_inline void going_drop(const struct go_key *key)
{
    bpf_map_delete_elem(&GO_UNIT(calls), key);
}

/* A call ends now. */
static __always_inline void going_tell(struct going *g, __u8 ending)
{
    g->active = 0;
    g->record.call.ended_ns = bpf_ktime_get_ns();
    go_tell(&GO_UNIT(events), &g->record.call, sizeof(g->record), ending);
}

/* A call ends now, and nothing of it is needed any more. */
static __always_inline void going_end(struct going *g, const struct go_key *key)
{
    going_tell(g, GO_RETURNED);
    going_drop(key);
}

static long sweep_one(void *map, struct go_key *key, struct going *g, __u32 *pid)
{
    struct go_key gone = *key;

    if (gone.pid != *pid)
        return 0;
    if (g->active)
        go_forget(&g->record.call);
    going_drop(&gone);
    return 0;
}

SEC("syscall")
int GO_UNIT(sweep)(struct go_sweeping *how)
{
    __u32 pid = how->retired;

    if (pid)
        bpf_for_each_map_elem(&GO_UNIT(calls), sweep_one, &pid, 0);
    return 0;
}
