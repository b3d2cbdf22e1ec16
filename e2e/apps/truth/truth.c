// SPDX-License-Identifier: Apache-2.0
/* Answers /case/N after it has asked /down/N elsewhere: `truth PATTERN PORT DOWN`.
 *
 * thread  a thread per connection
 * pool    threads that wait on a condition variable for the next connection to serve
 * hand    threads that wait on a condition variable for the next call to make
 * epoll   one thread, many connections
 */
#include "serve.h"
#include <sys/epoll.h>

#define WORKERS 8

/* A queue between threads. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;

struct job {
    struct job *next;
    int fd;
    char n[16];
    bool done;
    pthread_cond_t finished;
};
static struct job *first, **last = &first;

static void put(struct job *job)
{
    pthread_mutex_lock(&lock);
    job->next = NULL;
    *last = job;
    last = &job->next;
    pthread_cond_signal(&filled);
    pthread_mutex_unlock(&lock);
}

static struct job *take(void)
{
    pthread_mutex_lock(&lock);
    while (!first)
        pthread_cond_wait(&filled, &lock);
    struct job *job = first;

    first = job->next;
    if (!first)
        last = &first;
    pthread_mutex_unlock(&lock);
    return job;
}

static void *call_for_others(void *unused)
{
    for (;;) {
        struct job *job = take();

        call(job->n);
        pthread_mutex_lock(&lock);
        job->done = true;
        pthread_cond_signal(&job->finished);
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

static void hand_over(const char *n)
{
    struct job job = { .finished = PTHREAD_COND_INITIALIZER };

    strcpy(job.n, n);
    put(&job);
    pthread_mutex_lock(&lock);
    while (!job.done)
        pthread_cond_wait(&job.finished, &lock);
    pthread_mutex_unlock(&lock);
}

static void *serve_others(void *unused)
{
    for (;;) {
        struct job *job = take();

        serve(job->fd);
        free(job);
    }
    return unused;
}

/* One thread, many connections: each asker's descriptor stands beside its call's. */
static void loop(int listener)
{
    static int asker[ROOM];
    char buf[ROOM], n[16];
    struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };
    int poll = epoll_create1(EPOLL_CLOEXEC);

    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    while (epoll_wait(poll, &event, 1, -1) == 1) {
        int fd = event.data.fd;

        if (fd == listener) {
            fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (fd < 0 || fd >= ROOM)
                die("accept");
            asker[fd] = -1;
            event.data.fd = fd;
            epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
        } else if (!receive(fd, buf)) {
            close(fd);
        } else if (asker[fd] >= 0) {
            answer(asker[fd]);
            close(fd);
        } else {
            int call = connect_to(down);

            if (call >= ROOM)
                die("connect");
            number(buf, n);
            snprintf(buf, sizeof(buf), "GET /down/%s HTTP/1.1\r\nHost: down\r\n\r\n", n);
            send_all(call, buf);
            asker[call] = fd;
            event.data.fd = call;
            epoll_ctl(poll, EPOLL_CTL_ADD, call, &event);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    bool pool = !strcmp(argv[1], "pool");
    int listener = listen_on(argv[2]);

    down = atoi(argv[3]);
    if (!strcmp(argv[1], "epoll"))
        loop(listener);
    if (!strcmp(argv[1], "hand"))
        act = hand_over;
    for (int i = 0; i < WORKERS && (pool || act == hand_over); i++)
        start(pool ? serve_others : call_for_others, NULL);
    if (!pool)
        accept_all(listener);
    for (;;) {
        struct job *job = calloc(1, sizeof(*job));

        if (!job)
            die("calloc");
        job->fd = accept_one(listener);
        put(job);
    }
}
