/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What the unit `flow` and user space tell each other. */
#pragma once
#include <lib/wire.h>

/* flow_config.passages, flow_key.passage */
#define FLOW_INGRESS 1
#define FLOW_EGRESS 2

/* Constants of one instance of the programs: each network namespace has its own. */
struct flow_config {
    __u32 netns;    /* inode number */
    __u32 sampling; /* one of so many packets; 0 and 1: all */
    __u8 passages;  /* that count */
    __u8 inner;     /* whether the packet in a tunnel makes the flow */
    __u8 dns;       /* whether messages of name servers are copied */
    __u8 _pad;
};

struct flow_key {
    __u8 src[16]; /* v4 is written as ::ffff:a.b.c.d */
    __u8 dst[16];
    __u32 netns;
    __u32 ifindex;
    __u16 src_port; /* host order */
    __u16 dst_port;
    __u8 protocol;
    __u8 passage;
    __u8 _pad[2];
};

/* flow_count.initiator */
#define FLOW_INITIATOR_UNKNOWN 0
#define FLOW_INITIATOR_SRC 1
#define FLOW_INITIATOR_DST 2

struct flow_count {
    __u64 packets; /* on the wire */
    __u64 bytes;   /* on the wire, with link-layer headers */
    __u64 first_ns;
    __u64 last_ns;
    __u32 resets;
    __u32 zero_windows;
    __u16 vlan; /* 0: none */
    __u8 tcp_flags;
    __u8 initiator;
    __u8 _pad[4];
};

/* A packet that is not counted in the table, because it is the first of its flow or the table is full. */
struct flow_record {
    struct flow_key key;
    struct flow_count count;
};

/* Indices of flow_totals. */
#define FLOW_LOST_PACKETS 0 /* neither the table nor the ring had room */
#define FLOW_LOST_BYTES 1
#define FLOW_BROKEN 2          /* packets whose headers are not what they say */
#define FLOW_NOT_IP 3          /* packets of other protocols, which make no flow */
#define FLOW_STRAY_FRAGMENTS 4 /* fragments whose first was not seen: counted with port 0 */
#define FLOW_OVERFLOW 5        /* packets that found the table full */
#define FLOW_DNS_LOST 6        /* messages of name servers that found the ring full */
#define FLOW_TOTALS 7

/* Most bytes of a DNS message that are copied: what EDNS allows in practice (RFC 9715), and a question. */
#define FLOW_DNS_ANSWER 1232
#define FLOW_DNS_QUESTION 288

/* Begins a record of flow_dns; the message follows. */
struct flow_dns_head {
    __u64 at_ns;
    __u8 src[16];
    __u8 dst[16];
    __u32 netns;
    __u16 src_port;
    __u16 dst_port;
    __u16 len;  /* bytes that were copied */
    __u16 sent; /* bytes that were there */
    __u8 _pad[4];
};
