/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Where in a trace something belongs, and new ids (W3C Trace Context).
 *
 * Ids are words here: their bytes in memory are the bytes of the id.
 */
#pragma once
#include <lib/wire.h>

/* trace_flags: the caller may have recorded it, and so shall we. */
#define TRACE_SAMPLED 0x01

/* trace_context.method: how the parent was found. */
#define PARENT_NONE 0           /* there is none: a trace begins here */
#define PARENT_HEADER 1         /* it was said in the message itself */
#define PARENT_TCP_OPTION 2     /* it was said in a packet's options */
#define PARENT_SOCKET_PAIR 3    /* both ends of the connection are observed */
#define PARENT_TASK 4           /* the same task serves the parent */
#define PARENT_ITEM 5           /* the work was handed over by the parent's task */
#define PARENT_ANCESTOR 6       /* the parent's task, or one that it created, created this one */
#define PARENT_ONLY_CANDIDATE 7 /* of several requests that the task served, only the parent is not over */

/* A span before anything is known of it but its place. */
struct trace_context {
    __u64 trace[2];
    __u64 span;
    __u64 parent; /* 0: none */
    __u64 heard;  /* the span that the message itself names as its parent; 0: none */
    __u8 flags;
    __u8 method;
    __u8 certain; /* a call of which a library's unit knows that it is one: it will be told */
    __u8 _pad[5];
};

/* What user space decides about new traces; see `Sampling` in the crate model. */
struct trace_sampling {
    __u64 below;       /* a trace is sampled when the lower 63 bits of its id are below this */
    __u8 parent_based; /* a caller's flag decides, where there is a caller */
    __u8 _pad[7];
};

#ifdef __bpf__
#include <kernel.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Written once, by user space, before anything is observed. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct trace_sampling);
} vor_sampling SEC(".maps");

/* A random word that is not zero. */
static __always_inline __u64 trace_word(void)
{
    return ((__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32()) ?: 1;
}

/* The flags of a span of `trace` whose caller's flags, if it has a caller, are `flags`. */
static __always_inline __u8 trace_flags(const __u64 *trace, bool called, __u8 flags)
{
    __u32 zero = 0;
    struct trace_sampling *how = bpf_map_lookup_elem(&vor_sampling, &zero);

    if (!how || (how->parent_based && called))
        return flags;
    if (bpf_be64_to_cpu(trace[1]) >> 1 < how->below)
        return flags | TRACE_SAMPLED;
    return flags & ~TRACE_SAMPLED;
}

/* A new span, which begins a new trace. */
static __always_inline void trace_begin(struct trace_context *c)
{
    __builtin_memset(c, 0, sizeof(*c));
    c->trace[0] = trace_word();
    c->trace[1] = trace_word();
    c->span = trace_word();
    c->flags = trace_flags(c->trace, false, 0);
}

/* A new span below the one of which `c` is the place. */
static __always_inline void trace_descend(struct trace_context *c)
{
    c->parent = c->span;
    c->span = trace_word();
    c->heard = 0;
    c->certain = 0;
    c->flags = trace_flags(c->trace, true, c->flags);
}

/* The message itself says that the span's parent is `parent` of `trace`. */
static __always_inline void trace_heard(struct trace_context *c, const __u64 *trace, __u64 parent, __u8 flags)
{
    c->trace[0] = trace[0];
    c->trace[1] = trace[1];
    c->parent = parent;
    c->heard = parent;
    c->flags = trace_flags(trace, true, flags);
    c->method = PARENT_HEADER;
}
#endif
