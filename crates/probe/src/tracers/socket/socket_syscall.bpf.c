// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * socket, door `syscall`: what programs say to each other, seen where their system calls return.
 *
 * In     tracepoints sys_exit of the calls that move bytes, sys_enter_close, tp_btf/inet_sock_set_state
 * Out    socket_events   one socket_record per exchange
 * State  socket_conns    private; keyed by socket, deleted when it closes
 * Needs  kernel BTF, ring buffer (5.8), bpf_task_pt_regs (5.15), bpf_for_each_map_elem (5.13)
 * Cost   a process that is not observed: one look into task storage per call; io_uring is not seen here
 */
#include "ends.h"
#include <lib/fd.h>

#define MESSAGES 8
#define MSG_PEEK 2

/* Layout of the sys_exit_* tracepoints (events/syscalls/.../format). */
struct sys_exit {
    __u64 common;
    __s64 nr;
    __s64 ret;
};

struct sys_enter {
    __u64 common;
    __s64 nr;
    __u64 args[6];
};

/* The arguments of the call that returns; the kernel keeps them on its stack. */
static __always_inline struct pt_regs *call(void)
{
    return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
}

static __always_inline int buffer(struct sys_exit *ctx, enum direction way)
{
    if ((ctx->ret <= 0 && (way == SENT || ctx->ret)) || !admitted())
        return 0;
    struct pt_regs *regs = call();
    struct sock *sk = fd_sock(PT_REGS_PARM1_SYSCALL(regs));
    struct extent x;

    if (!sk)
        return 0;
    if (!ctx->ret)
        return socket_eof(sk);
    extent_of_buffer(&x, PT_REGS_PARM2_SYSCALL(regs), ctx->ret);
    return socket_data(sk, way, &x, ctx->ret);
}

static __always_inline int vector(struct sys_exit *ctx, enum direction way)
{
    if ((ctx->ret <= 0 && (way == SENT || ctx->ret)) || !admitted())
        return 0;
    struct pt_regs *regs = call();
    struct sock *sk = fd_sock(PT_REGS_PARM1_SYSCALL(regs));
    struct extent x;

    if (!sk)
        return 0;
    if (!ctx->ret)
        return socket_eof(sk);
    extent_of_iovecs(&x, PT_REGS_PARM2_SYSCALL(regs), PT_REGS_PARM3_SYSCALL(regs), ctx->ret);
    return socket_data(sk, way, &x, ctx->ret);
}

static __always_inline int one_message(struct sock *sk, enum direction way, __u64 at, __u64 done)
{
    struct user_msghdr msg = {};
    struct extent x;

    bpf_probe_read_user(&msg, sizeof(msg), (void *)at);
    extent_of_iovecs(&x, (__u64)msg.msg_iov, msg.msg_iovlen, done);
    return socket_data(sk, way, &x, done);
}

static __always_inline int message_call(struct sys_exit *ctx, enum direction way)
{
    if ((ctx->ret <= 0 && (way == SENT || ctx->ret)) || !admitted())
        return 0;
    struct pt_regs *regs = call();

    if (way == RECEIVED && PT_REGS_PARM3_SYSCALL(regs) & MSG_PEEK)
        return 0;
    struct sock *sk = fd_sock(PT_REGS_PARM1_SYSCALL(regs));

    if (!sk)
        return 0;
    return ctx->ret ? one_message(sk, way, PT_REGS_PARM2_SYSCALL(regs), ctx->ret) : socket_eof(sk);
}

static __always_inline int message_calls(struct sys_exit *ctx, enum direction way)
{
    if (ctx->ret <= 0 || !admitted())
        return 0;
    struct pt_regs *regs = call();

    if (way == RECEIVED && PT_REGS_PARM4_SYSCALL(regs) & MSG_PEEK)
        return 0;
    struct sock *sk = fd_sock(PT_REGS_PARM1_SYSCALL(regs));
    __u64 at = PT_REGS_PARM2_SYSCALL(regs);

    if (!sk)
        return 0;
    for (__u32 i = 0; i < MESSAGES && i < ctx->ret; i++) {
        __u32 done = 0;

        bpf_probe_read_user(&done, sizeof(done), (void *)(at + offsetof(struct mmsghdr, msg_len)));
        if (done)
            one_message(sk, way, at, done);
        at += sizeof(struct mmsghdr);
    }
    if (ctx->ret > MESSAGES)
        lost(LOST_SEGMENTS);
    return 0;
}

/* Bytes that never were in the program's memory: they count, but cannot be read. */
static __always_inline int moved(__u64 fd, enum direction way, __u64 done)
{
    struct sock *sk = fd_sock(fd);
    struct extent x;

    if (!sk)
        return 0;
    extent_of_buffer(&x, 0, done);
    x.tail_len = 0;
    return socket_data(sk, way, &x, done);
}

SEC("tracepoint/syscalls/sys_exit_read")
int socket_read(struct sys_exit *ctx)
{
    return buffer(ctx, RECEIVED);
}

SEC("tracepoint/syscalls/sys_exit_write")
int socket_write(struct sys_exit *ctx)
{
    return buffer(ctx, SENT);
}

SEC("tracepoint/syscalls/sys_exit_recvfrom")
int socket_recvfrom(struct sys_exit *ctx)
{
    if (ctx->ret < 0 || !admitted() || PT_REGS_PARM4_SYSCALL(call()) & MSG_PEEK)
        return 0;
    return buffer(ctx, RECEIVED);
}

SEC("tracepoint/syscalls/sys_exit_sendto")
int socket_sendto(struct sys_exit *ctx)
{
    return buffer(ctx, SENT);
}

SEC("tracepoint/syscalls/sys_exit_readv")
int socket_readv(struct sys_exit *ctx)
{
    return vector(ctx, RECEIVED);
}

SEC("tracepoint/syscalls/sys_exit_writev")
int socket_writev(struct sys_exit *ctx)
{
    return vector(ctx, SENT);
}

SEC("tracepoint/syscalls/sys_exit_recvmsg")
int socket_recvmsg(struct sys_exit *ctx)
{
    return message_call(ctx, RECEIVED);
}

SEC("tracepoint/syscalls/sys_exit_sendmsg")
int socket_sendmsg(struct sys_exit *ctx)
{
    return message_call(ctx, SENT);
}

SEC("tracepoint/syscalls/sys_exit_recvmmsg")
int socket_recvmmsg(struct sys_exit *ctx)
{
    return message_calls(ctx, RECEIVED);
}

SEC("tracepoint/syscalls/sys_exit_sendmmsg")
int socket_sendmmsg(struct sys_exit *ctx)
{
    return message_calls(ctx, SENT);
}

SEC("tracepoint/syscalls/sys_exit_sendfile64")
int socket_sendfile(struct sys_exit *ctx)
{
    if (ctx->ret <= 0 || !admitted())
        return 0;
    return moved(PT_REGS_PARM1_SYSCALL(call()), SENT, ctx->ret);
}

SEC("tracepoint/syscalls/sys_exit_splice")
int socket_splice(struct sys_exit *ctx)
{
    if (ctx->ret <= 0 || !admitted())
        return 0;
    moved(PT_REGS_PARM1_SYSCALL(call()), RECEIVED, ctx->ret);
    return moved(PT_REGS_PARM3_SYSCALL(call()), SENT, ctx->ret);
}

/* TCP connections tell of their end themselves; unix ones do not. A shared descriptor may live on. */
SEC("tracepoint/syscalls/sys_enter_close")
int socket_close(struct sys_enter *ctx)
{
    if (!admitted())
        return 0;
    struct sock *sk = fd_sock(ctx->args[0]);

    if (!sk || BPF_CORE_READ(sk, __sk_common.skc_family) != AF_UNIX)
        return 0;
    return conn_end((__u64)sk);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
