/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The value of a traceparent header (W3C Trace Context level 1, section 3.2).
 *
 * Pure: no helper, no map; compiled for the host too. `TraceContext::from_traceparent` of the crate model reads
 * the same, and tests compare the two.
 */
#pragma once
#include <lib/wire.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* Blanks before the value that are passed over, its length, and how far it is read. */
#define TRACEPARENT_BLANKS 4
#define TRACEPARENT_LEN 55
#define TRACEPARENT_READS (TRACEPARENT_BLANKS + TRACEPARENT_LEN + 1)

struct traceparent {
    __u64 trace[2]; /* as bytes */
    __u64 span;
    __u8 flags;
    __u8 _pad[7];
};

/* The byte that two hexadecimal digits stand for. Sets `bad` when they are none; lower case only. */
static __always_inline __u8 traceparent_byte(const __u8 *at, __u32 *bad)
{
    __u8 byte = 0;

    for (__u32 i = 0; i < 2; i++) {
        __u32 c = at[i];

        /* Without branches: a verifier would follow each way through all digits. */
        *bad |= ((9 - ((c - '0') & 0xff)) & (5 - ((c - 'a') & 0xff))) >> 31;
        byte = byte << 4 | ((c & 0xf) + 9 * (c >> 6));
    }
    return byte;
}

static __always_inline __u64 traceparent_word(const __u8 *at, __u32 *bad)
{
    __u64 word = 0;

    for (__u32 i = 0; i < 8; i++)
        word |= (__u64)traceparent_byte(at + 2 * i, bad) << (8 * i);
    return word;
}

/* Reads the value that follows `at`, of which TRACEPARENT_READS bytes can be read. Returns 0 when it is none. */
static __always_inline int traceparent_read(struct traceparent *t, const __u8 *at)
{
    __u32 bad = 0;
    __u8 version, after;

    for (__u32 i = 0; i < TRACEPARENT_BLANKS && (*at == ' ' || *at == '\t'); i++)
        at++;
    version = traceparent_byte(at, &bad);
    t->trace[0] = traceparent_word(at + 3, &bad);
    t->trace[1] = traceparent_word(at + 19, &bad);
    t->span = traceparent_word(at + 36, &bad);
    t->flags = traceparent_byte(at + 53, &bad);
    after = at[TRACEPARENT_LEN];
    if (bad || at[2] != '-' || at[35] != '-' || at[52] != '-' || version == 0xff)
        return 0;
    if (after != '\r' && after != '\n' && after != ' ' && after != '\t' && !(version && after == '-'))
        return 0;
    return (t->trace[0] || t->trace[1]) && t->span;
}

static __always_inline void traceparent_hexadecimal(__u8 *to, __u64 word)
{
    for (__u32 i = 0; i < 16; i++) {
        __u8 digit = (i & 1 ? word : word >> 4) & 0xf;

        to[i] = digit < 10 ? '0' + digit : 'a' - 10 + digit;
        if (i & 1)
            word >>= 8;
    }
}

/* Writes TRACEPARENT_LEN bytes to `to`; of the flags, whether it is sampled. */
static __always_inline void traceparent_write(__u8 *to, const struct traceparent *t)
{
    __builtin_memcpy(to, "00-", 3);
    traceparent_hexadecimal(to + 3, t->trace[0]);
    traceparent_hexadecimal(to + 19, t->trace[1]);
    to[35] = '-';
    traceparent_hexadecimal(to + 36, t->span);
    to[52] = '-';
    to[53] = '0';
    to[54] = '0' + (t->flags & 1);
}
