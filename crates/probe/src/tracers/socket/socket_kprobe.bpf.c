// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * socket, door `kprobe`: as `fentry`, for kernels without BPF trampolines.
 *
 * In     kprobe and kretprobe of the stream functions of inet, inet6 and unix; kprobe of unix_release;
 *        tp_btf/inet_sock_set_state
 * Out    socket_events   one socket_record per exchange
 * State  socket_conns    private; keyed by socket, deleted when it closes
 *        socket_calls    private; the call that a thread of an observed process is in
 * Needs  kernel BTF, ring buffer (5.8), task storage (5.11), bpf_for_each_map_elem (5.13)
 * Cost   a process that is not observed: two looks into task storage per call
 */
#include "calls.h"

struct call {
    struct sock *sk; /* NULL: the thread is in no call */
    struct msghdr *msg;
    __u64 size;
    __u64 flags;
};

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct call);
} socket_calls SEC(".maps");

/* A return probe no longer has the arguments: they are kept from the call. */
static __always_inline struct call *enter(struct pt_regs *ctx, __u64 flags)
{
    struct call *call =
        bpf_task_storage_get(&socket_calls, bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

    if (!call) {
        lost(LOST_CALL);
        return NULL;
    }
    call->sk = BPF_CORE_READ((struct socket *)PT_REGS_PARM1(ctx), sk);
    call->msg = (struct msghdr *)PT_REGS_PARM2(ctx);
    call->size = PT_REGS_PARM3(ctx);
    call->flags = flags;
    return call;
}

/* Takes the call that the current thread returns from, if its process is observed. */
static __always_inline bool leave(struct call *taken)
{
    struct call *call = bpf_task_storage_get(&socket_calls, bpf_get_current_task_btf(), NULL, 0);

    if (!call || !call->sk)
        return false;
    *taken = *call;
    call->sk = NULL;
    return true;
}

static __always_inline int leave_sent(struct pt_regs *ctx)
{
    struct call call;
    struct admitted *who;

    if (!leave(&call) || !(who = admitted()))
        return 0;
    return sent(who, call.sk, call.msg, PT_REGS_RC(ctx));
}

static __always_inline int leave_got(struct pt_regs *ctx)
{
    struct call call;
    struct admitted *who;

    if (!leave(&call) || !(who = admitted()))
        return 0;
    return got(who, call.sk, call.msg, call.size, call.flags, PT_REGS_RC(ctx));
}

static __always_inline int leave_moved(struct pt_regs *ctx, enum direction way)
{
    struct call call;
    struct admitted *who;

    if (!leave(&call) || !(who = admitted()))
        return 0;
    return socket_moved(who, call.sk, way, PT_REGS_RC(ctx));
}

SEC("kprobe")
int socket_call(struct pt_regs *ctx)
{
    if (admitted())
        enter(ctx, 0);
    return 0;
}

SEC("kprobe")
int socket_call_got(struct pt_regs *ctx)
{
    if (admitted())
        enter(ctx, PT_REGS_PARM4(ctx));
    return 0;
}

SEC("kprobe")
int socket_call_out(struct pt_regs *ctx)
{
    struct admitted *who = admitted();
    struct call *call = who ? enter(ctx, 0) : NULL;

    if (!call)
        return 0;
    struct sock *sk = call->sk;

    return socket_sending(who, (__u64 *)&sk);
}

SEC("kretprobe")
int socket_sent(struct pt_regs *ctx)
{
    return leave_sent(ctx);
}

SEC("kretprobe")
int socket_got(struct pt_regs *ctx)
{
    return leave_got(ctx);
}

SEC("kretprobe")
int socket_spliced(struct pt_regs *ctx)
{
    return leave_moved(ctx, RECEIVED);
}

/* sendfile and splice into a socket, until 6.5 made messages of them (dc97391e6610). */
SEC("kretprobe")
int socket_paged(struct pt_regs *ctx)
{
    return leave_moved(ctx, SENT);
}

/* TCP connections tell of their end themselves; unix ones do not. */
SEC("kprobe")
int socket_gone_un(struct pt_regs *ctx)
{
    struct sock *sk = BPF_CORE_READ((struct socket *)PT_REGS_PARM1(ctx), sk);

    return conn_end((__u64 *)&sk);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
