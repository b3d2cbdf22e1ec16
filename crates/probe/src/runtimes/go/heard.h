/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The traceparent of a call that came over HTTP/2: read from its decoded header fields by the goroutine that reads
 * the connection, kept until another begins to serve the stream.
 */
#pragma once
#include <pure/traceparent.h>
#include "unit.h"

/* Size of hpack.HeaderField, whose last field is a bool. */
#define FIELD_SIZE 40
/* Fields of one head that are looked at. */
#define FIELDS_MAX 64

/* A stream of a connection. */
struct heard_key {
    __u64 of; /* address of what stands for it in the program */
    __u32 pid;
    __u32 stream; /* its number, when `of` is the connection */
};

/* Streams that nobody comes to serve make room. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, struct heard_key);
    __type(value, struct traceparent);
} GO_UNIT(heard) SEC(".maps");

static __always_inline struct heard_key heard_key(__u64 of, __u32 stream)
{
    return (struct heard_key){ .of = of, .pid = bpf_get_current_pid_tgid() >> 32, .stream = stream };
}

/* Whether the string value at `at` is `traceparent`. HTTP/2 has names in lower case only. */
static __always_inline bool is_traceparent(__u64 at)
{
    static const char wanted[] = "traceparent";
    __u8 name[sizeof(wanted) - 1] = {};

    if (go_word(at, 8) != sizeof(name) || go_string(name, sizeof(name), at, 0) != sizeof(name))
        return false;
    for (__u32 i = 0; i < sizeof(name); i++)
        if (name[i] != wanted[i])
            return false;
    return true;
}

/* The field among `count` at `fields` that is the traceparent, or 0. */
static __always_inline __u64 heard_find(__u64 fields, __u64 count, const struct go_field_facts *f)
{
    for (__u32 i = 0; i < FIELDS_MAX && i < count; i++) {
        __u64 field = fields + i * FIELD_SIZE;

        if (is_traceparent(field + f->name))
            return field;
    }
    return 0;
}

/* Keeps what the slice of header fields at `slice` says of the stream's trace. */
static __always_inline void heard_keep(const struct heard_key *key, __u64 slice, const struct go_field_facts *f)
{
    __u64 field = heard_find(go_word(slice, 0), go_word(slice, 8), f);
    __u8 value[TRACEPARENT_READS] = {};
    struct traceparent t = {};
    __u32 len;

    if (!field)
        return;
    len = go_string(value, TRACEPARENT_LEN, field, f->value);
    /* A later version may say more after it; only then does another character than a blank follow. */
    value[TRACEPARENT_LEN] = go_word(field + f->value, 8) > TRACEPARENT_LEN ? '-' : '\n';
    if (len == TRACEPARENT_LEN && traceparent_read(&t, value))
        bpf_map_update_elem(&GO_UNIT(heard), key, &t, BPF_ANY);
}

/*
 * A server's call on stream number `stream` begins, served by the current goroutine; the socket is in `call`, if it is
 * known. What its head says stands above what its caller's unit says, which does not read heads.
 */
static __always_inline void heard_serve(const struct heard_key *key, __u32 stream, struct go_call *call,
                                        const struct admitted *who)
{
    const struct traceparent *t = bpf_map_lookup_elem(&GO_UNIT(heard), key);

    if (t) {
        trace_begin(&call->place);
        trace_heard(&call->place, t->trace, t->span, t->flags);
        bpf_map_delete_elem(&GO_UNIT(heard), key);
    } else if (!stream_serve(call->socket, stream, &call->place)) {
        trace_begin(&call->place);
    }
    go_serve(call, who);
}
