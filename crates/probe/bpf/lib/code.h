/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * What a program in a file's code is given: the registers, and a cookie, which tells in which file it stands and which
 * place that is.
 */
#pragma once
#include <kernel.h>
#include <bpf/bpf_helpers.h>

/* Registers in the order of asm/ptrace.h, which never changes; for code with a calling convention of its own. */
struct code_regs {
#if defined(__TARGET_ARCH_x86)
    __u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
#elif defined(__TARGET_ARCH_arm64)
    __u64 regs[31], sp, pc, pstate;
#endif
};

/* The number of the file, the key into the unit's map of facts. */
static __always_inline __u32 code_file(void *ctx)
{
    return (__u32)bpf_get_attach_cookie(ctx);
}

/* The tag that the plan gave to the place. */
static __always_inline __u32 code_tag(void *ctx)
{
    return bpf_get_attach_cookie(ctx) >> 32;
}
