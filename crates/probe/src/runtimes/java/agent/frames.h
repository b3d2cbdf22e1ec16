/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of a method's instructions beside them (JVM specification, chapters 4.7.4 and 4.7.12 to 4.7.14): each
 * place in it has moved.
 */
#pragma once
#include "code.h"

/* Frames of the stack: the kind also says the distance in the shortest ones. */
#define FRAME_SHORT 64
#define FRAME_SAME_ONE 64
#define FRAME_SAME_ONE_LONG 247
#define FRAME_SAME_LONG 251
#define FRAME_FULL 255

#define TYPE_OBJECT 7
#define TYPE_UNINITIALIZED 8

/* Reads a place, which may be the end. */
static inline uint32_t read_place(struct sink *to, const struct code *code, struct source *s)
{
    uint32_t pc = read_u2(s);

    if (pc > code->length)
        to->bad = true;
    return pc;
}

static inline void write_type(struct sink *to, const struct code *code, struct source *s)
{
    uint8_t kind = read_u1(s);

    write_u1(to, kind);
    if (kind == TYPE_OBJECT)
        write_u2(to, read_u2(s));
    else if (kind == TYPE_UNINITIALIZED)
        write_u2(to, moved(code, read_place(to, code, s))); /* the instruction `new` itself */
    else if (kind > TYPE_UNINITIALIZED)
        to->bad = true;
}

static inline void write_types(struct sink *to, const struct code *code, struct source *s, uint32_t count)
{
    while (count-- && !s->bad && !to->bad)
        write_type(to, code, s);
}

/* One frame, `*old` and `*now` behind the one before it. */
static inline void write_frame(struct sink *to, const struct code *code, struct source *s, uint32_t *old, uint32_t *now)
{
    uint8_t kind = read_u1(s);
    bool is_one = kind >= FRAME_SAME_ONE && kind < 2 * FRAME_SHORT;
    uint32_t pc, place, delta, count;

    if (kind >= 2 * FRAME_SHORT && kind < FRAME_SAME_ONE_LONG) {
        to->bad = true; /* reserved */
        return;
    }
    pc = *old + (kind < 2 * FRAME_SHORT ? kind % FRAME_SHORT : read_u2(s));
    place = target(code, pc);
    delta = place - *now;
    *old = pc + 1;
    *now = place + 1;
    if (pc >= code->length || delta > 0xffff) {
        to->bad = true;
        return;
    }
    if (kind < 2 * FRAME_SHORT && delta < FRAME_SHORT) {
        write_u1(to, (is_one ? FRAME_SAME_ONE : 0) + delta);
    } else {
        write_u1(to, is_one ? FRAME_SAME_ONE_LONG : kind < FRAME_SHORT ? FRAME_SAME_LONG : kind);
        write_u2(to, delta);
    }
    if (is_one || kind == FRAME_SAME_ONE_LONG) {
        write_type(to, code, s);
    } else if (kind > FRAME_SAME_LONG && kind < FRAME_FULL) {
        write_types(to, code, s, kind - FRAME_SAME_LONG);
    } else if (kind == FRAME_FULL) {
        for (int i = 0; i < 2; i++) {
            count = read_u2(s);
            write_u2(to, count);
            write_types(to, code, s, count);
        }
    }
}

static inline void write_frames(struct sink *to, const struct code *code, struct source *s)
{
    uint32_t count = read_u2(s), old = 0, now = 0;

    write_u2(to, count);
    while (count-- && !s->bad && !to->bad)
        write_frame(to, code, s, &old, &now);
}

static inline void write_lines(struct sink *to, const struct code *code, struct source *s)
{
    uint32_t count = read_u2(s);

    write_u2(to, count);
    while (count-- && !s->bad && !to->bad) {
        write_u2(to, told(code, read_place(to, code, s)));
        write_u2(to, read_u2(s));
    }
}

/* Names or types of local variables. */
static inline void write_locals(struct sink *to, const struct code *code, struct source *s)
{
    uint32_t count = read_u2(s);

    write_u2(to, count);
    while (count-- && !s->bad && !to->bad) {
        uint32_t begin = read_place(to, code, s), end = begin + read_u2(s);

        if (end > code->length)
            to->bad = true;
        write_u2(to, told(code, begin));
        write_u2(to, target(code, end) - told(code, begin));
        for (int i = 0; i < 3; i++)
            write_u2(to, read_u2(s)); /* name, type, local */
    }
}

static inline void write_handlers(struct sink *to, const struct code *code, struct source *s)
{
    uint32_t count = read_u2(s);

    write_u2(to, count);
    while (count-- && !s->bad && !to->bad) {
        for (int i = 0; i < 3; i++)
            write_u2(to, target(code, read_place(to, code, s))); /* from, to, handler */
        write_u2(to, read_u2(s));                                /* type */
    }
}
