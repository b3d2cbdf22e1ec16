/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What a program in a file's code is told by its cookie: in which file it stands, and which place that is. */
#pragma once
#include <kernel.h>
#include <bpf/bpf_helpers.h>

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
