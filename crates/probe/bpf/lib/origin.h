/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Who opened a TCP connection, and the first sequence number each way: what both ends of it know, and nobody else. */
#pragma once
#include <kernel.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Who opened a TCP connection. */
enum conn_opened {
    OPENED_UNKNOWN = 0,
    OPENED_HERE,
    OPENED_THERE,
};

/*
 * The kernel keeps neither, but counts: what was acknowledged includes the SYN of the end that opened, what was
 * sent does not.
 */
static __always_inline enum conn_opened tcp_origin(struct sock *sk, __u32 *sent, __u32 *received)
{
    struct tcp_sock *tcp = (struct tcp_sock *)sk;
    __u32 acked = BPF_CORE_READ(tcp, bytes_acked), snd_una = BPF_CORE_READ(tcp, snd_una);
    __u32 passed = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
    __u32 syn = acked + BPF_CORE_READ(tcp, snd_nxt) - snd_una - passed;

    if (syn > 1)
        return OPENED_UNKNOWN; /* counts that changed while they were read, or the end of the connection */
    *sent = snd_una - acked + syn;
    *received = BPF_CORE_READ(tcp, rcv_nxt) - (__u32)BPF_CORE_READ(tcp, bytes_received);
    return syn ? OPENED_HERE : OPENED_THERE;
}
