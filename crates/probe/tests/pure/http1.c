/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs bpf/pure/http1.h on the host. Each case on standard input: how many bytes arrive at once (u8), the first
 * eight bytes of the request, the answer's length (u16) and the answer. One line for each on standard output:
 * what the answer starts as, how it ends, the length of its head and of its body.
 */
#include <stdio.h>
#include <string.h>
#include <pure/http1.h>

#define CAPTURE 1024

static int one_case(void)
{
    /* As in the kernel, what lies behind the captured bytes is older and means nothing. */
    static __u8 bytes[CAPTURE + HTTP1_SLACK];
    struct http1_scan scan = { 0 };
    __u8 step;
    __u64 request;
    __u16 len;

    memset(bytes, '\n', sizeof(bytes));
    if (fread(&step, 1, 1, stdin) != 1 || fread(&request, 8, 1, stdin) != 1 || fread(&len, 2, 1, stdin) != 1)
        return 0;
    if (len > CAPTURE || fread(bytes, 1, len, stdin) != len)
        return 0;

    enum http1_end end = HTTP1_CUT;
    for (__u32 here = step < len ? step : len; end == HTTP1_CUT; here += step) {
        if (here > len)
            here = len;
        do
            end = http1_step(&scan, bytes, here, CAPTURE, request);
        while (end == HTTP1_MORE);
        if (here == len)
            break;
    }
    printf("%d %d %u %llu\n", http1_start(bytes, len), end, scan.head_len, (unsigned long long)scan.body_len);
    return 1;
}

int main(void)
{
    while (one_case())
        ;
    return 0;
}
