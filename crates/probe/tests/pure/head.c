// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/* Reads heads from standard input: a length of two bytes, then so many bytes. Says how each ends. */
#include <pure/head.h>
#include <stdio.h>

int main(void)
{
    static __u8 bytes[65536];
    __u8 size[2];

    while (fread(size, 1, 2, stdin) == 2) {
        __u32 len = size[0] | size[1] << 8, at = 0;
        struct head_scan scan = { 0 };
        enum head_end end = HEAD_MORE;

        if (fread(bytes, 1, len, stdin) != len)
            return 1;
        while (at < len && end == HEAD_MORE)
            end = head_byte(&scan, bytes[at++]);
        printf("%u %u %u\n", end, at, scan.found);
    }
    return 0;
}
