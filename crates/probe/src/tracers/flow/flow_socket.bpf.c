// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * flow, source socket_filter: packets of interfaces counted by flow, by filters of packet sockets.
 *
 * In     one packet(7) socket per interface
 * Out    flow_even, flow_odd   counts by flow; flow_events   first packets of flows, packets without room
 * State  flow_pairs     who began; flow_fragments   ports of fragments
 * Needs  maps in maps (4.12), atomic operations (5.12), a coarse clock (5.11)
 * Cost   one look at the headers and one entry of the table per packet; none is ever queued on the socket
 */
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include "see.h"

#define PACKET_OUTGOING 4
/* The socket takes nothing of the packet. */
#define DROP 0

static __always_inline __u8 passage(const struct __sk_buff *skb)
{
    return skb->pkt_type == PACKET_OUTGOING ? FLOW_EGRESS : FLOW_INGRESS;
}

SEC("socket")
int flow_eth(struct __sk_buff *skb)
{
    flow_see(skb, PACKET_ETHERNET, passage(skb));
    return DROP;
}

/* Interfaces without a link layer: packets begin with the IP header. */
SEC("socket")
int flow_ip(struct __sk_buff *skb)
{
    flow_see(skb, bpf_ntohs(skb->protocol), passage(skb));
    return DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
