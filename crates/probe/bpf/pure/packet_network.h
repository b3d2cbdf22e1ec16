/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Ethernet, IPv4 and IPv6 headers. */
#pragma once
#include <pure/packet_bytes.h>

static __always_inline bool packet_is_tag(__u16 type)
{
    return type == 0x8100 || type == 0x88a8 || type == 0x9100;
}

/* Steps over the Ethernet header and its tags; gives the type of what follows at `p->end`. */
static __always_inline enum packet_verdict packet_ethernet(const __u8 *bytes, __u32 len, struct packet *p, __u16 *type)
{
    __u32 at = p->end + 12;
    const __u8 *field;

    for (int tag = 0; tag <= PACKET_TAGS; tag++) {
        field = packet_at(bytes, len, at, 4);
        if (!field)
            return PACKET_CUT;
        *type = packet_u16(field);
        at += 2;
        if (!packet_is_tag(*type)) {
            p->end = at;
            return PACKET_WHOLE;
        }
        if (!p->vlan)
            p->vlan = packet_u16(field + 2) & 0xfff;
        at += 2;
    }
    return PACKET_OTHER; /* more tags than anybody stacks */
}

static __always_inline void packet_mapped(__u8 to[16], const __u8 *v4)
{
    __builtin_memset(to, 0, 10);
    to[10] = to[11] = 0xff;
    __builtin_memcpy(to + 12, v4, 4);
}

static __always_inline enum packet_verdict packet_ipv4(const __u8 *bytes, __u32 len, struct packet *p)
{
    const __u8 *ip = packet_at(bytes, len, p->end, 20);
    __u16 fragment;

    if (!ip)
        return PACKET_CUT;
    if (ip[0] >> 4 != 4 || (ip[0] & 0xf) < 5)
        return PACKET_BROKEN;
    p->protocol = ip[9];
    packet_mapped(p->src, ip + 12);
    packet_mapped(p->dst, ip + 16);
    fragment = packet_u16(ip + 6);
    if (fragment & 0x1fff)
        p->fragment = PACKET_LATER;
    else if (fragment & 0x2000)
        p->fragment = PACKET_FIRST;
    p->fragment_id = packet_u16(ip + 4);
    p->end += (ip[0] & 0xf) * 4;
    p->read = PACKET_READ_NETWORK;
    return PACKET_WHOLE;
}

/* RFC 8200. The protocol is the first header that is no extension. */
static __always_inline enum packet_verdict packet_ipv6(const __u8 *bytes, __u32 len, struct packet *p)
{
    const __u8 *ip = packet_at(bytes, len, p->end, 40);
    __u32 at = p->end + 40;

    if (!ip)
        return PACKET_CUT;
    if (ip[0] >> 4 != 6)
        return PACKET_BROKEN;
    p->protocol = ip[6];
    __builtin_memcpy(p->src, ip + 8, 16);
    __builtin_memcpy(p->dst, ip + 24, 16);
    p->read = PACKET_READ_NETWORK;
    p->end = at;
    for (int n = 0; n < PACKET_EXTENSIONS; n++) {
        const __u8 *header;

        switch (p->protocol) {
        case PACKET_HOP:
        case PACKET_ROUTING:
        case PACKET_FRAGMENT:
        case PACKET_AH:
        case PACKET_OPTIONS:
        case PACKET_MOBILITY:
        case PACKET_HIP:
        case PACKET_SHIM:
            break;
        default:
            return PACKET_WHOLE;
        }
        header = packet_at(bytes, len, at, 8);
        if (!header)
            return PACKET_CUT;
        if (p->protocol == PACKET_FRAGMENT) {
            __u16 offset = packet_u16(header + 2);

            p->fragment_id = (__u32)packet_u16(header + 4) << 16 | packet_u16(header + 6);
            if (offset >> 3)
                p->fragment = PACKET_LATER;
            else if (offset & 1)
                p->fragment = PACKET_FIRST;
            at += 8;
        } else if (p->protocol == PACKET_AH) {
            at += (header[1] + 2) * 4;
        } else {
            at += (header[1] + 1) * 8;
        }
        p->protocol = header[0];
        p->end = at;
        if (p->fragment == PACKET_LATER)
            return PACKET_WHOLE; /* what follows is data, whatever it looks like */
    }
    return PACKET_WHOLE;
}
