/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * One connection of an observed process: its state, its two runs of bytes, and the record they become.
 */
#pragma once
#include <kernel.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <lib/lost.h>
#include <lib/ring.h>
#include <maps/admit.h>
#include <pure/http1.h>
#include "wire.h"

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262

/* A copy or a search may be shown to reach this far past the captured bytes; see copy_piece, http1_step. */
#define CONN_SLACK (HTTP1_MAX + HTTP1_SLACK)
/* Ring fill at which the reader is woken instead of waiting for its timer. */
#define CONN_HIGH_WATER (512 * 1024)

enum direction {
    RECEIVED = 0,
    SENT = 1,
};

enum conn_state {
    IDLE = 0,
    ASKING,    /* a request has begun */
    ANSWERING, /* its answer has begun; or an answer whose request is yet to be seen */
};

struct socket_conn {
    __u32 lock;
    __u8 mode;  /* SOCKET_PAIRS, … */
    __u8 asks;  /* the direction that requests take */
    __u8 state; /* enum conn_state */
    __u8 end;   /* enum http1_end of the answer */
    __u8 http;  /* HTTP/1 was seen on it */
    __u8 told;  /* user space has heard of it */
    __u8 _pad[2];
    __u32 owed; /* answers to come whose requests were in earlier records */
    __u64 tail; /* the answer's last eight bytes */
    __u64 left; /* of an answer that was reported before it was over */
    struct http1_scan scan;
    struct socket_record record;
    __u8 bytes[SOCKET_BYTES]; /* follow the record without a gap, and so are sent with it */
    __u8 slack[CONN_SLACK];
};

_Static_assert(offsetof(struct socket_conn, bytes) ==
                   offsetof(struct socket_conn, record) + sizeof(struct socket_record),
               "the bytes must follow the record");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC); /* pay for live connections only */
    __uint(max_entries, 16384);           /* ebpf.max_connections */
    __type(key, __u64);
    __type(value, struct socket_conn);
} socket_conns SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 2 * 1024 * 1024); /* ebpf.ring_size */
} socket_events SEC(".maps");

/* What a new connection begins as: too large for the stack. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct socket_conn);
} socket_blank SEC(".maps");

__u64 socket_serial = 0;

/* Two threads may read and write one socket at the same time; the sections are short. */
static __always_inline bool conn_lock(struct socket_conn *c)
{
    for (int i = 0; i < 256; i++)
        if (!__sync_val_compare_and_swap(&c->lock, 0, 1))
            return true;
    lost(LOST_CONN_BUSY);
    return false;
}

static __always_inline void conn_unlock(struct socket_conn *c)
{
    __sync_lock_test_and_set(&c->lock, 0);
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

/* Begins to follow the connection of `sk`, or declines: not a stream between processes. */
static __always_inline struct socket_conn *conn_open(struct sock *sk, enum direction way, __u64 done)
{
    __u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
    __u16 protocol = BPF_CORE_READ(sk, sk_protocol);
    __u64 key = (__u64)sk;
    __u32 zero = 0;

    if (BPF_CORE_READ(sk, sk_type) != SOCK_STREAM)
        return NULL;
    if (family == AF_UNIX) {
        protocol = 0;
    } else if ((family != AF_INET && family != AF_INET6) || (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP)) {
        return NULL;
    }
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
    if (family == AF_UNIX) {
        read_path(c, sk);
        return c;
    }
    read_addresses(r, sk, family);
    if (protocol == IPPROTO_TCP && first_bytes(sk, way, done))
        r->flags |= SOCKET_FROM_START;
    return c;
}

/* Sends the record with the first `used` of its bytes. */
static __always_inline void conn_tell(struct socket_conn *c, __u8 kind, __u32 used)
{
    struct socket_record *r = &c->record;
    __u64 wake = ring_wake(&socket_events, CONN_HIGH_WATER);

    if (used > SOCKET_BYTES)
        used = SOCKET_BYTES;
    r->kind = kind;
    if (c->asks == RECEIVED)
        r->flags |= SOCKET_SERVER;
    else
        r->flags &= ~SOCKET_SERVER;
    if (bpf_ringbuf_output(&socket_events, r, sizeof(*r) + used, wake)) {
        lost(LOST_RING_FULL);
        return;
    }
    c->told = 1;
}

/* Ends the open exchange and sends it. */
static __always_inline void conn_finish(struct socket_conn *c, __u8 ending)
{
    struct socket_record *r = &c->record;
    __u32 used = r->request_at + r->request_cap;
    __u32 head = c->scan.head_len;

    /* Nobody reads the body, unless more heads may follow in what was captured. */
    if (head && head < r->response_cap && c->end == HTTP1_LENGTH && r->response_len <= head + c->scan.body_len)
        r->response_cap = head;
    if (r->response_cap && r->response_at + r->response_cap > used)
        used = r->response_at + r->response_cap;
    if (!r->request_len && c->owed)
        c->owed--;
    /* What never came lasted until it was given up. */
    if (!r->response_len && ending != SOCKET_ANSWERED)
        r->response_end_ns = bpf_ktime_get_ns();
    r->ending = ending;
    c->state = IDLE;
    conn_tell(c, SOCKET_EXCHANGE, used);
    count(COUNT_EXCHANGES_ENDED);
}
