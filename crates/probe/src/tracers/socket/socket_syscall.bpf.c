// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * socket, door `syscall`: what programs say to each other, seen where their system calls return.
 *
 * In     tracepoints sys_exit of the calls that move bytes, sys_enter of those that send, sys_enter_close,
 *        tp_btf/inet_sock_set_state
 * Out    socket_events   one socket_record per exchange
 * State  socket_conns    private; keyed by socket, deleted when it closes
 * Needs  kernel BTF, ring buffer (5.8), bpf_task_pt_regs (5.15), bpf_for_each_map_elem (5.13)
 * Cost   a process that is not observed: one look into task storage per call, two where it writes; io_uring is
 *        not seen here
 */
#include "ends.h"
#include <lib/fd.h>

#define MESSAGES 8

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

/* write, sendto: one buffer */
static __always_inline int sent_buffer(struct sys_exit *ctx)
{
    struct admitted *who;

    if (ctx->ret <= 0 || !(who = admitted()))
        return 0;
    struct pt_regs *regs = call();
    struct sock *sk = fd_sock(PT_REGS_PARM1_SYSCALL(regs));
    struct extent x;

    if (!sk)
        return 0;
    extent_of_buffer(&x, PT_REGS_PARM2_SYSCALL(regs), ctx->ret);
    return socket_data(who, (__u64 *)&sk, SENT, &x, ctx->ret);
}

/* read, recvfrom: one buffer */
static __always_inline int got_buffer(struct sys_exit *ctx, struct admitted *who)
{
    struct pt_regs *regs = call();
    struct sock *sk = fd_sock(PT_REGS_PARM1_SYSCALL(regs));
    struct extent x;

    if (!sk)
        return 0;
    if (!ctx->ret)
        return PT_REGS_PARM3_SYSCALL(regs) ? socket_eof((__u64 *)&sk) : 0;
    extent_of_buffer(&x, PT_REGS_PARM2_SYSCALL(regs), ctx->ret);
    return socket_data(who, (__u64 *)&sk, RECEIVED, &x, ctx->ret);
}

/* readv, writev */
static __always_inline int vector(struct sys_exit *ctx, enum direction way)
{
    struct admitted *who;

    if (ctx->ret < 0 || !(who = admitted()))
        return 0;
    struct pt_regs *regs = call();
    struct sock *sk = fd_sock(PT_REGS_PARM1_SYSCALL(regs));
    struct extent x;

    if (!sk)
        return 0;
    if (!ctx->ret)
        return way == RECEIVED ? socket_eof((__u64 *)&sk) : 0;
    extent_of_iovecs(&x, PT_REGS_PARM2_SYSCALL(regs), PT_REGS_PARM3_SYSCALL(regs), ctx->ret);
    return socket_data(who, (__u64 *)&sk, way, &x, ctx->ret);
}

static __always_inline int one_message(struct admitted *who, struct sock *sk, enum direction way, __u64 at, __u64 done)
{
    struct user_msghdr msg = {};
    struct extent x;

    bpf_probe_read_user(&msg, sizeof(msg), (void *)at);
    extent_of_iovecs(&x, (__u64)msg.msg_iov, msg.msg_iovlen, done);
    return socket_data(who, (__u64 *)&sk, way, &x, done);
}

/* sendmmsg, recvmmsg */
static __always_inline int messages(struct sys_exit *ctx, struct admitted *who, enum direction way)
{
    struct pt_regs *regs = call();
    struct sock *sk = fd_sock(PT_REGS_PARM1_SYSCALL(regs));
    __u64 at = PT_REGS_PARM2_SYSCALL(regs);

    if (!sk)
        return 0;
    for (__u32 i = 0; i < MESSAGES && i < ctx->ret; i++) {
        __u32 done = 0;

        bpf_probe_read_user(&done, sizeof(done), (void *)(at + offsetof(struct mmsghdr, msg_len)));
        if (done)
            one_message(who, sk, way, at, done);
        at += sizeof(struct mmsghdr);
    }
    if (ctx->ret > MESSAGES)
        lost(LOST_SEGMENTS);
    return 0;
}

/* write, writev, sendto, sendmsg, sendmmsg: before the first byte leaves */
SEC("tracepoint/syscalls/sys_enter_write")
int socket_sends(struct sys_enter *ctx)
{
    struct admitted *who = admitted();
    struct sock *sk = who ? fd_sock(ctx->args[0]) : NULL;

    return sk ? socket_sending(who, (__u64 *)&sk) : 0;
}

SEC("tracepoint/syscalls/sys_exit_read")
int socket_read(struct sys_exit *ctx)
{
    struct admitted *who;

    return ctx->ret >= 0 && (who = admitted()) ? got_buffer(ctx, who) : 0;
}

SEC("tracepoint/syscalls/sys_exit_recvfrom")
int socket_recvfrom(struct sys_exit *ctx)
{
    struct admitted *who;

    if (ctx->ret < 0 || !(who = admitted()) || PT_REGS_PARM4_SYSCALL(call()) & NOT_DATA)
        return 0;
    return got_buffer(ctx, who);
}

SEC("tracepoint/syscalls/sys_exit_write")
int socket_write(struct sys_exit *ctx)
{
    return sent_buffer(ctx);
}

SEC("tracepoint/syscalls/sys_exit_sendto")
int socket_sendto(struct sys_exit *ctx)
{
    return sent_buffer(ctx);
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
    struct admitted *who;

    if (ctx->ret < 0 || !(who = admitted()) || PT_REGS_PARM3_SYSCALL(call()) & NOT_DATA)
        return 0;
    struct pt_regs *regs = call();
    struct sock *sk = fd_sock(PT_REGS_PARM1_SYSCALL(regs));

    if (!sk)
        return 0;
    return ctx->ret ? one_message(who, sk, RECEIVED, PT_REGS_PARM2_SYSCALL(regs), ctx->ret) : socket_eof((__u64 *)&sk);
}

SEC("tracepoint/syscalls/sys_exit_sendmsg")
int socket_sendmsg(struct sys_exit *ctx)
{
    struct admitted *who;

    if (ctx->ret <= 0 || !(who = admitted()))
        return 0;
    struct pt_regs *regs = call();
    struct sock *sk = fd_sock(PT_REGS_PARM1_SYSCALL(regs));

    return sk ? one_message(who, sk, SENT, PT_REGS_PARM2_SYSCALL(regs), ctx->ret) : 0;
}

SEC("tracepoint/syscalls/sys_exit_recvmmsg")
int socket_recvmmsg(struct sys_exit *ctx)
{
    struct admitted *who;

    if (ctx->ret <= 0 || !(who = admitted()) || PT_REGS_PARM4_SYSCALL(call()) & NOT_DATA)
        return 0;
    return messages(ctx, who, RECEIVED);
}

SEC("tracepoint/syscalls/sys_exit_sendmmsg")
int socket_sendmmsg(struct sys_exit *ctx)
{
    struct admitted *who;

    return ctx->ret > 0 && (who = admitted()) ? messages(ctx, who, SENT) : 0;
}

SEC("tracepoint/syscalls/sys_exit_sendfile64")
int socket_sendfile(struct sys_exit *ctx)
{
    struct admitted *who;

    if (ctx->ret <= 0 || !(who = admitted()))
        return 0;
    return socket_moved(who, fd_sock(PT_REGS_PARM1_SYSCALL(call())), SENT, ctx->ret);
}

SEC("tracepoint/syscalls/sys_exit_splice")
int socket_splice(struct sys_exit *ctx)
{
    struct admitted *who;

    if (ctx->ret <= 0 || !(who = admitted()))
        return 0;
    socket_moved(who, fd_sock(PT_REGS_PARM1_SYSCALL(call())), RECEIVED, ctx->ret);
    return socket_moved(who, fd_sock(PT_REGS_PARM3_SYSCALL(call())), SENT, ctx->ret);
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
    return conn_end((__u64 *)&sk);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
