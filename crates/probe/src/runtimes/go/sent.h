/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The place of a call that is made over HTTP/2: kept while its head is made, and told to the other end, if that is on
 * this host, once its stream has a number and before anything of it is written.
 */
#pragma once
#include "heard.h"
#include "leaving.h"

struct sent {
    __u64 socket;
    struct trace_context place;
};

/* By address of what stands for the head. Heads that never leave make room. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, struct heard_key);
    __type(value, struct sent);
} GO_UNIT(sent) SEC(".maps");

/* `head` begins `call`, whose connection is known. */
static __always_inline void sent_keep(__u64 head, const struct go_call *call)
{
    struct heard_key key = heard_key(head, 0);
    struct sent sent = { .socket = call->socket, .place = call->place };

    if (head && call->socket)
        bpf_map_update_elem(&GO_UNIT(sent), &key, &sent, BPF_ANY);
}

/* `head` leaves on `stream`, as `l` says from here on; false: it begins no call that is known. */
static __always_inline bool sent_leaves(__u64 head, __u32 stream, struct leaving *l)
{
    struct heard_key key = heard_key(head, 0);
    const struct sent *sent = head ? bpf_map_lookup_elem(&GO_UNIT(sent), &key) : NULL;

    if (!sent)
        return false;
    stream_call(sent->socket, stream, &sent->place);
    l->socket = sent->socket;
    l->place = sent->place;
    l->stream = stream;
    bpf_map_delete_elem(&GO_UNIT(sent), &key);
    return true;
}
