// SPDX-License-Identifier: Apache-2.0
/* What the servers here share: where to listen, and where a message ends. */
#pragma once
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static inline void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Listens on a path (begins with '/'), on an IPv6 port ("6:8080") or on an IPv4 port ("8080"). */
static inline int listen_on(const char *where)
{
    union {
        struct sockaddr any;
        struct sockaddr_un path;
        struct sockaddr_in6 v6;
        struct sockaddr_in v4;
    } at = { 0 };
    socklen_t len;
    int one = 1;

    if (where[0] == '/') {
        at.path.sun_family = AF_UNIX;
        strncpy(at.path.sun_path, where, sizeof(at.path.sun_path) - 1);
        len = sizeof(at.path);
    } else if (!strncmp(where, "6:", 2)) {
        at.v6.sin6_family = AF_INET6;
        at.v6.sin6_addr = in6addr_any;
        at.v6.sin6_port = htons(atoi(where + 2));
        len = sizeof(at.v6);
    } else {
        at.v4.sin_family = AF_INET;
        at.v4.sin_port = htons(atoi(where));
        len = sizeof(at.v4);
    }
    int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, &at.any, len))
        die("bind");
    if (listen(fd, 1024))
        die("listen");
    return fd;
}

static inline int connect_to(int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)))
        die("connect");
    return fd;
}

/* Length of the message at the start of `buf`, body included; 0: it has not all arrived. */
static inline size_t message_len(const char *buf, size_t len)
{
    const char *end = memmem(buf, len, "\r\n\r\n", 4);
    size_t body = 0;

    if (!end)
        return 0;
    for (const char *line = buf; line < end;) {
        if (!strncasecmp(line, "content-length:", 15))
            body = strtoul(line + 15, NULL, 10);
        line = memchr(line, '\n', end + 2 - line) + 1;
    }
    size_t all = end + 4 - buf + body;

    return all <= len ? all : 0;
}
