/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Whether an answer to a fetch brought anything: a consumer asks again and again, and mostly there is nothing. */
#pragma once
#include <bpf/bpf_endian.h>
#include "../go.h"

/* From this version of a fetch on, lengths are of variable size; it is taken to have brought something. */
#define FETCH_FLEXIBLE 12
/* Topics and partitions of one answer that are looked at; more are taken to have brought something. */
#define FETCH_STEPS 32

static __always_inline __u32 be32_at(__u64 at)
{
    return bpf_ntohl(go_half(at, 0));
}

static __always_inline __u16 be16_at(__u64 at)
{
    return be32_at(at) >> 16;
}

/* The body of an answer lies at `at`. Fields by version: Kafka's FetchResponse. */
static __always_inline bool fetch_brought(__u64 at, __u16 version)
{
    __u32 topics, partitions = 0, aborted;

    if (version >= FETCH_FLEXIBLE)
        return true;
    at += version >= 1 ? 4 : 0;
    if (version >= 7) {
        if (be16_at(at))
            return true; /* an error of the whole */
        at += 6;
    }
    topics = be32_at(at);
    at += 4;
    for (__u32 i = 0; i < FETCH_STEPS && (topics || partitions); i++) {
        if (!partitions) {
            topics--;
            at += 2 + be16_at(at);
            partitions = be32_at(at);
            at += 4;
            continue;
        }
        partitions--;
        if (be16_at(at + 4))
            return true; /* an error of this partition */
        at += 14 + (version >= 4 ? 8 : 0) + (version >= 5 ? 8 : 0);
        if (version >= 4) {
            aborted = be32_at(at);
            at += 4 + (aborted == (__u32)-1 ? 0 : 16 * (__u64)aborted);
        }
        at += version >= 11 ? 4 : 0;
        if ((__s32)be32_at(at) > 0)
            return true;
        at += 4;
    }
    return topics || partitions;
}
