/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What the unit `tcpstat` tells user space of sockets. */
#pragma once
#include <lib/wire.h>

/* tcpstat_record.kind */
#define TCPSTAT_OPENED 1   /* a local process has connected */
#define TCPSTAT_ACCEPTED 2 /* a local listener has got a connection */
#define TCPSTAT_FAILED 3   /* a local process has not connected */
#define TCPSTAT_ENDED 4    /* a connection is over */
#define TCPSTAT_LISTENS 5  /* a local process waits for connections */
#define TCPSTAT_THERE 6    /* a socket that a process has open */

struct tcpstat_record {
    __u64 started_ns; /* of the process, boot clock; 0: not known */
    __u8 local[16];   /* v4 is written as ::ffff:a.b.c.d; all zero: any */
    __u8 remote[16];
    __u32 pid;
    __u32 netns;
    __u32 round_trip_us; /* 0: not measured yet */
    __u32 retransmits;   /* since it began */
    __u16 local_port;    /* host order */
    __u16 remote_port;   /* 0: not connected */
    __u8 protocol;
    __u8 kind;
    __u8 listens; /* TCPSTAT_THERE: it waits for connections */
    __u8 _pad;
};

/* Indices of tcpstat_totals. */
#define TCPSTAT_LOST 0 /* records that found the ring full */
#define TCPSTAT_TOTALS 1
