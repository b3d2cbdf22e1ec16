/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * What the socket families' own functions mean when they return: the core of the doors `fentry` and `kprobe`.
 *
 * They are called for every way in: system calls of both word sizes, io_uring, sendfile, kernel TLS, MPTCP.
 */
#pragma once
#include "ends.h"

/* inet_sendmsg, inet6_sendmsg, unix_stream_sendmsg */
static __always_inline int sent(struct admitted *who, struct sock *sk, const struct msghdr *msg, int ret)
{
    struct extent x;

    if (ret <= 0)
        return 0;
    extent_behind(&x, &msg->msg_iter, ret);
    return socket_data(who, (__u64 *)&sk, SENT, &x, ret);
}

/* inet_recvmsg, inet6_recvmsg, unix_stream_recvmsg; `size` is what was asked for */
static __always_inline int got(struct admitted *who, struct sock *sk, const struct msghdr *msg, __u64 size, int flags,
                               int ret)
{
    struct extent x;

    if (ret < 0 || flags & NOT_DATA)
        return 0;
    if (!ret)
        return size ? socket_eof((__u64 *)&sk) : 0;
    extent_behind(&x, &msg->msg_iter, ret);
    return socket_data(who, (__u64 *)&sk, RECEIVED, &x, ret);
}
