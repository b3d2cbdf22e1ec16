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

/* write, writev, sendto, sendmsg, sendmmsg: before the first byte leaves */
SEC("tracepoint/syscalls/sys_enter_write")
int socket_sends(struct sys_enter *ctx)
{
    struct admitted *who = admitted();
    struct sock *sk = who ? fd_sock(ctx->args[0]) : NULL;

    return sk ? socket_sending(who, (__u64 *)&sk) : 0;
}

/* The flags of a call that receives, where it has any. */
static __always_inline __u64 flags_of(struct pt_regs *regs, __u64 how)
{
    if (how & CALL_FLAGS_3RD)
        return PT_REGS_PARM3_SYSCALL(regs);
    return how & CALL_FLAGS_4TH ? PT_REGS_PARM4_SYSCALL(regs) : 0;
}

/* `done` bytes went through what the message header at `at` describes. */
static __always_inline void extent_of_message(struct extent *x, __u64 at, __u64 done)
{
    struct user_msghdr msg = {};

    bpf_probe_read_user(&msg, sizeof(msg), (void *)at);
    extent_of_iovecs(x, (__u64)msg.msg_iov, msg.msg_iovlen, done);
}

/* `count` messages, whose headers begin at `at`. */
static __always_inline int messages(struct admitted *who, struct sock *sk, enum direction way, __u64 at, __s64 count)
{
    struct extent x;

    for (__u32 i = 0; i < MESSAGES && i < count; i++) {
        __u32 done = 0;

        bpf_probe_read_user(&done, sizeof(done), (void *)(at + offsetof(struct mmsghdr, msg_len)));
        if (done) {
            extent_of_message(&x, at, done);
            socket_data(who, (__u64 *)&sk, way, &x, done);
        }
        at += sizeof(struct mmsghdr);
    }
    if (count > MESSAGES)
        lost(LOST_SEGMENTS);
    return 0;
}

/* All calls that move bytes. One program, because the verifier reads what it calls once for each that calls it. */
SEC("tracepoint/syscalls/sys_exit_read")
int socket_returns(struct sys_exit *ctx)
{
    struct admitted *who;

    if (ctx->ret < 0 || !(who = admitted()))
        return 0;
    struct pt_regs *regs = call();
    __u64 how = bpf_get_attach_cookie(ctx), at = PT_REGS_PARM2_SYSCALL(regs);
    enum direction way = how & CALL_SENDS ? SENT : RECEIVED;
    struct sock *sk = flags_of(regs, how) & NOT_DATA ? NULL : fd_sock(PT_REGS_PARM1_SYSCALL(regs));
    struct extent x;

    if (how & CALL_SPLICES)
        socket_moved(who, fd_sock(PT_REGS_PARM3_SYSCALL(regs)), SENT, ctx->ret);
    if (!sk)
        return 0;
    if (how & CALL_UNSEEN)
        return socket_moved(who, sk, way, ctx->ret);
    if (!ctx->ret) {
        bool asked = how & (CALL_VECTOR | CALL_MESSAGE) || PT_REGS_PARM3_SYSCALL(regs);

        return way == RECEIVED && asked && !(how & CALL_MESSAGES) ? socket_eof((__u64 *)&sk) : 0;
    }
    if (how & CALL_MESSAGES)
        return messages(who, sk, way, at, ctx->ret);
    if (how & CALL_MESSAGE)
        extent_of_message(&x, at, ctx->ret);
    else if (how & CALL_VECTOR)
        extent_of_iovecs(&x, at, PT_REGS_PARM3_SYSCALL(regs), ctx->ret);
    else
        extent_of_buffer(&x, at, ctx->ret);
    return socket_data(who, (__u64 *)&sk, way, &x, ctx->ret);
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
