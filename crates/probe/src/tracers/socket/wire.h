/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What crosses from the socket tracer to user space and back. */
#pragma once
#include <lib/trace.h>
#include <lib/wire.h>

/* How much of each direction is captured, and the room that both share. */
#define SOCKET_REQUEST_MAX 1536
#define SOCKET_RESPONSE_MAX 1024
#define SOCKET_BYTES (SOCKET_REQUEST_MAX + SOCKET_RESPONSE_MAX)
/* Longest unix socket path, struct sockaddr_un. */
#define SOCKET_PATH_MAX 108

/* socket_record.kind */
#define SOCKET_EXCHANGE 1 /* a request, its answer, or both */
#define SOCKET_MESSAGE 2  /* bytes of one direction, in request_* */
#define SOCKET_CLOSED 3   /* the connection is gone, no bytes */

/* socket_record.ending */
#define SOCKET_ANSWERED 1
#define SOCKET_TIMED_OUT 2
#define SOCKET_SHUT 3

/* socket_record.flags */
#define SOCKET_SERVER 0x01 /* the process received the first bytes */
#define SOCKET_UNIX 0x02
#define SOCKET_FROM_START 0x04
#define SOCKET_SENT 0x08       /* a message that the process sent */
#define SOCKET_PATH_LOCAL 0x10 /* the path is this end's, not the peer's */
#define SOCKET_TLS 0x20        /* it was said in TLS, and read where it is not encrypted */

/* socket_verdict.mode */
#define SOCKET_PAIRS 0
#define SOCKET_MESSAGES 1
#define SOCKET_IGNORED 2

/* Tags of the places of `socket_returns`: how a system call moves bytes. Without any, it receives into one buffer. */
#define CALL_SENDS 0x1
#define CALL_VECTOR 0x2     /* through iovecs */
#define CALL_MESSAGE 0x4    /* through a message header */
#define CALL_MESSAGES 0x8   /* through several */
#define CALL_FLAGS_3RD 0x10 /* its third argument is MSG_… */
#define CALL_FLAGS_4TH 0x20
#define CALL_UNSEEN 0x40  /* not through the program's memory */
#define CALL_SPLICES 0x80 /* to the socket that is its third argument, too */

/* What was said on a connection; the captured bytes follow it. */
struct socket_record {
    __u8 kind;
    __u8 ending;
    __u8 flags;
    __u8 path_len;     /* of a unix socket; the path leads the bytes */
    __u16 request_at;  /* where the request's capture begins in the bytes */
    __u16 request_cap; /* and how long it is */
    __u16 response_at;
    __u16 response_cap;
    __u16 local_port; /* host order */
    __u16 remote_port;
    __u32 pid;
    __u32 tid;
    __u64 started_ns; /* boot clock */
    __u64 socket;     /* the key of its row (open.h), a name only */
    __u64 serial;
    __u64 request_start_ns; /* monotonic clock, all four */
    __u64 request_end_ns;
    __u64 response_start_ns;
    __u64 response_end_ns;
    __u64 request_len;
    __u64 response_len;
    struct trace_context place; /* in a trace; span 0: it has none */
    __u8 local[16];             /* v4 is written as ::ffff:a.b.c.d */
    __u8 remote[16];
};

/* Argument of the program socket_judge. */
struct socket_verdict {
    __u64 socket;
    __u64 serial;
    __u32 mode;
    __u32 _pad;
};

/* Argument of the program socket_sweep. */
struct socket_sweeping {
    __u64 timeout_ns; /* a request without an answer ends after this; 0: never */
    __u64 quiet_ns;   /* an answer of unknown length ends after this silence */
    __u32 retired;    /* end the connections of this pid; 0: of none */
    __u32 open;       /* out: exchanges that are still open */
    __u32 count;      /* whether rows are counted */
    __u32 conns;      /* out: rows of socket_conns, … */
    __u32 tasks;      /* … of vor_tasks */
    __u32 requests;   /* … of vor_requests */
    __u32 calls;      /* … of vor_pairs */
    __u32 _pad;
};
