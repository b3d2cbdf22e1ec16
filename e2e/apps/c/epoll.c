// SPDX-License-Identifier: Apache-2.0
/*
 * An event-loop server: `epoll WHERE`. Keep-alive, pipelining, heads of up to 4 MiB.
 * On SIGTERM it prints how many requests it answered.
 */
#include "http.h"
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>

#define ROOM (4 << 20)

struct peer {
    int fd;
    size_t len, room;
    char *buf;
};

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
static const char bare[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
static volatile sig_atomic_t over;
static unsigned long served;

static void stop(int signal)
{
    (void)signal;
    over = 1;
}

static void hang_up(struct peer *peer)
{
    close(peer->fd);
    free(peer->buf);
    free(peer);
}

/* Answers the requests that are complete; false when the peer is gone. */
static int answer_all(struct peer *peer)
{
    size_t used = 0, one;

    while ((one = message_len(peer->buf + used, peer->len - used))) {
        const char *say = strncmp(peer->buf + used, "HEAD ", 5) ? answer : bare;

        served++;
        used += one;
        if (send(peer->fd, say, strlen(say), MSG_NOSIGNAL) < 0)
            return 0;
    }
    peer->len -= used;
    memmove(peer->buf, peer->buf + used, peer->len);
    return 1;
}

static void hear(struct peer *peer)
{
    for (;;) {
        if (peer->len == peer->room) {
            peer->room = peer->room ? peer->room * 2 : 4096;
            peer->buf = peer->room > ROOM ? NULL : realloc(peer->buf, peer->room);
            if (!peer->buf)
                die("too long a request");
        }
        ssize_t got = recv(peer->fd, peer->buf + peer->len, peer->room - peer->len, 0);

        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0)
            return hang_up(peer);
        peer->len += got;
        if (!answer_all(peer))
            return hang_up(peer);
    }
}

static void greet(int loop, int at)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    struct epoll_event news = { .events = EPOLLIN | EPOLLET, .data.ptr = peer };
    int one = 1;

    peer->fd = accept4(at, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (peer->fd < 0) {
        free(peer);
        return;
    }
    setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    epoll_ctl(loop, EPOLL_CTL_ADD, peer->fd, &news);
}

int main(int argc, char **argv)
{
    struct epoll_event news[64], first = { .events = EPOLLIN };
    struct sigaction end = { .sa_handler = stop };

    if (argc != 2)
        return 2;
    sigaction(SIGTERM, &end, NULL);
    int at = listen_on(argv[1]), loop = epoll_create1(EPOLL_CLOEXEC);

    epoll_ctl(loop, EPOLL_CTL_ADD, at, &first);
    while (!over) {
        int count = epoll_wait(loop, news, 64, -1);

        for (int i = 0; i < count; i++)
            if (news[i].data.ptr)
                hear(news[i].data.ptr);
            else
                greet(loop, at);
    }
    printf("served %lu\n", served);
    return 0;
}
