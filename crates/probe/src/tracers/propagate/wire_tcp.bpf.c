// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * wire_tcp: the place of a call in its trace, written into and read from an option of the TCP segment in which the
 * call begins. It is for whatever the segments carry, TLS too.
 *
 * The option is of kind 25 and 26 bytes long: trace id, span id. With time stamps no more fits into a header, so
 * there is no room for flags: who reads it decides by the trace's id whether it is sampled.
 *
 * In     sockops of the root control group, tp_btf/inet_sock_set_state
 * Out    segments of marked connections; vor_heard
 * State  wire_sockets   the mark, in the socket; socket_conns is the unit `socket`'s
 * Needs  kernel BTF, sockops with header options (5.10), socket storage in tracing programs (5.11), cgroup 2
 * Cost   any process: a comparison at changes of a TCP state, a few at the beginning of a connection, and one run
 *        for each segment that arrives with an option the kernel does not know
 */
#include "../socket/conn.h"
#include "connect.h"

#define OPTION_KIND 25
#define OPTION_LEN 26

struct tcp_place {
    __u8 kind;
    __u8 len;
    __u8 trace[16];
    __u8 span[8];
};

_Static_assert(sizeof(struct tcp_place) == OPTION_LEN, "the option has no holes");

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(wire_connect, struct sock *sk, int from, int to)
{
    return connect_marks(sk, to, ADMIT_WRITES_TCP);
}

/* The sequence number of the segment whose header is at hand. */
static __always_inline bool segment_at(struct bpf_sock_ops *ops, __u32 *at)
{
    __be32 *header = (__be32 *)ops->skb_data;

    if (header + 2 > (__be32 *)ops->skb_data_end)
        return false;
    *at = bpf_ntohl(header[1]);
    return true;
}

/* The connection whose call begins with the segment at `at`, if nobody has written the call's place yet. */
static __always_inline struct socket_conn *unwritten(const __u64 *sk, __u32 at)
{
    __u64 key = *sk;
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &key);

    return c && c->paired && !c->written && c->pair.at == at ? c : NULL;
}

/* Before a segment is made, and before the kernel decides how much fits into one. */
__noinline int option_room(struct bpf_sock_ops *ops, const __u64 *sk)
{
    if (!sk || !unwritten(sk, ops->snd_nxt))
        return 0;
    if (bpf_reserve_hdr_opt(ops, OPTION_LEN, 0))
        count(COUNT_WIRE_UNFIT);
    return 0;
}

__noinline int option_write(struct bpf_sock_ops *ops, const __u64 *sk)
{
    struct tcp_place option = { .kind = OPTION_KIND, .len = OPTION_LEN };
    struct socket_conn *c;
    __u32 at;

    if (!sk || !segment_at(ops, &at))
        return 0;
    /* One who is at work on it at this moment may be about to change the place. */
    c = unwritten(sk, at);
    if (!c || __sync_val_compare_and_swap(&c->lock, 0, 1))
        return 0;
    bool whole = c->pair.at == at;

    __builtin_memcpy(option.trace, c->next.trace, sizeof(option.trace));
    __builtin_memcpy(option.span, &c->next.span, sizeof(option.span));
    if (whole)
        c->written = WRITTEN_OPTION;
    conn_unlock(c);
    if (whole && !bpf_store_hdr_opt(ops, &option, sizeof(option), 0))
        count(COUNT_WIRE_WRITTEN);
    return 0;
}

__noinline int option_read(struct bpf_sock_ops *ops, const __u64 *sk)
{
    struct tcp_place option = { .kind = OPTION_KIND };
    struct trace_context c = {};
    struct pair_key key = {};
    __u32 sent, received;

    if (!sk || bpf_load_hdr_opt(ops, &option, sizeof(option), 0) != sizeof(option))
        return 0;
    if (!segment_at(ops, &key.at) || tcp_origin((struct sock *)*sk, &sent, &received) == OPENED_UNKNOWN)
        return 0;
    key.ends = (__u64)received << 32 | sent;
    __builtin_memcpy(c.trace, option.trace, sizeof(c.trace));
    __builtin_memcpy(&c.span, option.span, sizeof(c.span));
    if (!(c.trace[0] | c.trace[1]) || !c.span)
        return 0;
    c.flags = trace_flags(c.trace, false, 0);
    bpf_map_update_elem(&vor_heard, &key, &c, BPF_ANY);
    count(COUNT_WIRE_HEARD);
    return 0;
}

SEC("sockops")
int wire_option(struct bpf_sock_ops *ops)
{
    __u64 sk = ops->sk;
    int flags = ops->bpf_sock_ops_cb_flags;

    switch (ops->op) {
    case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
        if (marked(ops))
            bpf_sock_ops_cb_flags_set(ops, flags | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
        break;
    case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
        /* Who is going to read there cannot be known yet. */
        bpf_sock_ops_cb_flags_set(ops, flags | BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG);
        break;
    case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
        option_room(ops, &sk);
        break;
    case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
        option_write(ops, &sk);
        break;
    case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
        option_read(ops, &sk);
        break;
    }
    return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
