/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The user memory that one read or write went through, from its first byte. */
#pragma once
#include <kernel.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <lib/wire.h>

/* Segments that are looked at, backwards, to find the first byte. */
#define EXTENT_BACK 64
/* Room for an iterator of any kernel; it has 40 bytes since 5.10. */
#define EXTENT_ITERATOR 64

struct extent {
    __u64 base; /* first segment; 0 when the bytes are not in user memory */
    __u64 len;
    __u64 rest; /* address of the iovecs after it */
    __u32 rest_count;
    __u32 rest_in_user; /* whether that address is the program's, not the kernel's */
    __u64 tail_end;     /* just past the last byte */
    __u64 tail_len;     /* how many of the bytes before it lie in one piece; 0: not known */
};

/* The extent of `done` bytes in one piece. */
static __always_inline void extent_of_buffer(struct extent *x, __u64 base, __u64 done)
{
    __builtin_memset(x, 0, sizeof(*x));
    x->base = base;
    x->len = done;
    x->tail_end = base + done;
    x->tail_len = done;
}

/* The extent of `done` bytes that begins with a program's own array of iovecs. */
static __always_inline void extent_of_iovecs(struct extent *x, __u64 iovecs, __u64 count, __u64 done)
{
    struct iovec first = {}, last = {};

    bpf_probe_read_user(&first, sizeof(first), (void *)iovecs);
    extent_of_buffer(x, (__u64)first.iov_base, done);
    if (first.iov_len >= done || !count)
        return;
    /* After a short write the last byte lies earlier; then the answer is not over either. */
    bpf_probe_read_user(&last, sizeof(last), (void *)(iovecs + (count - 1) * sizeof(last)));
    x->len = first.iov_len;
    x->rest = iovecs + sizeof(first);
    x->rest_count = count - 1;
    x->rest_in_user = 1;
    x->tail_end = (__u64)last.iov_base + last.iov_len;
    x->tail_len = last.iov_len;
}

/*
 * The extent of the `done` bytes that an iterator has just gone past.
 * iov_iter_advance (lib/iov_iter.c) steps over segments that are used up, so the first byte is found by
 * walking back from where the iterator stands.
 */
static __always_inline void extent_behind(struct extent *x, const struct iov_iter *iter, __u64 done)
{
    /* One read of the whole costs less than one of each field. */
    union {
        struct iov_iter now;
        struct iov_iter___before_6_4 before_6_4;
        __u8 bytes[EXTENT_ITERATOR];
    } is = {};
    struct iovec segment = {};
    const struct iovec *at;

    extent_of_buffer(x, 0, done);
    x->tail_len = 0;
    if (bpf_probe_read_kernel(&is, bpf_core_type_size(struct iov_iter), iter))
        return;
    __u8 type = is.now.iter_type;
    __u64 offset = is.now.iov_offset;

    /* Since 6.0 (fcb14cb1bdac). */
    if (bpf_core_enum_value_exists(enum iter_type, ITER_UBUF) &&
        type == bpf_core_enum_value(enum iter_type, ITER_UBUF)) {
        extent_of_buffer(x, (__u64)is.now.ubuf + offset - done, done);
        return;
    }
    if (type != bpf_core_enum_value(enum iter_type, ITER_IOVEC))
        return;
    /* Renamed in 6.4 (747b1f65d39a). */
    at = bpf_core_field_exists(iter->__iov) ? is.now.__iov : is.before_6_4.iov;
    if (offset) {
        bpf_probe_read_kernel(&segment, sizeof(segment), at);
        if (offset >= done) {
            extent_of_buffer(x, (__u64)segment.iov_base + offset - done, done);
            return;
        }
        x->tail_end = (__u64)segment.iov_base + offset;
        x->tail_len = offset;
    }
    for (__u32 back = 1; back <= EXTENT_BACK; back++) {
        bpf_probe_read_kernel(&segment, sizeof(segment), at - back);
        if (!offset) {
            x->tail_end = (__u64)segment.iov_base + segment.iov_len;
            x->tail_len = segment.iov_len;
        }
        offset += segment.iov_len;
        if (offset < done)
            continue;
        x->base = (__u64)segment.iov_base + (offset - done);
        x->len = segment.iov_len - (offset - done);
        x->rest = (__u64)(at - back + 1);
        x->rest_count = back;
        return;
    }
}

/* Goes on to the next segment; false when there is none. */
static __always_inline bool extent_next(struct extent *x)
{
    struct iovec segment = {};

    if (!x->rest_count)
        return false;
    if (x->rest_in_user)
        bpf_probe_read_user(&segment, sizeof(segment), (void *)x->rest);
    else
        bpf_probe_read_kernel(&segment, sizeof(segment), (void *)x->rest);
    x->base = (__u64)segment.iov_base;
    x->len = segment.iov_len;
    x->rest += sizeof(segment);
    x->rest_count--;
    return true;
}
