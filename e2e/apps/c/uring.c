// SPDX-License-Identifier: Apache-2.0
/*
 * A server that makes no system call per read and write: `uring PORT`.
 * One ring, spoken to without a library; the ring's submissions are the only io_uring_enter calls.
 * Exit code 3: this kernel has no io_uring.
 */
#include "http.h"
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define ENTRIES 256

enum act { ACCEPT, RECEIVE, SEND };

struct peer {
    enum act act;
    int fd;
    size_t len;
    char buf[16384];
};

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
static int ring;
static unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;

static void open_ring(void)
{
    struct io_uring_params p = { 0 };

    ring = syscall(SYS_io_uring_setup, ENTRIES, &p);
    if (ring < 0) {
        perror("io_uring_setup");
        exit(3);
    }
    int rw = PROT_READ | PROT_WRITE, how = MAP_SHARED | MAP_POPULATE;
    char *sq = mmap(NULL, p.sq_off.array + p.sq_entries * sizeof(unsigned), rw, how, ring, IORING_OFF_SQ_RING);
    char *cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(*cqes), rw, how, ring, IORING_OFF_CQ_RING);

    sqes = mmap(NULL, p.sq_entries * sizeof(*sqes), rw, how, ring, IORING_OFF_SQES);
    if (sq == MAP_FAILED || cq == MAP_FAILED || sqes == MAP_FAILED)
        die("mmap");
    sq_tail = (unsigned *)(sq + p.sq_off.tail);
    sq_mask = (unsigned *)(sq + p.sq_off.ring_mask);
    sq_array = (unsigned *)(sq + p.sq_off.array);
    cq_head = (unsigned *)(cq + p.cq_off.head);
    cq_tail = (unsigned *)(cq + p.cq_off.tail);
    cq_mask = (unsigned *)(cq + p.cq_off.ring_mask);
    cqes = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
}

static void submit(struct peer *peer, enum act act, const void *at, size_t len)
{
    static const __u8 codes[] = { IORING_OP_ACCEPT, IORING_OP_RECV, IORING_OP_SEND };
    unsigned tail = *sq_tail, slot = tail & *sq_mask;

    peer->act = act;
    sqes[slot] = (struct io_uring_sqe){
        .opcode = codes[act], .fd = peer->fd, .addr = (unsigned long)at, .len = len, .user_data = (unsigned long)peer
    };
    sq_array[slot] = slot;
    __atomic_store_n(sq_tail, tail + 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0) < 0)
        die("io_uring_enter");
}

static void listen_more(struct peer *peer)
{
    submit(peer, RECEIVE, peer->buf + peer->len, sizeof(peer->buf) - peer->len);
}

/* Answers the request that is complete, or waits for more of it. */
static void go_on(struct peer *peer)
{
    size_t one = message_len(peer->buf, peer->len);

    if (!one)
        return listen_more(peer);
    peer->len -= one;
    memmove(peer->buf, peer->buf + one, peer->len);
    submit(peer, SEND, answer, strlen(answer));
}

static void done(struct peer *peer, int result)
{
    if (peer->act == ACCEPT) {
        struct peer *guest = calloc(1, sizeof(*guest));

        guest->fd = result;
        listen_more(guest);
        return submit(peer, ACCEPT, NULL, 0);
    }
    if (result <= 0) {
        close(peer->fd);
        return free(peer);
    }
    if (peer->act == RECEIVE)
        peer->len += result;
    go_on(peer);
}

int main(int argc, char **argv)
{
    struct peer door = { 0 };

    if (argc != 2)
        return 2;
    open_ring();
    door.fd = listen_on(argv[1]);
    submit(&door, ACCEPT, NULL, 0);
    for (;;) {
        unsigned head = *cq_head;

        if (head == __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE)) {
            syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
            continue;
        }
        struct io_uring_cqe event = cqes[head & *cq_mask];

        __atomic_store_n(cq_head, head + 1, __ATOMIC_RELEASE);
        done((struct peer *)(unsigned long)event.user_data, event.res);
    }
}
