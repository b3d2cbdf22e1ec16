/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patching a class file by the table (JVM specification, chapter 4). What is not understood leaves the class alone.
 *
 * The new class has the constants of the old one under their numbers and more behind them, and the same fields, methods
 * and attributes, but for annotations of types within patched methods, which nobody can ask for.
 */
#pragma once
#include "class_file.h"
#include "frames.h"

/* Whether the instruction that is the next of `s` calls a method of this name. */
static inline bool calls(const struct class_file *file, struct source s, const char *name)
{
    uint8_t opcode = read_u1(&s);
    uint32_t number = read_u2(&s);

    if (opcode < OP_INVOKEVIRTUAL || opcode > OP_INVOKEINTERFACE)
        return false;
    struct source method = constant(file, number, CONSTANT_METHOD);

    if (method.bad)
        method = constant(file, number, CONSTANT_INTERFACE_METHOD);
    skip(&method, 2);
    struct source pair = constant(file, read_u2(&method), CONSTANT_NAME_AND_TYPE);

    return !method.bad && is_text(file, read_u2(&pair), name) && !pair.bad;
}

/* Whether a row wants a call before the instruction at `pc`, the next of `s`. */
static inline bool wants(const struct class_file *file, const struct row *row, struct source s, uint32_t pc)
{
    uint8_t opcode = s.bytes[s.at];

    switch (row->where) {
    case ENTRY:
        return !pc;
    case RETURNS:
        return row->item == TOP ? opcode == OP_ARETURN : is_return(opcode);
    case CALLS:
        return calls(file, s, row->callee);
    }
    return false;
}

/* Whether a row about the class is about the method of this name and type. */
static inline bool concerns(const struct class_file *file, const struct row *row, uint32_t name, uint32_t type)
{
    return is_text(file, name, row->method) && (!row->type || is_text(file, type, row->type));
}

static inline bool insert(struct code *code, const struct row *row, uint32_t pc, uint32_t added)
{
    if (code->count == MAX_INSERTIONS)
        return false;
    code->insertions[code->count++] = (struct insertion){
        .pc = pc,
        .item = row->item,
        .collection = row->collection,
        .method = (uint16_t)(added + 3 + row->call * 3 + 2),
    };
    code->at_entry += row->where == ENTRY;
    code->calls |= 1u << row->call;
    return true;
}

/* Finds the places for all calls in a method. */
static inline bool find_places(struct code *code, const struct class_file *file, uint32_t name, uint32_t type)
{
    struct source s = code->source;

    code->count = code->at_entry = code->calls = 0;
    for (uint32_t pc = 0; pc < code->length;) {
        uint32_t length = instruction_length(s, pc);

        if (!length || length > left_in(&s) || forgets_this(s))
            return false;
        for (uint32_t i = 0; i < file->row_count; i++)
            if (concerns(file, &file->rows[i], name, type) && wants(file, &file->rows[i], s, pc) &&
                !insert(code, &file->rows[i], pc, file->count))
                return false;
        skip(&s, length);
        pc += length;
    }
    return true;
}

/* Writes an attribute of the instructions, the next of `s`. Returns how many that makes. */
static inline uint32_t write_code_attribute(struct sink *to, const struct code *code, const struct class_file *file,
                                            struct source *s)
{
    uint32_t name = read_u2(s), place;
    struct source body = part(s, read_u4(s));
    void (*write)(struct sink *, const struct code *, struct source *);

    if (is_text(file, name, "StackMapTable"))
        write = write_frames;
    else if (is_text(file, name, "LineNumberTable"))
        write = write_lines;
    else if (is_text(file, name, "LocalVariableTable") || is_text(file, name, "LocalVariableTypeTable"))
        write = write_locals;
    else if (is_text(file, name, "RuntimeVisibleTypeAnnotations") ||
             is_text(file, name, "RuntimeInvisibleTypeAnnotations"))
        return 0;
    else
        write = NULL;
    if (!write || body.bad) {
        to->bad = true;
        return 0;
    }
    write_u2(to, name);
    place = to->at;
    write_u4(to, 0);
    write(to, code, &body);
    if (body.bad || body.at != body.end)
        to->bad = true;
    fill_length(to, place);
    return 1;
}

/*
 * Writes the attribute with a method's instructions; `s` is what is in it. Nothing to be called: as it is. Returns a bit
 * for each hand-over that is told of; so do the next two.
 */
static inline uint32_t write_method_code(struct sink *to, const struct class_file *file, struct source s, uint32_t name,
                                         uint32_t type)
{
    struct code code;
    uint32_t begin = s.at, place = to->at, stack, count, attributes, written = 0;

    stack = read_u2(&s);
    write_u4(to, 0);
    write_u2(to, stack + 2);
    write_u2(to, read_u2(&s));
    code.length = read_u4(&s);
    code.source = part(&s, code.length);
    if (s.bad || !code.length || code.length > 0xffff || !find_places(&code, file, name, type)) {
        to->bad = true;
        return 0;
    }
    if (!code.count) {
        to->at = place;
        write_u4(to, s.end - begin);
        copy(to, &s, begin, s.end);
        return 0;
    }
    if (stack + 2 > 0xffff || code.length + code.count * INSERTED > 0xffff)
        to->bad = true;
    write_u4(to, code.length + code.count * INSERTED);
    write_code(to, &code);
    write_handlers(to, &code, &s);
    count = read_u2(&s);
    attributes = to->at;
    write_u2(to, 0);
    while (count-- && !s.bad && !to->bad)
        written += write_code_attribute(to, &code, file, &s);
    struct sink number = { to->bytes, attributes, to->room, to->bad };

    write_u2(&number, written);
    fill_length(to, place);
    if (s.bad || s.at != s.end)
        to->bad = true;
    return code.calls;
}

/* Copies `count` attributes of a class, field or method; of a method that the table has, its code with calls. */
static inline uint32_t write_attributes(struct sink *to, struct class_file *file, bool patched, uint32_t name,
                                        uint32_t type)
{
    struct source *s = &file->source;
    uint32_t count = read_u2(s), all = 0;

    write_u2(to, count);
    while (count-- && !s->bad && !to->bad) {
        uint32_t begin = s->at, attribute = read_u2(s);
        struct source body = part(s, read_u4(s));

        if (patched && !s->bad && is_text(file, attribute, "Code")) {
            write_u2(to, attribute);
            all |= write_method_code(to, file, body, name, type);
        } else {
            copy(to, s, begin, s->at);
        }
    }
    return all;
}

/* Copies the fields or the methods. */
static inline uint32_t write_members(struct sink *to, struct class_file *file, bool methods)
{
    struct source *s = &file->source;
    uint32_t count = read_u2(s), all = 0;

    write_u2(to, count);
    while (count-- && !s->bad && !to->bad) {
        uint32_t access = read_u2(s), name = read_u2(s), type = read_u2(s);
        bool patched = false;

        for (uint32_t i = 0; methods && i < file->row_count; i++)
            patched = patched || concerns(file, &file->rows[i], name, type);
        write_u2(to, access);
        write_u2(to, name);
        write_u2(to, type);
        all |= write_attributes(to, file, patched, name, type);
    }
    return all;
}

/* Room for the patched class of one that has `length` bytes; 0: it is too long for any. */
static inline uint32_t patch_room(uint32_t length)
{
    return length < 0x1000000 ? length * 2 + 0x1000 : 0;
}

/*
 * Writes the class `bytes` with its calls to `out`. `constants` has room for MAX_CONSTANTS. Returns its length; 0: there
 * is nothing to be called in it, or something is not understood.
 */
static inline uint32_t patch(const uint8_t *bytes, uint32_t length, uint8_t *out, uint32_t room,
                             struct class_file *file)
{
    struct sink to = { out, 0, room, false };
    struct source *s = &file->source;
    uint32_t all, begin;

    *s = (struct source){ bytes, 0, length, false };
    if (read_u4(s) != 0xcafebabe)
        return 0;
    skip(s, 4); /* its version */
    if (!read_constants(file))
        return 0;
    copy(&to, s, 0, 8);
    write_u2(&to, file->count + ADDED_CONSTANTS);
    copy(&to, s, 10, file->constants_end);
    write_constants(&to, file->count);
    begin = s->at;
    skip(s, 2); /* access */
    struct source self = constant(file, read_u2(s), CONSTANT_CLASS);

    find_rows(file, read_u2(&self));
    skip(s, 2); /* super class */
    skip(s, 2u * read_u2(s));
    if (s->bad || self.bad || !file->row_count)
        return 0;
    copy(&to, s, begin, s->at);
    write_members(&to, file, false);
    all = write_members(&to, file, true);
    write_attributes(&to, file, false, 0, 0);
    return s->bad || s->at != s->end || to.bad || !is_whole(all) ? 0 : to.at;
}
