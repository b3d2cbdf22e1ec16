/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs bpf/pure on heads of requests on the host. Each case on standard input: how many bytes arrive at once
 * (u8), the request's length (u16) and the request. One line for each on standard output: how it ends, the
 * length of its head and of its body, and the trace, the span and the flags that it names, zeros if none; then the
 * value that says the same.
 */
#include <stdio.h>
#include <string.h>
#include <pure/http1.h>
#include <pure/traceparent.h>

#define CAPTURE 1536

static void hex(const void *bytes, int len)
{
    for (int i = 0; i < len; i++)
        printf("%02x", ((const __u8 *)bytes)[i]);
    putchar(' ');
}

static int one_case(void)
{
    static __u8 bytes[CAPTURE + HTTP1_SLACK + TRACEPARENT_READS];
    struct http1_scan scan = { 0 };
    struct traceparent t = { 0 };
    __u8 value[TRACEPARENT_LEN];
    enum http1_end end = HTTP1_CUT;
    __u8 step;
    __u16 len;

    memset(bytes, '0', sizeof(bytes));
    if (fread(&step, 1, 1, stdin) != 1 || fread(&len, 2, 1, stdin) != 1)
        return 0;
    if (len > CAPTURE || fread(bytes, 1, len, stdin) != len)
        return 0;
    for (__u32 here = step < len ? step : len; end == HTTP1_CUT; here += step) {
        if (here > len)
            here = len;
        do
            end = http1_step(&scan, bytes, here, CAPTURE, HTTP1_ASKS);
        while (end == HTTP1_MORE);
        if (here == len)
            break;
    }
    if (!scan.trace_at || !traceparent_read(&t, bytes + scan.trace_at))
        memset(&t, 0, sizeof(t));
    printf("%d %u %llu ", end, scan.head_len, (unsigned long long)scan.body_len);
    hex(t.trace, 16);
    hex(&t.span, 8);
    traceparent_write(value, &t);
    printf("%u %.*s\n", t.flags, TRACEPARENT_LEN, (const char *)value);
    return 1;
}

int main(void)
{
    while (one_case())
        ;
    return 0;
}
