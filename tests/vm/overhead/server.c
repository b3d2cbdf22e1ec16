// SPDX-License-Identifier: Apache-2.0
/*
 * The smallest HTTP server that is still one: `server PORT`. One thread, epoll, keep-alive; every
 * read that holds a request is answered with the same 200.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\n"
                             "Content-Type: text/plain\r\n"
                             "Content-Length: 12\r\n"
                             "\r\n"
                             "hello, world";

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_on(int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 512))
        die("listen");
    return fd;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        die("epoll_ctl");
}

static void accept_one(int epoll, int listener)
{
    int fd = accept(listener, NULL, NULL), on = 1;

    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    watch(epoll, fd);
}

static void serve(int fd)
{
    char request[4096];
    ssize_t got = read(fd, request, sizeof(request));

    if (got <= 0 || write(fd, answer, sizeof(answer) - 1) < 0)
        close(fd);
}

int main(int argc, char **argv)
{
    int listener = listen_on(argc > 1 ? atoi(argv[1]) : 8080);
    int epoll = epoll_create1(0);
    struct epoll_event events[64];

    watch(epoll, listener);
    for (;;) {
        int n = epoll_wait(epoll, events, 64, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_one(epoll, listener);
            else
                serve(events[i].data.fd);
        }
    }
}
