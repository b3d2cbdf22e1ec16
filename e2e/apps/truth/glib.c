// SPDX-License-Identifier: Apache-2.0
/* Answers /case/N after it has asked /down/N elsewhere, by way of GLib: `truth-glib PATTERN PORT DOWN`.
 *
 * async-queue  threads of start-up that a GAsyncQueue feeds
 * thread-pool  a GThreadPool
 * leased       the same as the first, but connections are leased from another GAsyncQueue
 */
#include "serve.h"
#include <glib.h>

#define WORKERS 8
#define CONNECTIONS 4

struct job {
    GMutex lock;
    GCond finished;
    gboolean done;
    char n[16];
};

static GAsyncQueue *todo, *connections;
static GThreadPool *pool;

static void finish(struct job *job)
{
    g_mutex_lock(&job->lock);
    job->done = TRUE;
    g_cond_signal(&job->finished);
    g_mutex_unlock(&job->lock);
}

static void work(gpointer data, gpointer unused)
{
    struct job *job = data;

    (void)unused;
    call(job->n);
    finish(job);
}

static gpointer call_for_others(gpointer unused)
{
    for (;;) {
        struct job *job = g_async_queue_pop(todo);

        if (connections) {
            int *fd = g_async_queue_pop(connections);

            call_on(*fd, job->n);
            g_async_queue_push(connections, fd);
        } else {
            call(job->n);
        }
        finish(job);
    }
    return unused;
}

static void hand_over(const char *n)
{
    struct job job = { .done = FALSE };

    g_mutex_init(&job.lock);
    g_cond_init(&job.finished);
    strcpy(job.n, n);
    if (pool)
        g_thread_pool_push(pool, &job, NULL);
    else
        g_async_queue_push(todo, &job);
    g_mutex_lock(&job.lock);
    while (!job.done)
        g_cond_wait(&job.finished, &job.lock);
    g_mutex_unlock(&job.lock);
    g_cond_clear(&job.finished);
    g_mutex_clear(&job.lock);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    int listener = listen_on(argv[2]);

    down = atoi(argv[3]);
    if (!strcmp(argv[1], "leased")) {
        connections = g_async_queue_new();
        for (int i = 0; i < CONNECTIONS; i++) {
            int *fd = g_new(int, 1);

            *fd = connect_to(down);
            g_async_queue_push(connections, fd);
        }
    }
    if (!strcmp(argv[1], "thread-pool")) {
        pool = g_thread_pool_new(work, NULL, WORKERS, FALSE, NULL);
    } else {
        todo = g_async_queue_new();
        for (int i = 0; i < WORKERS; i++)
            g_thread_unref(g_thread_new("worker", call_for_others, NULL));
    }
    act = hand_over;
    accept_all(listener);
}
