/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The captured bytes of a connection: put in from the program's memory, looked at.
 *
 * Functions without `static` are verified once, not once for each way that leads to them; therefore they take
 * a kernel address by reference: it is a number to them and may be a typed pointer to their caller.
 */
#pragma once
#include <lib/extent.h>
#include "conn.h"

/* Pieces in which the bytes of one operation are copied: the segments of its memory. */
#define PIECES 8

/* Copies `n` bytes of user memory to `at` of the bytes; returns how many came. */
__noinline int copy_piece(struct socket_conn *c, __u32 at, __u32 n, __u64 from)
{
    if (!c || at >= SOCKET_BYTES)
        return 0;
    if (n > CONN_SLACK)
        n = CONN_SLACK;
    return bpf_probe_read_user(c->bytes + at, n, (void *)from) ? 0 : n;
}

/* Copies the first `want` bytes of an operation to `at` of the bytes; returns how many came. */
__noinline int conn_copy(struct socket_conn *c, __u32 at, __u32 want, const struct extent *whole)
{
    if (!c || !whole || !whole->base)
        return 0;
    struct extent x = *whole;
    __u32 copied = 0;

    for (__u32 i = 0; i < PIECES && copied < want; i++) {
        __u32 ask = want - copied < x.len ? want - copied : x.len;
        __u32 n = ask ? copy_piece(c, at + copied, ask, x.base) : 0;

        copied += n;
        x.base += n;
        x.len -= n;
        if ((ask && !n) || (!x.len && !extent_next(&x)))
            break;
    }
    return copied;
}

/* Adds what fits of an operation to a run that ends at `at` and may go up to `limit`; returns how much. */
static __always_inline __u32 capture(struct socket_conn *c, __u32 at, __u32 limit, const struct extent *x, __u64 done)
{
    if (at >= limit)
        return 0;
    return conn_copy(c, at, limit - at < done ? limit - at : done, x);
}

/* The bytes at `at`, or none when it is out of bounds; CONN_SLACK more can be read after them. */
static __always_inline const __u8 *bytes_at(const struct socket_conn *c, __u64 at)
{
    const __u8 *bytes = c->bytes;

    /* The verifier wants the sum after the check, of the register that was checked; clang would rather not. */
    barrier_var(at);
    if (at >= SOCKET_BYTES)
        return NULL;
    asm volatile("%0 += %1" : "+r"(bytes) : "r"(at));
    return bytes;
}

/* enum http1_start of the `len` bytes at `at`. */
__noinline int starts_with(const struct socket_conn *c, __u32 at, __u32 len)
{
    const __u8 *bytes = c ? bytes_at(c, at) : NULL;

    return bytes ? http1_start(bytes, len) : HTTP1_OTHER;
}

/* Bytes of a head, and what can be read after them. */
struct captured {
    __u8 bytes[CONN_SLACK];
};

/* The head that begins at `at`, or none when that is out of bounds. */
static __always_inline const struct captured *captured_at(const struct socket_conn *c, __u64 at)
{
    return (const struct captured *)bytes_at(c, at);
}

/* One step of the search through the head of a request or an answer; an enum http1_end. By itself, so verified once. */
__noinline int scan_step(struct http1_scan *scan, const struct captured *head, __u32 len, __u32 max, __u64 request)
{
    return scan && head ? http1_step(scan, head->bytes, len, max, request) : HTTP1_UNKNOWN;
}
