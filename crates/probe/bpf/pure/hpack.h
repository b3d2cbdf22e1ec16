/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Header blocks of HTTP/2 (RFC 7541), as far as it takes to see whether one brings the name `traceparent`, and to add it.
 * Who refers to a name by its index has brought it in an earlier block of the connection.
 *
 * Pure: no helper, no map; compiled for the host too.
 */
#pragma once
#include <pure/traceparent.h>

/* Bytes of a representation that are read at once, and how much of it can stand in them: a number, and a name. */
#define HPACK_READS 16
/* The name with its length, as it is and in Huffman's code. */
#define HPACK_NAME 11
#define HPACK_NAME_CODED 8
/* A field that is not added to the table of the connection: kind, name and value, each with its length. */
#define HPACK_FIELD_LEN (1 + 1 + HPACK_NAME + 1 + TRACEPARENT_LEN)

/*
 * The number of which the lowest bits of the first byte, those of `mask`, are the beginning (section 5.1). Returns how many
 * bytes it takes; 0: more than anybody needs.
 */
static __always_inline __u32 hpack_number(const __u8 *at, __u8 mask, __u32 *number)
{
    *number = at[0] & mask;
    if (*number < mask)
        return 1;
    for (__u32 i = 1; i < 4; i++) {
        *number += (at[i] & 0x7f) << (7 * (i - 1));
        if (!(at[i] & 0x80))
            return i + 1;
    }
    return 0;
}

/* Whether the string at `at`, with its length, is `traceparent`. */
static __always_inline bool hpack_is_traceparent(const __u8 *at)
{
    static const __u8 coded[] = { 0x4d, 0x83, 0x21, 0x6b, 0x1d, 0x85, 0xa9, 0x3f };
    static const char name[] = "traceparent";
    __u32 differs = 0;

    if (at[0] == (0x80 | HPACK_NAME_CODED)) {
        for (__u32 i = 0; i < HPACK_NAME_CODED; i++)
            differs |= at[1 + i] ^ coded[i];
        return !differs;
    }
    if (at[0] != HPACK_NAME)
        return false;
    for (__u32 i = 0; i < HPACK_NAME; i++)
        differs |= at[1 + i] ^ name[i];
    return !differs;
}

/* What a representation is that begins with this byte. */
enum hpack_kind {
    HPACK_INDEXED, /* a field of a table */
    HPACK_NAMED,   /* a value whose name is in a table */
    HPACK_NEW,     /* name and value */
    HPACK_RESIZED, /* none: the size of the table */
};

/* Its kind, and of its first byte those bits that are a number. */
static __always_inline enum hpack_kind hpack_kind(__u8 first, __u8 *mask)
{
    if (first & 0x80) {
        *mask = 0x7f;
        return HPACK_INDEXED;
    }
    if ((first & 0xe0) == 0x20) {
        *mask = 0x1f;
        return HPACK_RESIZED;
    }
    *mask = first & 0x40 ? 0x3f : 0x0f;
    return first & *mask ? HPACK_NAMED : HPACK_NEW;
}

/* The rest of a header block. */
struct hpack_block {
    __u64 at;
    __u64 end;
    __u8 own; /* it brings the name */
    __u8 _pad[7];
};

/* Reads HPACK_READS bytes at `b->at`, which may lie behind the end of the block; false: they cannot be read. */
typedef bool (*hpack_reader)(const struct hpack_block *b, __u8 *bytes);

/* Passes over the string that `bytes` are the beginning of; false: it does not end in the block. */
static __always_inline bool hpack_passes(struct hpack_block *b, const __u8 *bytes)
{
    __u32 len, size = hpack_number(bytes, 0x7f, &len);

    b->at += size + len;
    return size && b->at <= b->end;
}

/* Passes over the next representation; false: the block is not understood. */
static __always_inline bool hpack_step(struct hpack_block *b, hpack_reader reads)
{
    __u8 bytes[HPACK_READS] = { 0 }, mask;
    __u32 index, size;
    enum hpack_kind kind;

    if (b->at >= b->end || !reads(b, bytes))
        return false;
    kind = hpack_kind(bytes[0], &mask);
    size = hpack_number(bytes, mask, &index);
    b->at += size;
    if (!size || b->at > b->end)
        return false;
    if (kind == HPACK_INDEXED || kind == HPACK_RESIZED)
        return true;
    if (b->at >= b->end || !reads(b, bytes))
        return false;
    if (kind == HPACK_NEW) {
        b->own |= hpack_is_traceparent(bytes);
        if (!hpack_passes(b, bytes) || b->at >= b->end || !reads(b, bytes))
            return false;
    }
    return hpack_passes(b, bytes);
}

/* Writes HPACK_FIELD_LEN bytes to `to`. */
static __always_inline void hpack_field(__u8 *to, const struct traceparent *t)
{
    to[0] = 0;
    to[1] = HPACK_NAME;
    __builtin_memcpy(to + 2, "traceparent", HPACK_NAME);
    to[2 + HPACK_NAME] = TRACEPARENT_LEN;
    traceparent_write(to + 3 + HPACK_NAME, t);
}
