/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions of a method, and what becomes of places in it when calls are inserted (JVM specification, chapters 4.7.3
 * and 6.5).
 *
 * Each call takes 8 bytes, a multiple of 4, so the padding within a switch stays as long as it is.
 */
#pragma once
#include "bytes.h"
#include "opcodes.h"

#define INSERTED 8
/* Calls in one method; one that wants more is left alone. */
#define MAX_INSERTIONS 64

/* A call: an item, a collection, and what is told of them. */
struct insertion {
    uint32_t pc; /* of the instruction that it stands before */
    uint8_t item;
    uint8_t collection;
    uint16_t method;
};

/* A method's instructions. */
struct code {
    struct source source;
    uint32_t length;
    struct insertion insertions[MAX_INSERTIONS]; /* by place */
    uint32_t count;
    uint32_t at_entry; /* of them at the very beginning, which no branch leads to */
    uint32_t calls;    /* a bit for each hand-over that is told of */
};

/* How long an instruction is; 0: it is a switch, `wide`, or not understood. */
static inline uint32_t fixed_length(uint8_t opcode)
{
    switch (opcode) {
    case 0x00 ... 0x0f: /* constants */
    case 0x1a ... 0x35: /* loads of numbered locals and from arrays */
    case 0x3b ... 0x83: /* stores, the stack, arithmetic */
    case 0x85 ... 0x98: /* conversions, comparisons */
    case 0xac ... 0xb1: /* returns */
    case 0xbe ... 0xbf: /* arraylength, athrow */
    case 0xc2 ... 0xc3: /* monitors */
        return 1;
    case 0x10:          /* bipush */
    case 0x12:          /* ldc */
    case 0x15 ... 0x19: /* loads */
    case 0x36 ... 0x3a: /* stores */
    case 0xbc:          /* newarray */
        return 2;
    case 0x11:          /* sipush */
    case 0x13 ... 0x14: /* ldc_w, ldc2_w */
    case 0x84:          /* iinc */
    case 0x99 ... 0xa7: /* if, goto */
    case 0xb2 ... 0xb8: /* fields, invocations */
    case 0xbb:          /* new */
    case 0xbd:          /* anewarray */
    case 0xc0 ... 0xc1: /* checkcast, instanceof */
    case 0xc6 ... 0xc7: /* ifnull, ifnonnull */
        return 3;
    case 0xc5: /* multianewarray */
        return 4;
    case 0xb9 ... 0xba: /* invokeinterface, invokedynamic */
    case 0xc8:          /* goto_w */
        return 5;
    default:
        return 0; /* subroutines are not understood: no compiler makes them any more */
    }
}

static inline bool is_branch(uint8_t opcode)
{
    return (opcode >= 0x99 && opcode <= 0xa7) || opcode == 0xc6 || opcode == 0xc7;
}

static inline bool is_return(uint8_t opcode)
{
    return opcode >= OP_IRETURN && opcode <= OP_RETURN;
}

/* Bytes between the opcode of a switch at `pc` and its first word, which is aligned. */
static inline uint32_t padding(uint32_t pc)
{
    return 3 - pc % 4;
}

/* How long the instruction at `pc` is, which is the next of `s`; 0 when it is not understood. */
static inline uint32_t instruction_length(struct source s, uint32_t pc)
{
    uint8_t opcode = read_u1(&s);
    uint32_t low, high, count;

    switch (opcode) {
    case OP_TABLESWITCH:
        skip(&s, padding(pc) + 4);
        low = read_u4(&s);
        high = read_u4(&s);
        count = high - low + 1;
        return s.bad || (int32_t)high < (int32_t)low || count > 0xffff ? 0 : 1 + padding(pc) + 12 + count * 4;
    case OP_LOOKUPSWITCH:
        skip(&s, padding(pc) + 4);
        count = read_u4(&s);
        return s.bad || count > 0xffff ? 0 : 1 + padding(pc) + 8 + count * 8;
    case OP_WIDE:
        opcode = read_u1(&s);
        if (opcode == 0x84)
            return 6;
        return (opcode >= 0x15 && opcode <= 0x19) || (opcode >= 0x36 && opcode <= 0x3a) ? 4 : 0;
    default:
        return fixed_length(opcode);
    }
}

/* Whether the instruction that is the next of `s` writes into the local that has `this`. */
static inline bool forgets_this(struct source s)
{
    uint8_t opcode = read_u1(&s);

    if (opcode == OP_ASTORE_0)
        return true;
    if (opcode == OP_ASTORE)
        return read_u1(&s) == 0;
    return opcode == OP_WIDE && read_u1(&s) == OP_ASTORE && read_u2(&s) == 0;
}

/* Where the instruction that was at `pc` is. */
static inline uint32_t moved(const struct code *code, uint32_t pc)
{
    uint32_t before = 0;

    for (uint32_t i = 0; i < code->count; i++)
        before += code->insertions[i].pc <= pc;
    return pc + before * INSERTED;
}

/* Where one goes that went to `pc`: to what is inserted before it, except at the beginning of the method. */
static inline uint32_t target(const struct code *code, uint32_t pc)
{
    uint32_t before = code->at_entry;

    for (uint32_t i = code->at_entry; i < code->count; i++)
        before += code->insertions[i].pc < pc;
    return pc + before * INSERTED;
}

/* The same for what is told to people: the beginning is the beginning. */
static inline uint32_t told(const struct code *code, uint32_t pc)
{
    return pc ? target(code, pc) : 0;
}

static inline void write_insertion(struct sink *to, const struct insertion *call)
{
    write_u1(to, call->item);
    write_u1(to, call->collection);
    write_u1(to, OP_INVOKESTATIC);
    write_u2(to, call->method);
    for (int i = 0; i < 3; i++)
        write_u1(to, OP_NOP);
}

/* Reads an offset of `width` bytes that is counted from `pc`, and writes what it has become. */
static inline void write_offset(struct sink *to, const struct code *code, struct source *s, uint32_t pc, uint32_t width)
{
    uint32_t offset = width == 2 ? (uint32_t)(int16_t)read_u2(s) : read_u4(s);
    uint32_t goal = pc + offset;

    if (goal >= code->length) {
        to->bad = true;
        return;
    }
    int32_t now = (int32_t)(target(code, goal) - moved(code, pc));

    if (width == 2 && (now < INT16_MIN || now > INT16_MAX))
        to->bad = true;
    write_number(to, width, (uint32_t)now);
}

/* Writes the instruction at `pc`, the next `length` bytes of `s`. */
static inline void write_instruction(struct sink *to, const struct code *code, struct source s, uint32_t pc,
                                     uint32_t length)
{
    uint32_t begin = s.at;
    uint8_t opcode = read_u1(&s);

    if (is_branch(opcode) || opcode == OP_GOTO_W) {
        write_u1(to, opcode);
        write_offset(to, code, &s, pc, opcode == OP_GOTO_W ? 4 : 2);
    } else if (opcode == OP_TABLESWITCH || opcode == OP_LOOKUPSWITCH) {
        uint32_t fixed = opcode == OP_TABLESWITCH ? 2 : 1; /* words between the first offset and the others */

        skip(&s, padding(pc));
        copy(to, &s, begin, s.at);
        write_offset(to, code, &s, pc, 4);
        copy(to, &s, s.at, s.at + fixed * 4);
        skip(&s, fixed * 4);
        while (s.at < begin + length && !to->bad) {
            if (opcode == OP_LOOKUPSWITCH)
                write_u4(to, read_u4(&s));
            write_offset(to, code, &s, pc, 4);
        }
    } else {
        copy(to, &s, begin, begin + length);
    }
}

/* Writes all instructions with what is inserted. */
static inline void write_code(struct sink *to, const struct code *code)
{
    struct source s = code->source;
    uint32_t next = 0;

    for (uint32_t pc = 0; pc < code->length && !to->bad;) {
        uint32_t length = instruction_length(s, pc);

        for (; next < code->count && code->insertions[next].pc == pc; next++)
            write_insertion(to, &code->insertions[next]);
        write_instruction(to, code, s, pc, length);
        skip(&s, length);
        pc += length;
    }
}
