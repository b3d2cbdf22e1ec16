// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * tcpstat: which process has which socket, and what TCP says of it.
 *
 * In     tp_btf/inet_sock_set_state   connections begin, fail and end; iter/task_file   all open sockets, when asked
 * Out    tcpstat_events   one tcpstat_record per event; the iterator gives one per socket
 * State  tcpstat_dials    private; who connects, in the storage of the socket
 * Needs  kernel BTF, ring buffer (5.8), storage of sockets in tracing programs (5.11), iter/task_file (5.8)
 * Cost   two or three records per connection, nothing per packet; one look at each open file per listing
 */
#include <kernel.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <lib/ring.h>
#include "wire.h"

#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

/* include/net/tcp_states.h */
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_CLOSE 7
#define TCP_LISTEN 10

#define TCPSTAT_HIGH_WATER (64 * 1024)

struct dial {
    __u64 started_ns;
    __u32 pid;
    __u32 _pad;
};

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct dial);
} tcpstat_dials SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 512 * 1024);
} tcpstat_events SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, TCPSTAT_TOTALS);
    __type(key, __u32);
    __type(value, __u64);
} tcpstat_totals SEC(".maps");

static __always_inline void mapped(__u8 to[16], __be32 v4)
{
    if (!v4)
        return; /* any address */
    to[10] = to[11] = 0xff;
    __builtin_memcpy(to + 12, &v4, sizeof(v4));
}

/* What a socket of the Internet families says of itself; false when it is none. `r` is all zero. */
static __always_inline bool read_socket(struct tcpstat_record *r, struct sock *sk)
{
    __u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

    if (family != AF_INET && family != AF_INET6)
        return false;
    r->protocol = BPF_CORE_READ(sk, sk_protocol);
    r->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
    /* Not skc_num: a socket that closes has already given its port back. */
    r->local_port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
    r->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
    if (family == AF_INET) {
        mapped(r->local, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
        mapped(r->remote, BPF_CORE_READ(sk, __sk_common.skc_daddr));
    } else {
        BPF_CORE_READ_INTO(&r->local, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
        BPF_CORE_READ_INTO(&r->remote, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
    }
    if (r->protocol == IPPROTO_TCP) {
        struct tcp_sock *tcp = (struct tcp_sock *)sk;

        r->round_trip_us = BPF_CORE_READ(tcp, srtt_us) >> 3; /* it is kept eight times as fine */
        r->retransmits = BPF_CORE_READ(tcp, total_retrans);
    }
    return true;
}

static __always_inline void tell(struct sock *sk, __u8 kind, const struct dial *by)
{
    struct tcpstat_record r = { .kind = kind };
    __u32 lost = TCPSTAT_LOST;
    __u64 *sum;

    if (!read_socket(&r, sk))
        return;
    if (by) {
        r.pid = by->pid;
        r.started_ns = by->started_ns;
    }
    if (!bpf_ringbuf_output(&tcpstat_events, &r, sizeof(r), ring_wake(&tcpstat_events, TCPSTAT_HIGH_WATER)))
        return;
    sum = bpf_map_lookup_elem(&tcpstat_totals, &lost);
    if (sum)
        *sum += 1;
}

static __always_inline struct dial current_process(void)
{
    struct task_struct *leader = bpf_get_current_task_btf()->group_leader;
    struct dial now = { .pid = leader->tgid, .started_ns = leader->start_boottime };

    return now;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tcpstat_state, struct sock *sk, int from, int to)
{
    struct dial *by, now;

    if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
        return 0;
    if (to == TCP_SYN_SENT || to == TCP_LISTEN) {
        /* connect(2) and listen(2) run in the caller's context, and only they do. The port is not yet known. */
        now = current_process();
        if (to == TCP_LISTEN)
            tell(sk, TCPSTAT_LISTENS, &now);
        else
            bpf_sk_storage_get(&tcpstat_dials, sk, &now, BPF_LOCAL_STORAGE_GET_F_CREATE);
        return 0;
    }
    if (from == TCP_LISTEN)
        return 0;
    by = bpf_sk_storage_get(&tcpstat_dials, sk, NULL, 0);
    if (to == TCP_ESTABLISHED)
        tell(sk, from == TCP_SYN_RECV ? TCPSTAT_ACCEPTED : TCPSTAT_OPENED, by);
    else if (to == TCP_CLOSE)
        tell(sk, from == TCP_SYN_SENT ? TCPSTAT_FAILED : TCPSTAT_ENDED, by);
    return 0;
}

SEC("iter/task_file")
int tcpstat_files(struct bpf_iter__task_file *ctx)
{
    struct tcpstat_record r = { .kind = TCPSTAT_THERE };
    struct task_struct *task = ctx->task;
    struct file *file = ctx->file;
    struct socket *socket;
    struct sock *sk;
    __u8 state;

    if (!task || !file)
        return 0;
    socket = file->private_data;
    /* Only a socket points back to its file. */
    if (!socket || BPF_CORE_READ(socket, file) != file)
        return 0;
    sk = BPF_CORE_READ(socket, sk);
    if (!sk || !read_socket(&r, sk) || !r.local_port)
        return 0;
    if (r.protocol != IPPROTO_TCP && r.protocol != IPPROTO_UDP)
        return 0;
    state = BPF_CORE_READ(sk, __sk_common.skc_state);
    if (r.protocol == IPPROTO_TCP && state == TCP_CLOSE)
        return 0; /* bound, no more */
    r.listens = r.protocol == IPPROTO_TCP && state == TCP_LISTEN;
    r.pid = task->tgid;
    r.started_ns = BPF_CORE_READ(task, group_leader, start_boottime);
    bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
