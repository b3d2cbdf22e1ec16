// SPDX-License-Identifier: Apache-2.0
/* What the servers of this folder share: a call for each request, and a thread for each connection. */
#pragma once
#include "../c/http.h"
#include <pthread.h>
#include <stdbool.h>

#define ROOM 4096

static int down;

/* Reads one message; its length, 0 at the end. */
static inline size_t receive(int fd, char *buf)
{
    size_t len = 0, whole = 0;

    while (!(whole = message_len(buf, len))) {
        ssize_t got = read(fd, buf + len, ROOM - len);

        if (got <= 0)
            return 0;
        len += got;
    }
    return whole;
}

static inline void send_all(int fd, const char *text)
{
    size_t len = strlen(text);

    if (write(fd, text, len) != (ssize_t)len)
        die("write");
}

/* The outgoing request, on the connection `fd`. */
static inline void call_on(int fd, const char *n)
{
    char buf[ROOM];

    snprintf(buf, sizeof(buf), "GET /down/%s HTTP/1.1\r\nHost: down\r\n\r\n", n);
    send_all(fd, buf);
    if (!receive(fd, buf))
        die("no answer");
}

/* The same on a connection of its own. */
static inline void call(const char *n)
{
    int fd = connect_to(down);

    call_on(fd, n);
    close(fd);
}

/* The number in "GET /case/N HTTP/1.1". */
static inline void number(const char *request, char *n)
{
    const char *at = strstr(request, "/case/");

    n[0] = 0;
    if (at)
        sscanf(at + 6, "%15[0-9]", n);
}

static inline void answer(int fd)
{
    send_all(fd, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
}

static void (*act)(const char *n) = call;

static inline void serve(int fd)
{
    char buf[ROOM], n[16];

    while (receive(fd, buf)) {
        number(buf, n);
        act(n);
        answer(fd);
    }
    close(fd);
}

static inline void *serve_one(void *fd)
{
    serve((int)(long)fd);
    return NULL;
}

static inline void start(void *(*run)(void *), void *with)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, run, with))
        die("pthread_create");
    pthread_detach(thread);
}

static inline int accept_one(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        die("accept");
    return fd;
}

/* A thread for each connection, for ever. */
static inline void accept_all(int listener)
{
    for (;;)
        start(serve_one, (void *)(long)accept_one(listener));
}
