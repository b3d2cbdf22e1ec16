/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * What programs in Go code share: arguments by Go's register convention (1.17 and later), who calls, and values
 * of the Go program's memory. Every read is bounded and may fail: a wrong offset gives nothing, or a short piece
 * of something.
 */
#pragma once
#include <kernel.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <lib/code.h>
#include <lib/lost.h>
#include <lib/ring.h>
#include <maps/admit.h>
#include <maps/lineage.h>
#include "wire.h"

#if defined(__TARGET_ARCH_x86)
#define GO_ARG0(ctx) ((ctx)->ax)
#define GO_ARG1(ctx) ((ctx)->bx)
#define GO_ARG2(ctx) ((ctx)->cx)
#define GO_ARG3(ctx) ((ctx)->di)
#define GO_ARG4(ctx) ((ctx)->si)
#define GO_ARG5(ctx) ((ctx)->r8)
#define GO_ARG6(ctx) ((ctx)->r9)
#define GO_ARG7(ctx) ((ctx)->r10)
#define GO_ARG8(ctx) ((ctx)->r11)
#define GO_GOROUTINE(ctx) ((ctx)->r14)
#elif defined(__TARGET_ARCH_arm64)
#define GO_ARG0(ctx) ((ctx)->regs[0])
#define GO_ARG1(ctx) ((ctx)->regs[1])
#define GO_ARG2(ctx) ((ctx)->regs[2])
#define GO_ARG3(ctx) ((ctx)->regs[3])
#define GO_ARG4(ctx) ((ctx)->regs[4])
#define GO_ARG5(ctx) ((ctx)->regs[5])
#define GO_ARG6(ctx) ((ctx)->regs[6])
#define GO_ARG7(ctx) ((ctx)->regs[7])
#define GO_ARG8(ctx) ((ctx)->regs[8])
#define GO_GOROUTINE(ctx) ((ctx)->regs[28])
#endif

/* Ring fill at which the reader is woken instead of waiting for its timer. */
#define GO_HIGH_WATER (512 * 1024)

/* A call that is under way: one of each kind per goroutine. */
struct go_key {
    __u64 goroutine; /* address of its runtime.g */
    __u32 pid;
    __u32 kind; /* the unit's own */
};

static __always_inline struct go_key go_key(struct code_regs *ctx, __u32 kind)
{
    return (struct go_key){
        .goroutine = GO_GOROUTINE(ctx),
        .pid = bpf_get_current_pid_tgid() >> 32,
        .kind = kind,
    };
}

/* The word at `at` + `offset`; 0 when it cannot be read or the offset is not known. */
static __always_inline __u64 go_word(__u64 at, __u16 offset)
{
    __u64 word = 0;

    if (at && offset != GO_NOWHERE)
        bpf_probe_read_user(&word, sizeof(word), (void *)(at + offset));
    return word;
}

/* Where the goroutine's stack ends: runtime.g begins with its bounds. */
static __always_inline __u64 go_stack_end(struct code_regs *ctx)
{
    return go_word(GO_GOROUTINE(ctx), 8);
}

/* The half word at `at` + `offset`, or 0. */
static __always_inline __u32 go_half(__u64 at, __u16 offset)
{
    __u32 half = 0;

    if (at && offset != GO_NOWHERE)
        bpf_probe_read_user(&half, sizeof(half), (void *)(at + offset));
    return half;
}

/* The byte at `at` + `offset`, or 0. */
static __always_inline __u8 go_byte(__u64 at, __u16 offset)
{
    __u8 byte = 0;

    if (at && offset != GO_NOWHERE)
        bpf_probe_read_user(&byte, sizeof(byte), (void *)(at + offset));
    return byte;
}

/* The pointer in the interface value at `at` + `offset`. */
static __always_inline __u64 go_interface(__u64 at, __u16 offset)
{
    return offset == GO_NOWHERE ? 0 : go_word(at, offset + 8);
}

/* Copies up to `max` bytes that lie at `from`; returns how many. */
static __always_inline __u32 go_bytes(__u8 *to, __u32 max, __u64 from, __u64 len)
{
    __u32 n = len < max ? len : max;

    /* The compiler must not forget the bound. */
    asm volatile("" : "+r"(n));
    if (n > max || !n || !from || bpf_probe_read_user(to, n, (void *)from))
        return 0;
    return n;
}

/* Copies the string value at `at` + `offset`; returns its length, at most `max`. */
static __always_inline __u32 go_string(__u8 *to, __u32 max, __u64 at, __u16 offset)
{
    if (!at || offset == GO_NOWHERE)
        return 0;
    __u64 text[2] = {};

    bpf_probe_read_user(text, sizeof(text), (void *)(at + offset));
    return go_bytes(to, max, text[0], text[1]);
}

/* How far below the thread pointer the word may lie that points to the running goroutine. */
#define GO_TLS_WORDS 64

/*
 * Makes known that goroutines work in this process. Where the thread keeps its goroutine depends on how the
 * program was linked, so the place is found by its value.
 */
static __always_inline void go_tasks(struct code_regs *ctx, struct admitted *who)
{
    __u64 pointer, goroutine = GO_GOROUTINE(ctx);

    if (who->runs == RUNS_TLS)
        return;
    pointer = task_thread_pointer();
    for (int i = 1; i <= GO_TLS_WORDS; i++) {
        if (go_word(pointer - 8 * i, 0) == goroutine) {
            tasks_in_tls(who, TASK_GOROUTINE, -8 * i);
            return;
        }
    }
}

/* Begins a call in the current process. */
static __always_inline void go_begin(struct code_regs *ctx, struct go_call *call, struct admitted *who, __u8 side,
                                     __u64 now)
{
    __u64 id = bpf_get_current_pid_tgid();

    go_tasks(ctx, who);

    call->started_ns = who->started_ns;
    call->begun_ns = now;
    call->pid = id >> 32;
    call->tid = (__u32)id;
    call->side = side;
    __sync_fetch_and_add(&who->exchanges, 1);
    count(COUNT_EXCHANGES_OPENED);
}

/* Sends a record that begins with its call, `size` bytes in all. */
static __always_inline void go_tell(void *ring, struct go_call *call, __u64 size, __u8 ending)
{
    call->ending = ending;
    if (call->serves)
        request_end(call->place.span);
    call->serves = 0;
    count(COUNT_EXCHANGES_ENDED);
    if (bpf_ringbuf_output(ring, call, size, ring_wake(ring, GO_HIGH_WATER)))
        lost(LOST_RING_FULL);
}

/* Forgets a call whose process is observed no longer. */
static __always_inline void go_forget(struct go_call *call)
{
    if (call->serves)
        request_end(call->place.span);
    count(COUNT_EXCHANGES_DROPPED);
}
