/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* How vor begins to follow a connection, and what it asks the kernel about it. */
#pragma once
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include "conn.h"

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262
#define TCP_CLOSE 7

/*
 * A connection's row has the address of its socket as key; the row of what is said on it in TLS has this bit set
 * besides.
 */
#define IN_TLS 1ULL

/* The socket of the row with this key. */
static __always_inline struct sock *conn_sock(__u64 key)
{
    return (struct sock *)(key & ~IN_TLS);
}

static __always_inline void read_addresses(struct socket_record *r, struct sock *sk, __u16 family)
{
    r->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
    r->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
    if (family == AF_INET6) {
        BPF_CORE_READ_INTO(&r->local, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
        BPF_CORE_READ_INTO(&r->remote, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
        return;
    }
    __be32 local = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
    __be32 remote = BPF_CORE_READ(sk, __sk_common.skc_daddr);

    r->local[10] = r->local[11] = r->remote[10] = r->remote[11] = 0xff;
    __builtin_memcpy(&r->local[12], &local, sizeof(local));
    __builtin_memcpy(&r->remote[12], &remote, sizeof(remote));
}

/* One end of a unix connection is named as a rule: the listener's. The name leads the bytes. */
static __always_inline void read_path(struct socket_conn *c, struct sock *sk)
{
    struct socket_record *r = &c->record;
    struct unix_address *name = BPF_CORE_READ((struct unix_sock *)sk, addr);

    if (name) {
        r->flags |= SOCKET_PATH_LOCAL;
    } else {
        struct unix_sock *peer = (struct unix_sock *)BPF_CORE_READ((struct unix_sock *)sk, peer);

        name = BPF_CORE_READ(peer, addr);
    }
    r->flags |= SOCKET_UNIX;
    if (!name)
        return;
    /* The length counts the family in front of the path. */
    __u32 len = BPF_CORE_READ(name, len) - sizeof(__u16);

    if (len > SOCKET_PATH_MAX)
        return;
    bpf_probe_read_kernel(c->bytes, len, (void *)name + bpf_core_field_offset(name->name) + sizeof(__u16));
    r->path_len = len;
}

/*
 * Whether the operation at hand moved the first bytes the connection ever carried.
 * The kernel's counts include the FIN and the SYN, hence the one to spare.
 */
static __always_inline bool first_bytes(struct sock *sk, enum direction way, __u64 done)
{
    struct tcp_sock *tcp = (struct tcp_sock *)sk;
    __u64 received = BPF_CORE_READ(tcp, bytes_received);

    if (way == SENT) {
        __u32 unacked = BPF_CORE_READ(tcp, write_seq) - BPF_CORE_READ(tcp, snd_una);

        return received == 0 && BPF_CORE_READ(tcp, bytes_acked) + unacked <= done + 1;
    }
    __u32 unread = BPF_CORE_READ(tcp, rcv_nxt) - BPF_CORE_READ(tcp, copied_seq);

    return BPF_CORE_READ(tcp, bytes_sent) == 0 && received <= done + unread + 1;
}

/* Whether what is said in TLS on `sk` has a row of its own, or is about to get one. */
static __always_inline bool carries_tls(struct sock *sk)
{
    __u64 key = (__u64)sk;
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &key);

    return c && c->carrier;
}

/* Begins to follow what has this key, or declines: not on a stream between processes. */
static __always_inline struct socket_conn *conn_open(__u64 key, enum direction way, __u64 done)
{
    struct sock *sk = conn_sock(key);
    __u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
    __u16 protocol = BPF_CORE_READ(sk, sk_protocol);
    __u32 zero = 0;

    if (BPF_CORE_READ(sk, sk_type) != SOCK_STREAM)
        return NULL;
    if (family == AF_UNIX) {
        protocol = 0;
    } else if ((family != AF_INET && family != AF_INET6) || (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP)) {
        return NULL;
    }
    /* Reset while it was written to: its end was told, and its memory may soon be another connection. */
    if (family != AF_UNIX && BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE)
        return NULL;
    struct socket_conn *c = bpf_map_lookup_elem(&socket_blank, &zero);

    if (!c)
        return NULL;
    if (bpf_map_update_elem(&socket_conns, &key, c, BPF_NOEXIST)) {
        c = bpf_map_lookup_elem(&socket_conns, &key);
        if (!c)
            lost(LOST_CONN_FULL);
        return c; /* made by another thread at this moment */
    }
    c = bpf_map_lookup_elem(&socket_conns, &key);
    if (!c)
        return NULL;

    struct socket_record *r = &c->record;

    c->asks = way;
    r->socket = key;
    r->serial = __sync_fetch_and_add(&socket_serial, 1) + 1;
    /* Then its handshake was seen. */
    if (key & IN_TLS)
        r->flags = carries_tls(sk) ? SOCKET_TLS | SOCKET_FROM_START : SOCKET_TLS;
    if (family == AF_UNIX) {
        read_path(c, sk);
        return c;
    }
    read_addresses(r, sk, family);
    if (protocol == IPPROTO_TCP) {
        c->opened = tcp_origin(sk, &c->iss[SENT], &c->iss[RECEIVED]);
        if (!(key & IN_TLS) && first_bytes(sk, way, done))
            r->flags |= SOCKET_FROM_START;
    }
    return c;
}
