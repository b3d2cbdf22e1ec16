/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The head of an HTTP/1 request that is about to be sent (RFC 9112), read in pieces: where it ends, and whether it says
 * its place in a trace.
 *
 * Whoever writes to a stream must not guess, so this is strict: a method in capitals, a first line that ends with
 * HTTP/1 and a digit, CR LF after each line. Anything else is no request.
 *
 * Pure: no helper, no map; compiled for the host too.
 */
#pragma once
#include <lib/wire.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* head_scan.found */
#define HEAD_TRACEPARENT 0x01
#define HEAD_TUNNEL 0x02 /* CONNECT: it is for the proxy, not for the other end */

enum head_end {
    HEAD_MORE = 0, /* it goes on */
    HEAD_OVER,     /* this was its last byte */
    HEAD_OTHER,    /* it is no request, or none that is understood */
};

/* All zero at the beginning of a head. */
struct head_scan {
    __u64 first; /* the first eight bytes */
    __u64 last;  /* the last eight, of the first line or of a name in lower case */
    __u32 line;  /* bytes of the current line */
    __u8 known;  /* the first line is over */
    __u8 named;  /* the line's name is over, or of no interest */
    __u8 found;
    __u8 before; /* the byte before */
    __u8 _pad[8];
};

/* Whether what follows up to the next newline says nothing. */
static __always_inline bool head_skips(const struct head_scan *s)
{
    return s->known && s->named;
}

/* A newline, after `before`. */
static __always_inline enum head_end head_newline(struct head_scan *s, __u8 before)
{
    bool empty = s->line == 1;

    if (before != '\r')
        return HEAD_OTHER;
    if (!s->known) {
        /* "TTP/1.", a digit, CR */
        if (s->line < 14 || (s->last & 0xffffffffffff00ffULL) != 0x5454502f312e000dULL)
            return HEAD_OTHER;
        if (s->first == 0x434f4e4e45435420ULL) /* "CONNECT " */
            s->found |= HEAD_TUNNEL;
        s->known = 1;
        empty = false;
    }
    s->line = 0;
    s->last = 0;
    s->named = 0;
    s->before = '\n';
    return empty ? HEAD_OVER : HEAD_MORE;
}

/* The next byte. */
static __always_inline enum head_end head_byte(struct head_scan *s, __u8 c)
{
    if (c == '\n')
        return head_newline(s, s->before);
    if (!s->known) {
        if (s->line < 2 ? c < 'A' || c > 'Z' : c < ' ' && c != '\r')
            return HEAD_OTHER;
        if (s->line < 8)
            s->first = s->first << 8 | c;
        s->last = s->last << 8 | c;
    } else if (!s->named) {
        __u8 lower = c | 0x20;

        /* tra"ceparent" */
        if (c == ':' && s->line == 11 && s->last == 0x6365706172656e74ULL)
            s->found |= HEAD_TRACEPARENT;
        if (c == ':' || s->line > 11 || (!s->line && c != '\r' && lower != 't'))
            s->named = 1;
        s->last = s->last << 8 | lower;
    }
    s->line++;
    s->before = c;
    return HEAD_MORE;
}
