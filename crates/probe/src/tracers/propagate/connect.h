/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Which connections are written to: those that a process opens whose calls are to be written. What others open is
 * never touched. A mark in the socket's own storage says so; it ends with the socket.
 */
#pragma once
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <lib/lost.h>
#include <maps/admit.h>
#include "wire.h"

#define TCP_SYN_SENT 2

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct wire_socket);
} wire_sockets SEC(".maps");

/* connect(2) of the current process, before the first segment: marks the socket if the process has one of `flags`. */
static __always_inline int connect_marks(struct sock *sk, int to, __u32 flags)
{
    if (to != TCP_SYN_SENT)
        return 0;
    struct admitted *who = admitted();

    if (!who || !(who->flags & flags)) {
        count(COUNT_WIRE_STRANGERS);
        return 0;
    }
    struct wire_socket mark = { .flags = who->flags };

    if (bpf_sk_storage_get(&wire_sockets, sk, &mark, BPF_LOCAL_STORAGE_GET_F_CREATE))
        count(COUNT_WIRE_SOCKETS);
    else
        count(COUNT_WIRE_UNFIT);
    return 0;
}

/* What was marked on the socket of an event; NULL: nothing. */
static __always_inline struct wire_socket *marked(struct bpf_sock_ops *ops)
{
    struct bpf_sock *sk = (struct bpf_sock *)ops->sk;

    return sk ? bpf_sk_storage_get(&wire_sockets, sk, NULL, 0) : NULL;
}
