/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the agent's patcher on class files on the host. Each case on standard input: the class's length (u32) and its
 * bytes. One line for each on standard output: the new length (0: left alone), and how often each hand-over is called.
 * Each class is patched cut off at many places, with bits flipped, and with too little room, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "patch.h"

#define CUTS 64
#define FLIPS 100

static uint32_t constants[MAX_CONSTANTS];

/* Patches `length` bytes into `room`; both no longer than they must be, so that a step beyond is seen. */
static uint8_t *run(const uint8_t *bytes, uint32_t length, uint32_t room, uint32_t *written)
{
    struct class_file file = { .constants = constants };
    uint8_t *in = malloc(length ? length : 1), *out = malloc(room ? room : 1);

    memcpy(in, bytes, length);
    *written = patch(in, length, out, room, &file);
    free(in);
    if (*written > room)
        abort();
    return out;
}

static void spoil(uint8_t *bytes, uint32_t length)
{
    uint32_t seed = length, written;

    for (uint32_t i = 0; i < CUTS; i++)
        free(run(bytes, (uint64_t)length * i / CUTS, patch_room(length), &written));
    for (uint32_t i = 0; i < FLIPS; i++) {
        uint32_t at;

        seed = seed * 1664525 + 1013904223;
        at = (uint64_t)seed * length >> 32;
        bytes[at] ^= 1u << (i % 8);
        free(run(bytes, length, patch_room(length), &written));
        bytes[at] ^= 1u << (i % 8);
    }
}

/* How often method `number` of a class is called as the patcher does. */
static unsigned called(const uint8_t *bytes, uint32_t length, uint32_t number)
{
    const uint8_t call[] = { OP_INVOKESTATIC, number >> 8, number, OP_NOP, OP_NOP, OP_NOP };
    unsigned count = 0;

    for (uint32_t at = 0; at + sizeof(call) <= length; at++)
        count += !memcmp(bytes + at, call, sizeof(call));
    return count;
}

static int one_case(void)
{
    uint32_t length, written, other;
    uint8_t *bytes, *out;

    if (fread(&length, 4, 1, stdin) != 1 || length < 10)
        return 0;
    bytes = malloc(length);
    if (fread(bytes, 1, length, stdin) != length)
        return 0;
    out = run(bytes, length, patch_room(length), &written);
    printf("%u", written);
    for (uint32_t i = 0; i < HANDOVERS; i++)
        printf(" %u", called(out, written, (bytes[8] << 8 | bytes[9]) + 3 + i * 3 + 2));
    putchar('\n');
    free(out);
    if (written) {
        free(run(bytes, length, written, &other));
        if (other != written)
            abort();
        free(run(bytes, length, written - 1, &other));
        if (other)
            abort();
    }
    spoil(bytes, length);
    free(bytes);
    return 1;
}

int main(void)
{
    while (one_case())
        ;
    return 0;
}
