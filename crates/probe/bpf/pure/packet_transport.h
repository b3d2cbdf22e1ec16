/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Headers of transport protocols and of tunnels. */
#pragma once
#include <pure/packet_bytes.h>

/* RFC 2784, 2890. */
static __always_inline enum packet_verdict packet_gre(const __u8 *bytes, __u32 len, struct packet *p)
{
    const __u8 *gre = packet_at(bytes, len, p->end, 4);
    __u16 type;

    if (!gre)
        return PACKET_CUT;
    type = packet_u16(gre + 2);
    if (gre[1] & 7)
        return PACKET_WHOLE; /* PPTP's own version */
    p->end += 4 + (gre[0] & 0x80 ? 4 : 0) + (gre[0] & 0x20 ? 4 : 0) + (gre[0] & 0x10 ? 4 : 0);
    if (type == PACKET_ETHERNET || type == PACKET_IPV4 || type == PACKET_IPV6)
        p->tunnel = type;
    return PACKET_WHOLE;
}

/* RFC 7348, 8926. `p->end` is at the payload of UDP. */
static __always_inline enum packet_verdict packet_udp_tunnel(const __u8 *bytes, __u32 len, struct packet *p)
{
    const __u8 *head;

    if (p->dst_port != PACKET_VXLAN && p->dst_port != PACKET_VXLAN_LINUX && p->dst_port != PACKET_GENEVE)
        return PACKET_WHOLE;
    head = packet_at(bytes, len, p->end, 8);
    if (!head)
        return PACKET_CUT;
    if (p->dst_port == PACKET_GENEVE) {
        __u16 type = packet_u16(head + 2);

        if (type == PACKET_ETHERNET || type == PACKET_IPV4 || type == PACKET_IPV6)
            p->tunnel = type;
        p->end += 8 + (head[0] & 0x3f) * 4;
        return PACKET_WHOLE;
    }
    p->end += 8;
    p->tunnel = PACKET_ETHERNET;
    return PACKET_WHOLE;
}

static __always_inline enum packet_verdict packet_transport(const __u8 *bytes, __u32 len, struct packet *p)
{
    __u32 needed = p->protocol == PACKET_TCP ? 20 : p->protocol == PACKET_SCTP ? 12 : 8;
    const __u8 *head;

    switch (p->protocol) {
    case PACKET_TCP:
    case PACKET_UDP:
    case PACKET_UDPLITE:
    case PACKET_SCTP:
    case PACKET_DCCP:
        break;
    case PACKET_GRE:
        return packet_gre(bytes, len, p);
    case PACKET_IPIP:
        p->tunnel = PACKET_IPV4;
        return PACKET_WHOLE;
    case PACKET_6IN4:
        p->tunnel = PACKET_IPV6;
        return PACKET_WHOLE;
    default:
        return PACKET_WHOLE;
    }
    head = packet_at(bytes, len, p->end, needed);
    if (!head)
        return PACKET_CUT;
    p->src_port = packet_u16(head);
    p->dst_port = packet_u16(head + 2);
    if (p->protocol == PACKET_TCP) {
        p->tcp_flags = head[13];
        p->zero_window = !packet_u16(head + 14);
        p->end += (head[12] >> 4) * 4;
        return PACKET_WHOLE;
    }
    p->end += needed;
    if (p->protocol == PACKET_UDP)
        return packet_udp_tunnel(bytes, len, p);
    return PACKET_WHOLE;
}
