/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The headers of one packet: from its Ethernet or IP header to the end of its transport header.
 *
 * Pure: no helper, no map; compiled for the host too.
 */
#pragma once
#include <pure/packet_bytes.h>
#include <pure/packet_network.h>
#include <pure/packet_transport.h>

/*
 * Reads the packet of ethertype `type` that begins at `start` of the first `len` bytes, at most PACKET_WINDOW.
 * `p` is all zero. What lies in a tunnel is read by another call, from `p->end` with `p->tunnel`.
 */
static __always_inline enum packet_verdict packet_read(const __u8 *bytes, __u32 len, __u32 start, __u16 type,
                                                       struct packet *p)
{
    enum packet_verdict verdict = PACKET_WHOLE;

    p->end = start;
    if (type == PACKET_ETHERNET)
        verdict = packet_ethernet(bytes, len, p, &type);
    if (verdict)
        return verdict;
    if (type == PACKET_IPV4)
        verdict = packet_ipv4(bytes, len, p);
    else if (type == PACKET_IPV6)
        verdict = packet_ipv6(bytes, len, p);
    else
        return PACKET_OTHER;
    if (verdict)
        return verdict;
    if (p->fragment != PACKET_LATER)
        verdict = packet_transport(bytes, len, p);
    if (verdict == PACKET_WHOLE)
        p->read = PACKET_READ_ALL;
    return verdict;
}
