/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which methods of java.util.concurrent and of virtual threads call what. Names and types are those of JDK 8 to 25; what a JDK does not have is
 * passed over.
 *
 * Not here: how ForkJoinPool runs a Runnable. The scheduler of virtual threads does so, and who wakes a virtual thread is
 * not whom it works for.
 */
#pragma once
#include "handover.h"

/* Letters that a name of a class below may have. */
#define LONGEST_CLASS 96

#define CONCURRENT(class) "java/util/concurrent/" class

/* Where in a method. */
enum where {
    ENTRY,   /* at its beginning */
    RETURNS, /* before each return */
    CALLS,   /* before each call of `callee` */
};

/* What is put on the stack: opcodes. */
enum what {
    NOTHING = OP_ACONST_NULL,
    SELF = OP_ALOAD_0,
    FIRST = OP_ALOAD_1, /* the first argument */
    TOP = OP_DUP,       /* what is returned, or the last argument of what is called */
};

struct row {
    const char *class;
    const char *method;
    const char *type; /* NULL: any */
    enum where where;
    const char *callee;
    enum handover call;
    enum what item;
    enum what collection;
};

#define OBJECT_TO(result) "(Ljava/lang/Object;)" result
#define OBJECT_TIMED "(Ljava/lang/Object;JLjava/util/concurrent/TimeUnit;)Z"
#define TIMED_TO(result) "(JLjava/util/concurrent/TimeUnit;)" result
#define OBJECT "Ljava/lang/Object;"
#define VIRTUAL_THREAD "java/lang/VirtualThread"
#define DELAYED "Ljava/util/concurrent/Delayed;"
#define FORK_JOIN_TASK "Ljava/util/concurrent/ForkJoinTask;"

/* clang-format off */
/* The first argument is put into this collection. */
#define PUTS(class, method, type) { CONCURRENT(class), method, type, ENTRY, NULL, PUT, FIRST, SELF }
/* What is returned was taken from this collection. */
#define TAKES(class, method, type) { CONCURRENT(class), method, type, RETURNS, NULL, TAKE, TOP, SELF }
/*
 * The same, where the collection is about to be changed further: should the stack have no room for the call, it must
 * overflow before anything is changed.
 */
#define TAKES_WITHIN(class, method, type) \
    { CONCURRENT(class), method, type, ENTRY, NULL, ROOM, NOTHING, SELF }, \
    TAKES(class, method, type)
/* Several are taken at once: none in particular. */
#define DRAINS(class) { CONCURRENT(class), "drainTo", "(Ljava/util/Collection;I)I", ENTRY, NULL, TAKE, NOTHING, SELF }
/* This object is work for the one who makes it, or the first argument for the one who calls. */
#define MADE(class) { CONCURRENT(class), "<init>", NULL, RETURNS, NULL, PUT, SELF, NOTHING }
#define GIVES(class, method, type) { CONCURRENT(class), method, type, ENTRY, NULL, PUT, FIRST, NOTHING }
/* The method does this object's work. */
#define RUNS(class, method, type) \
    { CONCURRENT(class), method, type, ENTRY, NULL, ENTER, SELF, NOTHING }, \
    { CONCURRENT(class), method, type, RETURNS, NULL, LEAVE, SELF, NOTHING }
#define FIRES(class) RUNS("CompletableFuture$" class, "tryFire", "(I)Ljava/util/concurrent/CompletableFuture;")
/* clang-format on */

/* Rows of a class follow each other, and those at the beginning of a method come first. */
static const struct row table[] = {
    PUTS("ThreadPoolExecutor", "execute", "(Ljava/lang/Runnable;)V"),
    { CONCURRENT("ThreadPoolExecutor"), "runWorker", NULL, CALLS, "beforeExecute", ENTER, TOP, SELF },
    { CONCURRENT("ThreadPoolExecutor"), "runWorker", NULL, CALLS, "unlock", LEAVE, NOTHING, SELF },
    PUTS("ScheduledThreadPoolExecutor", "delayedExecute", NULL),

    PUTS("LinkedBlockingQueue", "put", OBJECT_TO("V")),
    PUTS("LinkedBlockingQueue", "offer", OBJECT_TO("Z")),
    PUTS("LinkedBlockingQueue", "offer", OBJECT_TIMED),
    TAKES_WITHIN("LinkedBlockingQueue", "dequeue", "()" OBJECT),
    DRAINS("LinkedBlockingQueue"),

    PUTS("ArrayBlockingQueue", "enqueue", OBJECT_TO("V")),
    TAKES_WITHIN("ArrayBlockingQueue", "dequeue", "()" OBJECT),
    DRAINS("ArrayBlockingQueue"),

    PUTS("LinkedBlockingDeque", "putFirst", OBJECT_TO("V")),
    PUTS("LinkedBlockingDeque", "putLast", OBJECT_TO("V")),
    PUTS("LinkedBlockingDeque", "offerFirst", OBJECT_TO("Z")),
    PUTS("LinkedBlockingDeque", "offerLast", OBJECT_TO("Z")),
    PUTS("LinkedBlockingDeque", "offerFirst", OBJECT_TIMED),
    PUTS("LinkedBlockingDeque", "offerLast", OBJECT_TIMED),
    TAKES_WITHIN("LinkedBlockingDeque", "unlinkFirst", "()" OBJECT),
    TAKES_WITHIN("LinkedBlockingDeque", "unlinkLast", "()" OBJECT),
    DRAINS("LinkedBlockingDeque"),

    PUTS("PriorityBlockingQueue", "offer", OBJECT_TO("Z")),
    TAKES_WITHIN("PriorityBlockingQueue", "dequeue", "()" OBJECT),
    DRAINS("PriorityBlockingQueue"),

    PUTS("DelayQueue", "offer", "(" DELAYED ")Z"),
    TAKES("DelayQueue", "take", "()" DELAYED),
    TAKES("DelayQueue", "poll", "()" DELAYED),
    TAKES("DelayQueue", "poll", TIMED_TO(DELAYED)),
    DRAINS("DelayQueue"),

    PUTS("SynchronousQueue", "put", OBJECT_TO("V")),
    PUTS("SynchronousQueue", "offer", OBJECT_TO("Z")),
    PUTS("SynchronousQueue", "offer", OBJECT_TIMED),
    TAKES("SynchronousQueue", "take", "()" OBJECT),
    TAKES("SynchronousQueue", "poll", "()" OBJECT),
    TAKES("SynchronousQueue", "poll", TIMED_TO(OBJECT)),

    PUTS("LinkedTransferQueue", "put", OBJECT_TO("V")),
    PUTS("LinkedTransferQueue", "offer", OBJECT_TO("Z")),
    PUTS("LinkedTransferQueue", "offer", OBJECT_TIMED),
    PUTS("LinkedTransferQueue", "add", OBJECT_TO("Z")),
    PUTS("LinkedTransferQueue", "transfer", OBJECT_TO("V")),
    PUTS("LinkedTransferQueue", "tryTransfer", OBJECT_TO("Z")),
    PUTS("LinkedTransferQueue", "tryTransfer", OBJECT_TIMED),
    TAKES("LinkedTransferQueue", "take", "()" OBJECT),
    TAKES("LinkedTransferQueue", "poll", "()" OBJECT),
    TAKES("LinkedTransferQueue", "poll", TIMED_TO(OBJECT)),
    DRAINS("LinkedTransferQueue"),

    MADE("CompletableFuture$AsyncSupply"),
    RUNS("CompletableFuture$AsyncSupply", "run", "()V"),
    MADE("CompletableFuture$AsyncRun"),
    RUNS("CompletableFuture$AsyncRun", "run", "()V"),
    MADE("CompletableFuture$UniCompletion"),
    FIRES("UniApply"),
    FIRES("UniAccept"),
    FIRES("UniRun"),
    FIRES("UniWhenComplete"),
    FIRES("UniHandle"),
    FIRES("UniExceptionally"),
    FIRES("UniComposeExceptionally"),
    FIRES("UniCompose"),
    FIRES("BiApply"),
    FIRES("BiAccept"),
    FIRES("BiRun"),
    FIRES("OrApply"),
    FIRES("OrAccept"),
    FIRES("OrRun"),

    GIVES("ForkJoinPool", "invoke", "(" FORK_JOIN_TASK ")" OBJECT),
    GIVES("ForkJoinPool", "execute", "(" FORK_JOIN_TASK ")V"),
    GIVES("ForkJoinPool", "submit", "(" FORK_JOIN_TASK ")" FORK_JOIN_TASK),
    { CONCURRENT("ForkJoinTask"), "fork", "()" FORK_JOIN_TASK, ENTRY, NULL, PUT, SELF, NOTHING },
    RUNS("RecursiveTask", "exec", "()Z"),
    RUNS("RecursiveAction", "exec", "()Z"),
    RUNS("CountedCompleter", "exec", "()Z"),
    MADE("ForkJoinTask$AdaptedCallable"),
    RUNS("ForkJoinTask$AdaptedCallable", "exec", "()Z"),
    MADE("ForkJoinTask$AdaptedInterruptibleCallable"),
    RUNS("ForkJoinTask$AdaptedInterruptibleCallable", "exec", "()Z"),
    RUNS("ForkJoinTask$AdaptedInterruptibleCallable", "compute", "()" OBJECT),

    /* Before it is on the thread below it, and when it is there no longer. */
    { VIRTUAL_THREAD, "<init>", NULL, RETURNS, NULL, CREATE, SELF, NOTHING },
    { VIRTUAL_THREAD, "runContinuation", "()V", CALLS, "mount", RESUME, TOP, NOTHING },
    { VIRTUAL_THREAD, "runContinuation", "()V", CALLS, "afterYield", PAUSE, TOP, NOTHING },
    { VIRTUAL_THREAD, "runContinuation", "()V", CALLS, "afterDone", END, TOP, NOTHING },
};

#define TABLE_ROWS (sizeof(table) / sizeof(table[0]))

/* Whether what is told of in a class makes sense: a virtual thread that begins is told to end. */
static inline bool is_whole(uint32_t calls)
{
    const uint32_t thread = 1u << CREATE | 1u << RESUME | 1u << PAUSE | 1u << END;

    return calls && (!(calls & thread) || (calls & thread) == thread);
}
