// SPDX-License-Identifier: GPL-2.0
/*
 * empty: what any program costs at the places where packets are counted.
 *
 * In     an egress hook of traffic control, or a packet socket
 * Out    nothing
 * State  none
 * Needs  nothing
 * Cost   this is the measure
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int empty_tc(struct __sk_buff *skb)
{
    return -1;
}

SEC("socket")
int empty_socket(struct __sk_buff *skb)
{
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
