// SPDX-License-Identifier: GPL-2.0
/*
 * floor: what a bystander pays at least. Programs on the hooks of one door that only ask
 * "is this task observed?" and return.
 *
 * In     the hooks of DOOR_FENTRY, DOOR_KPROBE or DOOR_SYSCALL that one request passes
 * Out    nothing
 * State  floor_tasks, task storage that stays empty
 * Needs  kernel BTF, task storage in tracing programs (5.11)
 * Cost   this is the measure
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct task_struct;

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, __u64);
} floor_tasks SEC(".maps");

static __always_inline int visit(void)
{
    struct task_struct *task = (void *)bpf_get_current_task_btf();

    return bpf_task_storage_get(&floor_tasks, task, 0, 0) != 0;
}

#define VISIT(section, name)                                                                                           \
    SEC(section)                                                                                                       \
    int name(void *ctx)                                                                                                \
    {                                                                                                                  \
        visit();                                                                                                       \
        return 0;                                                                                                      \
    }

#if defined(DOOR_FENTRY)
VISIT("fentry/inet_sendmsg", floor_send)
VISIT("fexit/inet_sendmsg", floor_sent)
VISIT("fexit/inet_recvmsg", floor_got)
#elif defined(DOOR_KPROBE)
VISIT("kprobe/inet_sendmsg", floor_send)
VISIT("kretprobe/inet_sendmsg", floor_sent)
VISIT("kprobe/inet_recvmsg", floor_get)
VISIT("kretprobe/inet_recvmsg", floor_got)
#elif defined(DOOR_SYSCALL)
VISIT("tracepoint/syscalls/sys_enter_write", floor_writes)
VISIT("tracepoint/syscalls/sys_exit_write", floor_write)
VISIT("tracepoint/syscalls/sys_exit_read", floor_read)
#else
#error "choose a door"
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";
