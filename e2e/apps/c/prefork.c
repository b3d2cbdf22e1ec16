// SPDX-License-Identifier: Apache-2.0
/*
 * A server whose parent only forks.
 *
 *   prefork WHERE pool N   N workers accept
 *   prefork WHERE each     a worker per connection, forked when it arrives
 */
#include "http.h"
#include <signal.h>
#include <sys/wait.h>

static void serve(int fd)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
    static char buf[65536];
    size_t len = 0, one;
    ssize_t got;

    while ((got = read(fd, buf + len, sizeof(buf) - len)) > 0) {
        len += got;
        while ((one = message_len(buf, len))) {
            len -= one;
            memmove(buf, buf + one, len);
            if (write(fd, answer, strlen(answer)) < 0)
                break;
        }
    }
    close(fd);
}

static void pool(int at, int workers)
{
    for (int i = 0; i < workers; i++)
        if (!fork())
            for (;;)
                serve(accept4(at, NULL, NULL, SOCK_CLOEXEC));
    while (wait(NULL) > 0)
        ;
}

static void each(int at)
{
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept4(at, NULL, NULL, SOCK_CLOEXEC);

        if (!fork()) {
            serve(fd);
            _exit(0);
        }
        close(fd);
    }
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[2], "pool"))
        pool(listen_on(argv[1]), atoi(argv[3]));
    else if (argc == 3 && !strcmp(argv[2], "each"))
        each(listen_on(argv[1]));
    return 2;
}
