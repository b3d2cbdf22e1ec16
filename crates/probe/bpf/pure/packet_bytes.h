/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * What is known of one packet, and how its bytes are reached.
 *
 * Callers guarantee that PACKET_SLACK bytes past PACKET_WINDOW can be read.
 */
#pragma once
#include <lib/wire.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* Most bytes of a packet that are looked at. */
#define PACKET_WINDOW 256
/* Longest read at one place. */
#define PACKET_SLACK 40
/* 802.1Q tags, and IPv6 extension headers, that are stepped over. */
#define PACKET_TAGS 3
#define PACKET_EXTENSIONS 8

#define PACKET_ETHERNET 0x6558 /* transparent Ethernet bridging: the packet begins with an Ethernet header */
#define PACKET_IPV4 0x0800
#define PACKET_IPV6 0x86dd

/* How far a packet could be read. */
enum packet_verdict {
    PACKET_WHOLE = 0, /* to the end of its transport header, or as far as there is one */
    PACKET_CUT,       /* bytes are missing; `read` says what is known */
    PACKET_OTHER,     /* not IP */
    PACKET_BROKEN,    /* not what it says it is */
};

/* packet.read: what is known of a packet that is cut. */
#define PACKET_READ_NOTHING 0
#define PACKET_READ_NETWORK 1 /* addresses and protocol */
#define PACKET_READ_ALL 2

/* packet.fragment */
#define PACKET_UNBROKEN 0
#define PACKET_FIRST 1 /* has the ports */
#define PACKET_LATER 2 /* has none */

struct packet {
    __u8 src[16]; /* v4 is written as ::ffff:a.b.c.d */
    __u8 dst[16];
    __u32 fragment_id;
    __u16 src_port; /* host order; 0 where the protocol has none */
    __u16 dst_port;
    __u16 end;    /* just past the last header that was read */
    __u16 tunnel; /* ethertype of the packet inside that begins at `end`; 0: none */
    __u16 vlan;   /* 0: no tag among the bytes */
    __u8 protocol;
    __u8 tcp_flags;
    __u8 zero_window;
    __u8 fragment;
    __u8 read;
    __u8 _pad[5];
};

enum {
    PACKET_HOP = 0,
    PACKET_IPIP = 4,
    PACKET_TCP = 6,
    PACKET_UDP = 17,
    PACKET_DCCP = 33,
    PACKET_6IN4 = 41,
    PACKET_ROUTING = 43,
    PACKET_FRAGMENT = 44,
    PACKET_GRE = 47,
    PACKET_AH = 51,
    PACKET_NONE = 59,
    PACKET_OPTIONS = 60,
    PACKET_SCTP = 132,
    PACKET_MOBILITY = 135,
    PACKET_UDPLITE = 136,
    PACKET_HIP = 139,
    PACKET_SHIM = 140,
};

/* Ports by which tunnels in UDP are known. */
#define PACKET_VXLAN 4789
#define PACKET_VXLAN_LINUX 8472
#define PACKET_GENEVE 6081

/* The `n` bytes at `at`; NULL when they are not all there. */
static __always_inline const __u8 *packet_at(const __u8 *bytes, __u32 len, __u32 at, __u32 n)
{
    __asm__ volatile("" : "+r"(at)); /* the verifier has to see the bound that the next line sets */
    if (at > PACKET_WINDOW || at + n > len)
        return NULL;
    return bytes + at;
}

static __always_inline __u16 packet_u16(const __u8 *p)
{
    return (__u16)(p[0] << 8 | p[1]);
}
