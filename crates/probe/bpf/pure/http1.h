/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Just enough of HTTP/1 framing (RFC 9112) to see where an answer ends.
 *
 * Pure: no helper, no map; compiled for the host too. Callers guarantee that HTTP1_SLACK bytes past the
 * given length can be read; what lies there never changes a verdict.
 */
#pragma once
#include <lib/wire.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* Furthest read past the end of the captured bytes. */
#define HTTP1_SLACK 64
/* Longest head that is searched. */
#define HTTP1_MAX 1536
/* Words of a line that one step looks at, and steps that a head may take. */
#define HTTP1_WORDS 12
#define HTTP1_STEPS 96

enum http1_start {
    HTTP1_OTHER = 0,
    HTTP1_REQUEST,
    HTTP1_RESPONSE,
};

/* How an answer ends. */
enum http1_end {
    HTTP1_CUT = 0, /* not known yet: its head is not complete */
    HTTP1_UNKNOWN, /* cannot be known: its head is longer than what was captured */
    HTTP1_LENGTH,  /* after head_len + body_len bytes */
    HTTP1_CHUNKED, /* with the last chunk */
    HTTP1_CLOSE,   /* with the connection */
    HTTP1_INTERIM, /* another answer follows this head (1xx) */
    HTTP1_UPGRADE, /* with its head; what follows is another protocol */
    HTTP1_MORE,    /* not known yet: the search goes on */
};

/*
 * The search through one head; all zero at its start. In a kernel program it lies in map memory: the verifier
 * then takes each step for the same, instead of following every way through the head.
 */
struct http1_scan {
    __u64 body_len;
    __u32 at;       /* next byte to look at */
    __u32 line;     /* where the current line began */
    __u32 head_len; /* known at the end */
    __u16 trace_at; /* of a request: where the value of its traceparent begins; 0: it has none yet */
    __u8 has_length;
    __u8 chunked;
};

#ifdef __bpf__
/* One load. Of a copy, clang would make eight: it does not know that these machines read words anywhere. */
typedef __u64 __attribute__((may_alias)) http1_eight;

static __always_inline __u64 http1_word(const __u8 *at)
{
    return *(const http1_eight *)at;
}
#else
static __always_inline __u64 http1_word(const __u8 *at)
{
    __u64 word;

    __builtin_memcpy(&word, at, sizeof(word));
    return word;
}
#endif

/* Eight characters as a word, as http1_word reads them on a little-endian machine. */
#define HTTP1_CHARS(a, b, c, d, e, f, g, h)                                                                            \
    ((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 | (__u64)(f) << 40 |        \
     (__u64)(g) << 48 | (__u64)(h) << 56)
/* Lower case for letters; the few other characters it changes do not occur in the names sought. */
#define HTTP1_LOWER 0x2020202020202020ULL

/* What the first bytes of a message look like. */
static __always_inline enum http1_start http1_start(const __u8 *bytes, __u64 len)
{
    if (len < 12)
        return HTTP1_OTHER;
    if ((http1_word(bytes) & 0x00ffffffffffffffULL) == HTTP1_CHARS('H', 'T', 'T', 'P', '/', '1', '.', 0))
        return HTTP1_RESPONSE;
    for (__u32 i = 0; i < 24; i++) {
        __u8 c = bytes[i];

        if ((c >= 'A' && c <= 'Z') || ((c == '-' || c == '_') && i))
            continue;
        if (c != ' ' || i < 2)
            return HTTP1_OTHER;
        /* The target: origin form, asterisk form, or something that begins with a name or an address. */
        c = bytes[i + 1];
        return c == '/' || c == '*' || c == '[' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
                   ? HTTP1_REQUEST
                   : HTTP1_OTHER;
    }
    return HTTP1_OTHER;
}

/* The decimal number at `at`, after blanks. */
static __always_inline __u64 http1_number(const __u8 *at)
{
    __u64 number = 0;
    __u32 seen = 0;

    for (__u32 i = 0; i < 20; i++) {
        __u8 c = at[i];

        if (c >= '0' && c <= '9') {
            number = number * 10 + (c - '0');
            seen = 1;
        } else if (seen || (c != ' ' && c != '\t')) {
            break;
        }
    }
    return number;
}

/*
 * Where the lowest newline of a word stands, 0 to 7, or 8 when it has none.
 * The classic zero-byte test is exact for the lowest match, which is the one asked for.
 */
static __always_inline __u32 http1_newline(__u64 word)
{
    __u64 x = word ^ 0x0a0a0a0a0a0a0a0aULL;
    __u64 hit = (x - 0x0101010101010101ULL) & ~x & 0x8080808080808080ULL;

    if (!hit)
        return 8;
    /* The lowest set bit is 2^(8n+7). Below 2^8n lie n whole bytes: count their low bits by multiplication. */
    hit = ((hit & -hit) >> 7) - 1;
    return ((hit & 0x0101010101010101ULL) * 0x0101010101010101ULL) >> 56;
}

/* Takes what the header line from `line` to the newline at `end` says about the length, and about the trace. */
static __always_inline void http1_header(struct http1_scan *scan, const __u8 *bytes, __u32 line, __u32 end)
{
    const __u8 *at = bytes + line;
    __u64 name = http1_word(at) | HTTP1_LOWER;

    if (name == (HTTP1_CHARS('t', 'r', 'a', 'c', 'e', 'p', 'a', 'r') | HTTP1_LOWER)) {
        __u64 rest = http1_word(at + 4) | HTTP1_LOWER;

        /* The first one counts, as for user space. */
        if (!scan->trace_at && rest == (HTTP1_CHARS('e', 'p', 'a', 'r', 'e', 'n', 't', ':') | HTTP1_LOWER))
            scan->trace_at = line + 12;
    } else if (name == (HTTP1_CHARS('c', 'o', 'n', 't', 'e', 'n', 't', '-') | HTTP1_LOWER)) {
        __u64 rest = (http1_word(at + 7) | HTTP1_LOWER);

        if (rest == (HTTP1_CHARS('-', 'l', 'e', 'n', 'g', 't', 'h', ':') | HTTP1_LOWER)) {
            scan->body_len = http1_number(at + 15);
            scan->has_length = 1;
        }
    } else if (name == (HTTP1_CHARS('t', 'r', 'a', 'n', 's', 'f', 'e', 'r') | HTTP1_LOWER) &&
               (http1_word(at + 10) | HTTP1_LOWER) ==
                   (HTTP1_CHARS('n', 'c', 'o', 'd', 'i', 'n', 'g', ':') | HTTP1_LOWER) &&
               end >= line + 25) {
        /* Only the last coding counts (RFC 9112, section 6.3). */
        const __u8 *last = bytes + end - 8;
        __u64 word = http1_word(last) | HTTP1_LOWER;

        scan->chunked = word == (HTTP1_CHARS('c', 'h', 'u', 'n', 'k', 'e', 'd', '\r') | HTTP1_LOWER) ||
                        word >> 8 == (HTTP1_CHARS('c', 'h', 'u', 'n', 'k', 'e', 'd', 0) | HTTP1_LOWER) << 8 >> 8;
    }
}

/* Whether an answer has no body whatever its head says (RFC 9112, section 6.3). */
static __always_inline int http1_bodiless(const __u8 *bytes, __u64 request)
{
    __u32 code = (bytes[9] - '0') * 100 + (bytes[10] - '0') * 10 + (bytes[11] - '0');

    return code == 204 || code == 304 || (request & 0xffffffffffULL) == HTTP1_CHARS('H', 'E', 'A', 'D', ' ', 0, 0, 0);
}

/* What a complete head means, given the first eight bytes of its request (0: not known). */
static __always_inline enum http1_end http1_end(struct http1_scan *scan, const __u8 *bytes, __u64 request)
{
    if (bytes[9] == '1')
        return bytes[10] == '0' && bytes[11] == '1' ? HTTP1_UPGRADE : HTTP1_INTERIM;
    if (request == HTTP1_CHARS('C', 'O', 'N', 'N', 'E', 'C', 'T', ' ') && bytes[9] == '2')
        return HTTP1_UPGRADE;
    if (http1_bodiless(bytes, request)) {
        scan->body_len = 0;
        return HTTP1_LENGTH;
    }
    if (scan->chunked)
        return HTTP1_CHUNKED;
    return scan->has_length ? HTTP1_LENGTH : HTTP1_CLOSE;
}

/* Instead of the first bytes of a request: what is searched is one. Its end is HTTP1_CHUNKED or HTTP1_LENGTH. */
#define HTTP1_ASKS 1

/*
 * Goes on with the search through a message of which `len` bytes are there, up to `max` that can ever be: one
 * line or HTTP1_WORDS words further. To be called again while it returns HTTP1_MORE, at most HTTP1_STEPS times.
 * With HTTP1_LENGTH, body_len is what follows the head.
 */
static __always_inline enum http1_end http1_step(struct http1_scan *scan, const __u8 *bytes, __u32 len, __u32 max,
                                                 __u64 request)
{
    __u32 at = scan->at;
    __u32 line = scan->line;
    __u32 skip = 8;

    /* Verifiers before 6.8 learn nothing from a comparison with `len`, hence the ones with HTTP1_MAX. */
    for (__u32 i = 0; i < HTTP1_WORDS; i++) {
        if (at >= len || at >= HTTP1_MAX)
            break;
        skip = http1_newline(http1_word(bytes + at));
        at += skip;
        if (skip < 8)
            break;
    }
    if (at >= HTTP1_MAX || line >= HTTP1_MAX)
        return HTTP1_UNKNOWN;
    if (at >= len) {
        scan->at = len;
        return len >= max ? HTTP1_UNKNOWN : HTTP1_CUT;
    }
    if (skip == 8) {
        scan->at = at;
        return HTTP1_MORE;
    }
    scan->at = at + 1;
    scan->line = at + 1;
    if (at == line || (at == line + 1 && bytes[line] == '\r')) {
        scan->head_len = at + 1;
        if (request == HTTP1_ASKS)
            return scan->chunked ? HTTP1_CHUNKED : HTTP1_LENGTH;
        return http1_end(scan, bytes, request);
    }
    if (at >= 8)
        http1_header(scan, bytes, line, at);
    return HTTP1_MORE;
}
