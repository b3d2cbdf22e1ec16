// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * go_sched: which goroutine works for which request: by creation at any depth, and by values that goroutines hand
 * to each other over channels.
 *
 * In     runtime.newproc1, goexit1, send, recv, chanrecv, chansend, selectgo
 * Out    nothing but what goroutines serve
 * State  vor_tasks         what goroutines serve
 *        vor_items         values that wait in buffers of channels
 *        go_sched_births   private; who creates a goroutine just now, in threads' storage
 *        go_sched_files    private; offsets of fields, by file
 * Needs  uprobes with cookies (5.15), task storage (5.11)
 * Cost   three visits per goroutine; one per receive that may wait, one more per value handed over,
 *        two where it waits in a buffer
 */
#include <maps/items.h>
#include "../go.h"
#include "wire.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * runtime.newproc1 runs on a thread's own stack and cannot be interrupted by another goroutine. A thread may be killed
 * in it, so its row lies in the thread's storage and ends with it.
 */
struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, __u64);
} go_sched_births SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 256); /* ebpf.max_files */
    __type(key, __u32);
    __type(value, struct go_sched_facts);
} go_sched_files SEC(".maps");

static __always_inline struct task goroutine(__u64 g)
{
    return (struct task){ .id = g, .pid = bpf_get_current_pid_tgid() >> 32, .kind = TASK_GOROUTINE };
}

static __always_inline const struct go_sched_facts *facts_of(struct code_regs *ctx)
{
    __u32 file = code_file(ctx);

    return bpf_map_lookup_elem(&go_sched_files, &file);
}

/* newproc1(fn, callergp, callerpc, …) begins. */
SEC("uprobe")
int go_sched_new(struct code_regs *ctx)
{
    __u64 *parent;

    if (!admitted())
        return 0;
    parent = bpf_task_storage_get(&go_sched_births, bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (parent)
        *parent = GO_ARG1(ctx);
    return 0;
}

/* newproc1 returns the new goroutine. */
SEC("uprobe")
int go_sched_born(struct code_regs *ctx)
{
    struct task child = goroutine(GO_ARG0(ctx)), by;
    __u64 *parent;

    if (!admitted())
        return 0;
    parent = bpf_task_storage_get(&go_sched_births, bpf_get_current_task_btf(), NULL, 0);
    if (!parent || !*parent)
        return 0;
    by = goroutine(*parent);
    *parent = 0;
    task_created(&child, &by);
    return 0;
}

/* goexit1() begins, on the goroutine that ends. */
SEC("uprobe")
int go_sched_exit(struct code_regs *ctx)
{
    struct task task = goroutine(GO_GOROUTINE(ctx));

    if (admitted())
        task_ended(&task);
    return 0;
}

/*
 * A goroutine is about to receive: what it was handed before is done. What it inherits from its creator stays,
 * and so does everything when the channel carries no value and is a mere signal.
 */
static __always_inline void let_go(__u64 g)
{
    struct task task = goroutine(g);
    struct task_row *row = bpf_map_lookup_elem(&vor_tasks, &task);

    if (row && row->method == PARENT_ITEM)
        row->given = 0;
}

/* chanrecv(c, ep, block) begins. */
SEC("uprobe")
int go_sched_recv(struct code_regs *ctx)
{
    const struct go_sched_facts *f;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    if ((__u16)go_half(GO_ARG0(ctx), f->elemsize))
        let_go(GO_GOROUTINE(ctx));
    return 0;
}

/* selectgo(cas0, order0, pc0, nsends, nrecvs, block) begins. */
SEC("uprobe")
int go_sched_select(struct code_regs *ctx)
{
    if (admitted() && GO_ARG4(ctx))
        let_go(GO_GOROUTINE(ctx));
    return 0;
}

/* How many values find room in the buffer of channel `c`: runtime.hchan begins with qcount and dataqsiz. */
static __always_inline __u64 slots(__u64 c)
{
    return go_word(c, 8);
}

/* Goroutine `from` hands a value of channel `c` to `to`. */
static __always_inline void hand_over(const struct go_sched_facts *f, __u64 c, __u64 from, __u64 to)
{
    struct task giver = goroutine(from), taker = goroutine(to);
    struct trace_context given, own;

    if (!(__u16)go_half(c, f->elemsize) || !request_of(&giver, &given))
        return;
    /* Who is at work for a request goes on with it: this is its answer, or a thing that it waited for. */
    if (!request_of(&taker, &own))
        task_given(&taker, given.span, PARENT_ITEM);
}

/* send(c, sg, ep, unlockf, skip) begins: the current goroutine has found one that waits for a value. */
SEC("uprobe")
int go_sched_send(struct code_regs *ctx)
{
    const struct go_sched_facts *f;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    hand_over(f, GO_ARG0(ctx), GO_GOROUTINE(ctx), go_word(GO_ARG1(ctx), f->sudog_g));
    return 0;
}

/* recv(c, sg, ep, unlockf, skip) begins: the current goroutine has found one that waits to be rid of a value. */
SEC("uprobe")
int go_sched_take(struct code_regs *ctx)
{
    const struct go_sched_facts *f;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    if (slots(GO_ARG0(ctx)))
        return 0;
    hand_over(f, GO_ARG0(ctx), go_word(GO_ARG1(ctx), f->sudog_g), GO_GOROUTINE(ctx));
    return 0;
}

/* Goroutine `g` takes the value in `slot`. Who is at work for a request goes on with it, as above. */
static __always_inline void take(__u64 g, __u64 slot)
{
    struct task taker = goroutine(g);
    struct trace_context own;

    if (!request_of(&taker, &own))
        item_take(&taker, slot);
}

/*
 * recv(c, sg, ep, unlockf, skip) begins, on a full buffer: the current goroutine takes the oldest value, and that of
 * the one that waits comes into its slot.
 */
SEC("uprobe")
int go_sched_pass(struct code_regs *ctx)
{
    const struct go_sched_facts *f;
    __u64 c = GO_ARG0(ctx), slot;
    struct task giver;
    __u16 size;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    size = go_half(c, f->elemsize);
    if (!size || !slots(c))
        return 0;
    slot = go_word(c, f->buf) + go_word(c, f->recvx) * size;
    take(GO_GOROUTINE(ctx), slot);
    giver = goroutine(go_word(GO_ARG1(ctx), f->sudog_g));
    item_put(&giver, slot);
    return 0;
}

/* Whether values of the type carry anything: runtime._type begins with the size. */
static __always_inline bool carries(__u64 type)
{
    return go_word(type, 0);
}

/* typedmemmove(type, slot, value) is called by the current goroutine, which sends. */
SEC("uprobe")
int go_sched_put(struct code_regs *ctx)
{
    struct task giver = goroutine(GO_GOROUTINE(ctx));

    if (admitted() && carries(GO_ARG0(ctx)))
        item_put(&giver, GO_ARG1(ctx));
    return 0;
}

/* typedmemmove(type, value, slot) is called by the current goroutine, which receives. */
SEC("uprobe")
int go_sched_out(struct code_regs *ctx)
{
    if (admitted() && carries(GO_ARG0(ctx)))
        take(GO_GOROUTINE(ctx), GO_ARG2(ctx));
    return 0;
}
