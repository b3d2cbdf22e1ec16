// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP through one chosen pair of system calls.
 *
 *   ways server WAY WHERE          answers every request
 *   ways client WAY PORT COUNT     asks COUNT times on one connection, once a line came on standard input
 */
#include "http.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define ROOM 65536

struct text {
    char *at;
    size_t len;
};

typedef ssize_t receive(int fd, char *buf, size_t room);
typedef void reply(int fd, struct text head, struct text body);

static void all(ssize_t done, size_t wanted, const char *what)
{
    if (done < 0 || (size_t)done != wanted)
        die(what);
}

static ssize_t in_read(int fd, char *buf, size_t room)
{
    return read(fd, buf, room);
}

static void out_write(int fd, struct text head, struct text body)
{
    all(write(fd, head.at, head.len), head.len, "write");
    all(write(fd, body.at, body.len), body.len, "write");
}

/* The first buffer is short, so that a request is spread over both. */
static ssize_t in_readv(int fd, char *buf, size_t room)
{
    struct iovec parts[] = { { buf, 10 }, { buf + 10, room - 10 } };

    return readv(fd, parts, 2);
}

static void out_writev(int fd, struct text head, struct text body)
{
    struct iovec parts[] = { { head.at, head.len }, { body.at, body.len } };

    all(writev(fd, parts, 2), head.len + body.len, "writev");
}

static ssize_t in_preadv2(int fd, char *buf, size_t room)
{
    struct iovec parts[] = { { buf, 10 }, { buf + 10, room - 10 } };

    return preadv2(fd, parts, 2, -1, 0);
}

static void out_pwritev2(int fd, struct text head, struct text body)
{
    struct iovec parts[] = { { head.at, head.len }, { body.at, body.len } };

    all(pwritev2(fd, parts, 2, -1, 0), head.len + body.len, "pwritev2");
}

static ssize_t in_recv(int fd, char *buf, size_t room)
{
    return recv(fd, buf, room, 0);
}

static void out_send(int fd, struct text head, struct text body)
{
    all(send(fd, head.at, head.len, MSG_MORE), head.len, "send");
    all(send(fd, body.at, body.len, MSG_NOSIGNAL), body.len, "send");
}

static ssize_t in_recvfrom(int fd, char *buf, size_t room)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);

    return recvfrom(fd, buf, room, 0, (struct sockaddr *)&from, &len);
}

static void out_sendto(int fd, struct text head, struct text body)
{
    all(sendto(fd, head.at, head.len, 0, NULL, 0), head.len, "sendto");
    all(sendto(fd, body.at, body.len, 0, NULL, 0), body.len, "sendto");
}

/* Bytes that are looked at are not yet taken: they must not count twice. */
static ssize_t in_peek(int fd, char *buf, size_t room)
{
    ssize_t seen = recv(fd, buf, room, MSG_PEEK);

    return seen <= 0 ? seen : recv(fd, buf, seen, 0);
}

static ssize_t in_recvmsg(int fd, char *buf, size_t room)
{
    struct iovec parts[] = { { buf, 10 }, { buf + 10, room - 10 } };
    struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 2 };

    return recvmsg(fd, &msg, 0);
}

static void out_sendmsg(int fd, struct text head, struct text body)
{
    struct iovec parts[] = { { head.at, head.len }, { body.at, body.len } };
    struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 2 };

    all(sendmsg(fd, &msg, 0), head.len + body.len, "sendmsg");
}

static ssize_t in_recvmmsg(int fd, char *buf, size_t room)
{
    struct iovec parts[] = { { buf, 10 }, { buf + 10, room - 10 } };
    struct mmsghdr msgs[] = { { .msg_hdr = { .msg_iov = &parts[0], .msg_iovlen = 1 } },
                              { .msg_hdr = { .msg_iov = &parts[1], .msg_iovlen = 1 } } };
    int got = recvmmsg(fd, msgs, 2, MSG_WAITFORONE, NULL);

    if (got < 0)
        return -1;
    if (got == 1)
        return msgs[0].msg_len;
    memmove(buf + msgs[0].msg_len, buf + 10, msgs[1].msg_len);
    return msgs[0].msg_len + msgs[1].msg_len;
}

static void out_sendmmsg(int fd, struct text head, struct text body)
{
    struct iovec parts[] = { { head.at, head.len }, { body.at, body.len } };
    struct mmsghdr msgs[] = { { .msg_hdr = { .msg_iov = &parts[0], .msg_iovlen = 1 } },
                              { .msg_hdr = { .msg_iov = &parts[1], .msg_iovlen = 1 } } };

    all(sendmmsg(fd, msgs, 2, 0), 2, "sendmmsg");
}

static void out_sendfile(int fd, struct text head, struct text body)
{
    int file = memfd_create("body", MFD_CLOEXEC);
    off_t from = 0;

    all(write(file, body.at, body.len), body.len, "write");
    all(send(fd, head.at, head.len, MSG_MORE), head.len, "send");
    all(sendfile(fd, file, &from, body.len), body.len, "sendfile");
    close(file);
}

static void out_splice(int fd, struct text head, struct text body)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC))
        die("pipe2");
    all(write(ends[1], body.at, body.len), body.len, "write");
    all(send(fd, head.at, head.len, MSG_MORE), head.len, "send");
    all(splice(ends[0], NULL, fd, NULL, body.len, 0), body.len, "splice");
    close(ends[0]);
    close(ends[1]);
}

static const struct way {
    const char *name;
    receive *in;
    reply *out;
} ways[] = {
    { "read", in_read, out_write },         { "readv", in_readv, out_writev },
    { "recv", in_recv, out_send },          { "recvfrom", in_recvfrom, out_sendto },
    { "recvmsg", in_recvmsg, out_sendmsg }, { "recvmmsg", in_recvmmsg, out_sendmmsg },
    { "sendfile", in_read, out_sendfile },  { "splice", in_read, out_splice },
    { "peek", in_peek, out_write },         { "preadv2", in_preadv2, out_pwritev2 },
};

static const struct way *way;

static struct text text(char *at)
{
    return (struct text){ at, strlen(at) };
}

/* Takes one message off the connection; false at its end. */
static bool take(int fd, char *buf, size_t *len)
{
    size_t end;

    while (!(end = message_len(buf, *len))) {
        ssize_t got = way->in(fd, buf + *len, ROOM - *len);

        if (got <= 0)
            return false;
        *len += got;
    }
    *len -= end;
    memmove(buf, buf + end, *len);
    return true;
}

static void *serve(void *arg)
{
    int fd = (long)arg;
    char *buf = malloc(ROOM);
    size_t len = 0;

    while (take(fd, buf, &len))
        way->out(fd, text("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"), text("answer\n"));
    close(fd);
    free(buf);
    return NULL;
}

static void server(const char *where)
{
    int at = listen_on(where);

    for (;;) {
        pthread_t thread;
        long fd = accept4(at, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
            die("accept");
        if (pthread_create(&thread, NULL, serve, (void *)fd))
            die("thread");
        pthread_detach(thread);
    }
}

static void client(int port, int count)
{
    char *buf = malloc(ROOM), head[256], line[8];
    size_t len = 0;

    if (!fgets(line, sizeof(line), stdin))
        return;
    int fd = connect_to(port);

    for (int i = 0; i < count; i++) {
        snprintf(head, sizeof(head), "POST /%s/%d HTTP/1.1\r\nHost: here:%d\r\nContent-Length: 9\r\n\r\n", way->name, i,
                 port);
        way->out(fd, text(head), text("question\n"));
        if (!take(fd, buf, &len))
            die("answer");
    }
    close(fd);
    free(buf);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 3 && i < sizeof(ways) / sizeof(ways[0]); i++)
        if (!strcmp(ways[i].name, argv[2]))
            way = &ways[i];
    if (way && argc == 4 && !strcmp(argv[1], "server"))
        server(argv[3]);
    else if (way && argc == 5 && !strcmp(argv[1], "client"))
        client(atoi(argv[3]), atoi(argv[4]));
    else
        return 2;
    return 0;
}
