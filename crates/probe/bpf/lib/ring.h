/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* When the reader of a ring is woken: it looks by itself, many times a second. */
#pragma once
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <lib/wire.h>

/* A few of the longest records. */
#define RING_WAKE_WINDOW 8192

/*
 * The flags with which a record goes into `ring`: the reader is woken when the ring fills past `high`.
 * Not at every record beyond it: a reader that is behind is awake, and a wake-up costs the observed thread
 * microseconds.
 */
static __always_inline __u64 ring_wake(void *ring, __u64 high)
{
    __u64 beyond = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) - high;

    return beyond < RING_WAKE_WINDOW ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}
