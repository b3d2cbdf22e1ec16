/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing bytes in the order of class files, which is big-endian. Neither ever leaves its bounds: who
 * reads beyond the end, or writes more than there is room for, is told so at the end, once.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source {
    const uint8_t *bytes;
    uint32_t at, end;
    bool bad; /* something was read that is not there */
};

struct sink {
    uint8_t *bytes;
    uint32_t at, room;
    bool bad; /* something was written that there was no room for */
};

static inline uint32_t left_in(const struct source *s)
{
    return s->bad ? 0 : s->end - s->at;
}

static inline bool has(struct source *s, uint32_t count)
{
    if (left_in(s) < count)
        s->bad = true;
    return !s->bad;
}

static inline uint32_t read_number(struct source *s, uint32_t width)
{
    uint32_t value = 0;

    if (!has(s, width))
        return 0;
    for (uint32_t i = 0; i < width; i++)
        value = value << 8 | s->bytes[s->at++];
    return value;
}

static inline uint8_t read_u1(struct source *s)
{
    return (uint8_t)read_number(s, 1);
}

static inline uint16_t read_u2(struct source *s)
{
    return (uint16_t)read_number(s, 2);
}

static inline uint32_t read_u4(struct source *s)
{
    return read_number(s, 4);
}

static inline void skip(struct source *s, uint32_t count)
{
    if (has(s, count))
        s->at += count;
}

/* The next `count` bytes as a source of their own. */
static inline struct source part(struct source *s, uint32_t count)
{
    struct source of = { s->bytes, s->at, s->at, s->bad };

    skip(s, count);
    of.end = s->at;
    of.bad = s->bad;
    return of;
}

static inline void write_number(struct sink *to, uint32_t width, uint32_t value)
{
    if (to->bad || to->room - to->at < width) {
        to->bad = true;
        return;
    }
    while (width--)
        to->bytes[to->at++] = (uint8_t)(value >> width * 8);
}

static inline void write_u1(struct sink *to, uint32_t value)
{
    write_number(to, 1, value);
}

static inline void write_u2(struct sink *to, uint32_t value)
{
    write_number(to, 2, value);
}

static inline void write_u4(struct sink *to, uint32_t value)
{
    write_number(to, 4, value);
}

/* Copies what lies in `s` from `from` to `end`, both of which must lie in it. */
static inline void copy(struct sink *to, const struct source *s, uint32_t from, uint32_t end)
{
    if (to->bad || to->room - to->at < end - from) {
        to->bad = true;
        return;
    }
    while (from < end)
        to->bytes[to->at++] = s->bytes[from++];
}

/* A text as constant pools have it: length, then bytes. */
static inline void write_text(struct sink *to, const char *text)
{
    uint32_t len = 0;

    while (text[len])
        len++;
    write_u2(to, len);
    for (uint32_t i = 0; i < len; i++)
        write_u1(to, (uint8_t)text[i]);
}

/* Puts the number of bytes written behind it into the four bytes at `place`. */
static inline void fill_length(struct sink *to, uint32_t place)
{
    struct sink at = { to->bytes, place, to->room, to->bad };

    write_u4(&at, to->at - place - 4);
}
