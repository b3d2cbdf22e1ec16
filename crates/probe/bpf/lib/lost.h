/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * What a unit could not tell, by reason, and what else it counts. Each object has its own counters;
 * user space adds them up over the CPUs and shows them under the unit's name.
 */
#pragma once
#include <lib/wire.h>

#define LOST_RING_FULL 0 /* user space was too slow */
#define LOST_CONN_BUSY 1 /* other threads held the connection too long */
#define LOST_CONN_FULL 2 /* the table of connections is full */
#define LOST_SEGMENTS 3  /* more messages in one call than are looked at */
#define LOST_CALL 4      /* no memory to remember the call */
#define LOST_ADMIT 5     /* no memory to observe a child from its start */

#define COUNT_EXCHANGES_OPENED 6
#define COUNT_EXCHANGES_ENDED 7
#define COUNT_EXCHANGES_DROPPED 8  /* open when user space decided about the connection */
#define COUNT_STRAY_BYTES 9        /* operations whose bytes belong to no exchange */
#define COUNT_TASKS_FULL 10        /* tasks whose request could not be noted */
#define COUNT_REQUESTS_FULL 11     /* requests whose calls will not be linked to them */
#define COUNT_PAIRS_FULL 12        /* calls whose other end will not be linked to them */
#define COUNT_EXCHANGES_CLAIMED 13 /* of the unit `socket`, left to the unit of a library */

#define COUNT_WIRE_SOCKETS 14   /* connections that a process opened whose calls are to be written */
#define COUNT_WIRE_STRANGERS 15 /* connections that others opened: left alone */
#define COUNT_WIRE_WRITTEN 16   /* calls whose place was written */
#define COUNT_WIRE_HEARD 17     /* places that arrived in options */
#define COUNT_WIRE_KEPT 18      /* requests that said their place themselves: left alone */
#define COUNT_WIRE_UNFIT 19     /* requests whose head could not be written to */

#define COUNT_LAYOUTS 20 /* threads of a runtime whose memory is not laid out as any that is known */

#define COUNTERS 21

#ifdef __bpf__
#include <kernel.h>
#include <bpf/bpf_helpers.h>

/* One row, so that user space reads all of them at once. */
struct counts {
    __u64 of[COUNTERS];
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct counts);
} counters SEC(".maps");

/* Counts one of COUNT_…. */
static __always_inline void count(__u32 what)
{
    __u32 zero = 0;
    struct counts *counts = bpf_map_lookup_elem(&counters, &zero);

    if (counts && what < COUNTERS)
        counts->of[what] += 1;
}

/* Counts one of LOST_…. */
static __always_inline void lost(__u32 why)
{
    count(why);
}
#endif
