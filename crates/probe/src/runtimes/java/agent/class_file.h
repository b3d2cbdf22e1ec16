/* SPDX-License-Identifier: Apache-2.0 */
/* A class file and its constants (JVM specification, chapters 4.1 and 4.4). */
#pragma once
#include "bytes.h"
#include "table.h"

/* Constants that are added: the class and the type of what is called, and three for each method. */
#define ADDED_CONSTANTS (3 + HANDOVERS * 3)
/* Constants that a class may have. */
#define MAX_CONSTANTS 0x10000

/* A class file that is read. */
struct class_file {
    struct source source;
    uint32_t *constants; /* where each constant is; of the second half of a long one: 0 */
    uint32_t count;
    uint32_t constants_end;
    const struct row *rows; /* those of the table that are about it */
    uint32_t row_count;
};

/* The bytes of a constant behind its tag; bad if it is not of this kind. */
static inline struct source constant(const struct class_file *file, uint32_t number, uint8_t tag)
{
    struct source s = file->source;

    s.at = number < file->count ? file->constants[number] : 0;
    s.end = file->constants_end;
    s.bad = !s.at || read_u1(&s) != tag;
    return s;
}

/* Whether a constant is this text. */
static inline bool is_text(const struct class_file *file, uint32_t number, const char *wanted)
{
    struct source s = constant(file, number, CONSTANT_UTF8);
    struct source text = part(&s, read_u2(&s));

    for (; *wanted; wanted++)
        if (read_u1(&text) != (uint8_t)*wanted)
            return false;
    return !text.bad && text.at == text.end;
}

static inline bool read_constants(struct class_file *file)
{
    struct source *s = &file->source;

    file->count = read_u2(s);
    for (uint32_t i = 1; i < file->count && !s->bad; i++) {
        file->constants[i] = s->at;
        switch (read_u1(s)) {
        case CONSTANT_UTF8:
            skip(s, read_u2(s));
            break;
        case 5: /* long */
        case 6: /* double */
            skip(s, 8);
            if (++i < file->count)
                file->constants[i] = 0;
            break;
        case 15: /* a method handle */
            skip(s, 3);
            break;
        case CONSTANT_CLASS:
        case 8:  /* a string */
        case 16: /* the type of a method */
        case 19: /* a module */
        case 20: /* a package */
            skip(s, 2);
            break;
        case 3: /* int */
        case 4: /* float */
        case 9: /* a field */
        case CONSTANT_METHOD:
        case CONSTANT_INTERFACE_METHOD:
        case CONSTANT_NAME_AND_TYPE:
        case 17: /* a computed constant */
        case 18: /* a computed call */
            skip(s, 4);
            break;
        default:
            s->bad = true;
        }
    }
    file->constants_end = s->at;
    return !s->bad && file->count && file->count + ADDED_CONSTANTS < MAX_CONSTANTS;
}

static inline void write_constants(struct sink *to, uint32_t first)
{
    uint32_t type = first + 2;

    constant_text(to, HANDOVER_CLASS);
    constant_class(to, first);
    constant_text(to, HANDOVER_CALLED);
    for (uint32_t i = 0; i < HANDOVERS; i++) {
        constant_text(to, handover_called[i]);
        constant_pair(to, CONSTANT_NAME_AND_TYPE, first + 3 + i * 3, type);
        constant_pair(to, CONSTANT_METHOD, first + 1, first + 3 + i * 3 + 1);
    }
}

/* Finds the rows about the class whose name is constant `name`. */
static inline void find_rows(struct class_file *file, uint32_t name)
{
    file->rows = table;
    file->row_count = 0;
    for (uint32_t i = 0; i < TABLE_ROWS; i++) {
        if (is_text(file, name, table[i].class))
            file->row_count++;
        else if (!file->row_count)
            file->rows = &table[i] + 1;
    }
}
