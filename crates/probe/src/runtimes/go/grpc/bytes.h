/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* How many bytes of messages a call has sent and received: counted by stream of the transport, told when the call ends. */
#pragma once
#include "../heard.h"

/* Each message is preceded by a byte that says whether it is compressed, and its length in four. */
#define MESSAGE_HEAD 5

/* Bytes of messages. */
struct bytes {
    __u64 sent;
    __u64 received;
    __u64 head;  /* address of that of the last message that was sent */
    __u64 stack; /* end of the goroutine's, which did so */
};

/* By address of the transport's stream. Those of calls whose end was missed make room. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, struct heard_key);
    __type(value, struct bytes);
} go_grpc_bytes SEC(".maps");

/* A *parser, by address of the goroutine. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, struct heard_key);
    __type(value, __u64);
} go_grpc_takes SEC(".maps");

/* From here on, bytes of `g` are those of the transport's `stream`. */
static __always_inline void bytes_begin(struct going *g, __u64 stream)
{
    struct heard_key key = heard_key(stream, 0);
    struct bytes none = {};

    g->bytes = bpf_map_update_elem(&go_grpc_bytes, &key, &none, BPF_ANY) ? 0 : stream;
}

/* What has gone through the transport's `stream` so far; NULL: it is not counted. */
static __always_inline struct bytes *bytes_through(__u64 stream)
{
    struct heard_key key = heard_key(stream, 0);

    return bpf_map_lookup_elem(&go_grpc_bytes, &key);
}

/* What was counted for `g` is all of it. */
static __always_inline void bytes_end(struct going *g)
{
    struct heard_key key = heard_key(g->bytes, 0);
    const struct bytes *bytes = g->bytes ? bytes_through(g->bytes) : NULL;

    if (!bytes)
        return;
    g->record.counted = 1;
    g->record.sent = bytes->sent;
    g->record.received = bytes->received;
    bpf_map_delete_elem(&go_grpc_bytes, &key);
}

/*
 * Adds to `sum`, of the transport's `stream`, what the message has whose head is at `head`. What is no head ends the
 * count.
 */
static __always_inline void bytes_add(__u64 *sum, __u64 stream, __u64 head)
{
    struct heard_key key = heard_key(stream, 0);
    __u8 h[MESSAGE_HEAD];

    if (bpf_probe_read_user(h, sizeof(h), (void *)head) || h[0] > 1)
        bpf_map_delete_elem(&go_grpc_bytes, &key);
    else
        *sum += (__u32)h[1] << 24 | h[2] << 16 | h[3] << 8 | h[4];
}
