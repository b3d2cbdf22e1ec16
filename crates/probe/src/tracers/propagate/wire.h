/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What is known of a connection that is written to. */
#pragma once
#include <lib/wire.h>
#include <pure/head.h>

/* The place that is written on a connection that is only a trial: all bytes of its ids have this value. */
#define WIRE_TRIAL 0x5a

struct wire_socket {
    struct head_scan scan;
    __u64 span;  /* of the call whose head is read; 0: of none that is known */
    __u32 flags; /* of the process that opened it: ADMIT_… */
    __u32 at;    /* sequence number of the next byte that is to be looked at */
    __u32 off;   /* in the message at hand, the same */
    __u8 begun;  /* some of the head has been read */
    __u8 done;   /* nothing more is to be looked at */
    __u8 left;   /* and messages are not shown any more */
    __u8 trial;  /* vor's own, to see what this kernel does */
};
