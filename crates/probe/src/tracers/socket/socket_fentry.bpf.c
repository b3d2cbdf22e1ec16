// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * socket, door `fentry`: what programs say to each other, seen where the socket families' functions return.
 *
 * In     fexit of the stream functions of inet, inet6 and unix, fentry of those that send; fentry/unix_release;
 *        tp_btf/inet_sock_set_state
 * Out    socket_events   one socket_record per exchange
 * State  socket_conns    private; keyed by socket, deleted when it closes
 * Needs  kernel BTF, BPF trampolines (5.5), ring buffer (5.8), task storage (5.11), bpf_for_each_map_elem (5.13)
 * Cost   a process that is not observed: one look into task storage per call, two where it sends
 */
#include "calls.h"

/* Before the first byte leaves: the other end may be reading before the call returns. */
static __always_inline int sending(struct socket *sock)
{
    struct admitted *who = admitted();
    struct sock *sk = sock->sk;

    return who ? socket_sending(who, (__u64 *)&sk) : 0;
}

SEC("fentry/inet_sendmsg")
int BPF_PROG(socket_call4, struct socket *sock)
{
    return sending(sock);
}

SEC("fentry/inet6_sendmsg")
int BPF_PROG(socket_call6, struct socket *sock)
{
    return sending(sock);
}

SEC("fentry/unix_stream_sendmsg")
int BPF_PROG(socket_call_un, struct socket *sock)
{
    return sending(sock);
}

SEC("fexit/inet_sendmsg")
int BPF_PROG(socket_sent4, struct socket *sock, struct msghdr *msg, size_t size, int ret)
{
    struct admitted *who = admitted();

    return who ? sent(who, sock->sk, msg, ret) : 0;
}

SEC("fexit/inet6_sendmsg")
int BPF_PROG(socket_sent6, struct socket *sock, struct msghdr *msg, size_t size, int ret)
{
    struct admitted *who = admitted();

    return who ? sent(who, sock->sk, msg, ret) : 0;
}

SEC("fexit/unix_stream_sendmsg")
int BPF_PROG(socket_sent_un, struct socket *sock, struct msghdr *msg, size_t size, int ret)
{
    struct admitted *who = admitted();

    return who ? sent(who, sock->sk, msg, ret) : 0;
}

SEC("fexit/inet_recvmsg")
int BPF_PROG(socket_got4, struct socket *sock, struct msghdr *msg, size_t size, int flags, int ret)
{
    struct admitted *who = admitted();

    return who ? got(who, sock->sk, msg, size, flags, ret) : 0;
}

SEC("fexit/inet6_recvmsg")
int BPF_PROG(socket_got6, struct socket *sock, struct msghdr *msg, size_t size, int flags, int ret)
{
    struct admitted *who = admitted();

    return who ? got(who, sock->sk, msg, size, flags, ret) : 0;
}

SEC("fexit/unix_stream_recvmsg")
int BPF_PROG(socket_got_un, struct socket *sock, struct msghdr *msg, size_t size, int flags, int ret)
{
    struct admitted *who = admitted();

    return who ? got(who, sock->sk, msg, size, flags, ret) : 0;
}

SEC("fexit/tcp_splice_read")
int BPF_PROG(socket_splice, struct socket *sock, loff_t *ppos, struct pipe_inode_info *pipe, size_t len,
             unsigned int flags, long ret)
{
    struct admitted *who = admitted();

    return who ? socket_moved(who, sock->sk, RECEIVED, ret) : 0;
}

SEC("fexit/unix_stream_splice_read")
int BPF_PROG(socket_spl_un, struct socket *sock, loff_t *ppos, struct pipe_inode_info *pipe, size_t len,
             unsigned int flags, long ret)
{
    struct admitted *who = admitted();

    return who ? socket_moved(who, sock->sk, RECEIVED, ret) : 0;
}

/* sendfile and splice into a socket, until 6.5 made messages of them (dc97391e6610). */
SEC("fexit/inet_sendpage")
int BPF_PROG(socket_page, struct socket *sock, struct page *page, int offset, size_t size, int flags, long ret)
{
    struct admitted *who = admitted();

    return who ? socket_moved(who, sock->sk, SENT, ret) : 0;
}

SEC("fexit/unix_stream_sendpage")
int BPF_PROG(socket_page_un, struct socket *sock, struct page *page, int offset, size_t size, int flags, long ret)
{
    struct admitted *who = admitted();

    return who ? socket_moved(who, sock->sk, SENT, ret) : 0;
}

/* TCP connections tell of their end themselves; unix ones do not. */
SEC("fentry/unix_release")
int BPF_PROG(socket_gone_un, struct socket *sock)
{
    struct sock *sk = sock->sk;

    return conn_end((__u64 *)&sk);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
