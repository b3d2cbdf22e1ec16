// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * flow, source tc: packets of interfaces counted by flow, at the hooks of traffic control.
 *
 * In     ingress and egress hook of each interface, by TCX or clsact
 * Out    flow_even, flow_odd   counts by flow; flow_events   first packets of flows, packets without room
 * State  flow_pairs     who began; flow_fragments   ports of fragments
 * Needs  maps in maps (4.12), atomic operations (5.12), a coarse clock (5.11)
 * Cost   one look at the headers and one entry of the table per packet
 */
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include "see.h"

/* The next program, or the stack, decides about the packet. */
#define TC_ACT_UNSPEC (-1)

SEC("tc/ingress")
int flow_eth_in(struct __sk_buff *skb)
{
    flow_see(skb, PACKET_ETHERNET, FLOW_INGRESS);
    return TC_ACT_UNSPEC;
}

SEC("tc/egress")
int flow_eth_out(struct __sk_buff *skb)
{
    flow_see(skb, PACKET_ETHERNET, FLOW_EGRESS);
    return TC_ACT_UNSPEC;
}

/* Interfaces without a link layer: packets begin with the IP header. */
SEC("tc/ingress")
int flow_ip_in(struct __sk_buff *skb)
{
    flow_see(skb, bpf_ntohs(skb->protocol), FLOW_INGRESS);
    return TC_ACT_UNSPEC;
}

SEC("tc/egress")
int flow_ip_out(struct __sk_buff *skb)
{
    flow_see(skb, bpf_ntohs(skb->protocol), FLOW_EGRESS);
    return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
