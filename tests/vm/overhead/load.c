// SPDX-License-Identifier: Apache-2.0
/*
 * One client, one request at a time: `load PORT REQUESTS keep|fresh [PID…]`. `keep` uses one
 * connection, `fresh` a new one for each request. Prints the processor time per request, in
 * nanoseconds, of itself and of each PID; where the clock counts instructions, those are
 * instructions. `load PORT REQUESTS quiet` only asks.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES 8
/* Connection, caches and whoever watches reach their steady state first. */
#define WARM_UP 200
/* Who watches may still be writing what it saw, or be finding who has begun. */
#define DRAIN_NS 500000000

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int dial(int port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

/* 78 bytes, like the requests of the figures we compare with. */
static void ask(int fd, int item)
{
    char request[128], response[4096];
    int size = snprintf(request, sizeof(request),
                        "GET /item/%07d HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n", item);

    if (write(fd, request, size) != size || read(fd, response, sizeof(response)) <= 0)
        die("request");
}

static void requests(int port, int fresh, int count)
{
    int fd = fresh ? -1 : dial(port);

    for (int i = 0; i < count; i++) {
        if (fresh)
            fd = dial(port);
        ask(fd, i);
        if (fresh)
            close(fd);
    }
    if (!fresh)
        close(fd);
}

static long long spent(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t))
        die("clock_gettime");
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
    struct timespec drain = { .tv_nsec = DRAIN_NS };
    long long before[PROCESSES];
    clockid_t clocks[PROCESSES];
    int port, count, fresh, n = 0;

    if (argc < 4)
        return 2;
    port = atoi(argv[1]);
    count = atoi(argv[2]);
    fresh = !strcmp(argv[3], "fresh");
    if (!strcmp(argv[3], "quiet")) {
        requests(port, fresh, count);
        return 0;
    }
    clocks[n++] = CLOCK_PROCESS_CPUTIME_ID;
    for (int i = 4; i < argc && n < PROCESSES; i++) {
        if (clock_getcpuclockid(atoi(argv[i]), &clocks[n++]))
            die(argv[i]);
    }

    nanosleep(&drain, NULL);
    requests(port, fresh, WARM_UP);
    nanosleep(&drain, NULL);
    for (int i = n - 1; i >= 0; i--)
        before[i] = spent(clocks[i]);
    requests(port, fresh, count);
    long long own = spent(clocks[0]) - before[0];
    nanosleep(&drain, NULL);
    printf("%lld", own / count);
    for (int i = 1; i < n; i++)
        printf(" %lld", (spent(clocks[i]) - before[i]) / count);
    printf("\n");
}
