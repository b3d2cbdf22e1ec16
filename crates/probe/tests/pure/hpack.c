/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs bpf/pure on header blocks on the host. Each case on standard input: the block's length (u16) and the block. One
 * line for each on standard output: whether it was understood to its end, and whether it brings the name traceparent;
 * after the last, the field that says an example.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <pure/hpack.h>

static __u8 bytes[4096 + HPACK_READS];

static bool reads(const struct hpack_block *b, __u8 *to)
{
    memcpy(to, bytes + b->at, HPACK_READS);
    return true;
}

static int one_case(void)
{
    struct hpack_block b = { 0 };
    bool good = true;
    __u16 len;

    if (fread(&len, 2, 1, stdin) != 1 || len > 4096 || fread(bytes, 1, len, stdin) != len)
        return 0;
    b.end = len;
    while (good && b.at < b.end)
        good = hpack_step(&b, reads);
    printf("%d %d\n", good, b.own);
    return 1;
}

int main(void)
{
    const struct traceparent t = { .trace = { 0x0102, 0x0304 }, .span = 0x0506, .flags = 1 };
    __u8 field[HPACK_FIELD_LEN];

    while (one_case())
        ;
    hpack_field(field, &t);
    for (unsigned i = 0; i < sizeof(field); i++)
        printf("%02x", field[i]);
    putchar('\n');
    return 0;
}
