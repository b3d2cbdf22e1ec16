/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* From a net.Conn of a Go program to the kernel's socket, through whatever wraps it. */
#pragma once
#include <lib/fd.h>
#include "../../tracers/socket/claim.h"
#include "go.h"

/* Wrappers that are looked through: TLS, limits, counters. Each has the next net.Conn as its first field. */
#define GO_WRAPPERS 4

/* The socket of the connection that `conn` points to, or NULL. */
static __always_inline struct sock *go_sock(__u64 conn, const struct go_net_facts *net)
{
    for (int i = 0; i < GO_WRAPPERS && conn; i++) {
        __u64 fd = go_word(conn, 0); /* net.TCPConn → net.conn → *net.netFD */
        __u64 family = go_word(fd, net->family);

        /* Proof that it is a net.netFD. */
        if ((family == AF_INET || family == AF_INET6 || family == AF_UNIX) && go_word(fd, net->sotype) == SOCK_STREAM)
            return fd_sock(go_word(fd, net->fd));
        conn = go_interface(conn, 0);
    }
    return NULL;
}

/* Says to whom a call goes, once its connection has been claimed. */
static __always_inline void go_connected(struct go_call *call, struct sock *sk)
{
    const struct socket_record *r = conn_ends(sk);

    if (!r)
        return;
    call->socket = r->socket;
    call->serial = r->serial;
    call->peer = r->flags & SOCKET_UNIX ? GO_PEER_UNIX : GO_PEER_INET;
    if (call->peer == GO_PEER_UNIX)
        return;
    call->local_port = r->local_port;
    call->remote_port = r->remote_port;
    __builtin_memcpy(call->local, r->local, sizeof(call->local));
    __builtin_memcpy(call->remote, r->remote, sizeof(call->remote));
}

/* A server's call, which has its place, is a request that the current goroutine serves. */
static __always_inline void go_serve(struct go_call *call, const struct admitted *who)
{
    struct task task = current_task(who);

    call->serves = request_begin(&task, &call->place, false);
}

/* The place of a call that the current goroutine makes. */
static __always_inline void go_place(struct go_call *call, const struct admitted *who)
{
    struct task task = current_task(who);

    place_for(&call->place, &task);
}
