/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What crosses from all Go units to user space. */
#pragma once
#include <lib/trace.h>

/* go_call.side */
#define GO_SERVER 1
#define GO_CLIENT 2
#define GO_PRODUCER 3
#define GO_CONSUMER 4

/* go_call.ending */
#define GO_RETURNED 1
#define GO_LEFT 2 /* by a panic, or its goroutine ended */

/* go_call.peer: what is known of the ends */
#define GO_PEER_UNKNOWN 0
#define GO_PEER_INET 1
#define GO_PEER_UNIX 2 /* that they have no addresses */

/* An offset that is not known. */
#define GO_NOWHERE 0xffff

/* How to get from a net.Conn to its descriptor. */
struct go_net_facts {
    __u16 fd;     /* internal/poll.FD, Sysfd; it is the first field of net.netFD */
    __u16 family; /* net.netFD */
    __u16 sotype;
};

/* Where decoded header fields of HTTP/2 have name and value: hpack.HeaderField, in x/net or as net/http has it. */
struct go_field_facts {
    __u16 name;
    __u16 value;
};

/* Argument of the programs that forget what a process had under way. */
struct go_sweeping {
    __u32 retired; /* the process; 0: none */
    __u32 _pad;
};

/* A call of a library function: who, when, and to whom. Leads every record. */
struct go_call {
    struct trace_context place;
    __u64 started_ns; /* of the process, boot clock */
    __u64 begun_ns;   /* monotonic clock, all three */
    __u64 handled_ns; /* when a server's handler began */
    __u64 ended_ns;
    __u64 socket; /* kernel address, a name only; 0: not known */
    __u64 serial;
    __u32 pid;
    __u32 tid;
    __u16 local_port; /* host order */
    __u16 remote_port;
    __u8 side;
    __u8 ending;
    __u8 peer;
    __u8 serves;    /* its goroutine serves it until it ends */
    __u8 local[16]; /* v4 is written as ::ffff:a.b.c.d */
    __u8 remote[16];
};
