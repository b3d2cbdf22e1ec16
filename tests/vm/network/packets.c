// SPDX-License-Identifier: Apache-2.0
/*
 * `packets HOST COUNT FLOWS`: sends COUNT datagrams, by turns of FLOWS flows, and prints the time of one in
 * nanoseconds: instructions, where the clock counts them. A raw socket, so that no port is ever bound.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define PAYLOAD 100

static long long now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int blast(int fd, long count, long flows)
{
    unsigned short datagram[4 + PAYLOAD / 2] = { 0 };

    for (long n = 0; n < count; n++) {
        long flow = n % flows;

        datagram[0] = htons(flow % 50000 + 1);
        datagram[1] = htons(flow / 50000 + 9);
        datagram[2] = htons(sizeof(datagram));
        if (send(fd, datagram, sizeof(datagram), 0) != sizeof(datagram))
            return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
    long count, flows;
    long long start;

    if (argc != 4 || fd < 0 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
        return 1;
    count = atol(argv[2]);
    flows = atol(argv[3]);
    if (connect(fd, (void *)&to, sizeof(to)))
        return 1;
    if (blast(fd, 200, 1)) /* warm */
        return 1;
    start = now();
    if (blast(fd, count, flows))
        return 1;
    printf("%lld\n", (now() - start) / count);
    return 0;
}
