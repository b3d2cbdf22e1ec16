// SPDX-License-Identifier: Apache-2.0
// Goes through every row of the agent's table, by many threads at once, and prints what came of it: the same with the
// agent and without. Runs on JDK 11 and later.
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountedCompleter;
import java.util.concurrent.DelayQueue;
import java.util.concurrent.Delayed;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinTask;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingDeque;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.LinkedTransferQueue;
import java.util.concurrent.PriorityBlockingQueue;
import java.util.concurrent.RecursiveAction;
import java.util.concurrent.RecursiveTask;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.LongStream;

public class Rows {
    static final int THREADS = 8;
    static int rounds = 300;

    interface Part {
        long run(int round) throws Exception;
    }

    // Each of the threads does the part so many times; the sum of what it returns is printed.
    static void all(String name, Part part) throws Exception {
        AtomicLong sum = new AtomicLong();
        List<Thread> crew = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            int first = i;
            Thread thread = new Thread(() -> {
                try {
                    for (int round = 0; round < rounds; round++) {
                        sum.addAndGet(part.run(first + round * THREADS));
                    }
                } catch (Throwable e) {
                    e.printStackTrace(System.out);
                }
            });
            crew.add(thread);
            thread.start();
        }
        for (Thread thread : crew) {
            thread.join();
        }
        System.out.println(name + " " + sum);
    }

    static class Late implements Delayed {
        final long n;

        Late(long n) {
            this.n = n;
        }

        @Override
        public long getDelay(TimeUnit unit) {
            return 0;
        }

        @Override
        public int compareTo(Delayed other) {
            return Long.compare(n, ((Late) other).n);
        }
    }

    static class Sum extends RecursiveTask<Long> {
        final int n;

        Sum(int n) {
            this.n = n;
        }

        @Override
        protected Long compute() {
            if (n < 2) {
                return (long) n;
            }
            ForkJoinTask<Long> one = new Sum(n - 1).fork();
            return new Sum(n - 2).compute() + one.join();
        }
    }

    static class Fails extends RecursiveAction {
        @Override
        protected void compute() {
            throw new IllegalStateException("on purpose");
        }
    }

    static class Counts extends CountedCompleter<Long> {
        final int n;
        final AtomicLong into;

        Counts(CountedCompleter<?> parent, int n, AtomicLong into) {
            super(parent);
            this.n = n;
            this.into = into;
        }

        @Override
        public void compute() {
            for (int i = 0; i < n; i++) {
                addToPendingCount(1);
                new Counts(this, n - 1, into).fork();
            }
            into.incrementAndGet();
            tryComplete();
        }
    }

    static long moves(BlockingQueue<Object> queue, int round) throws Exception {
        Integer item = round;
        queue.put(item);
        queue.offer(item);
        queue.offer(item, 1, TimeUnit.SECONDS);
        Object[] taken = { queue.take(), queue.poll(1, TimeUnit.SECONDS) };
        // LinkedTransferQueue may have something and say now and then that it has nothing.
        while (queue.poll() == null) {
            Thread.yield();
        }
        return Arrays.stream(taken).filter(x -> x != null).count();
    }

    // Half of the threads put, the others take, and each waits until somebody meets it.
    static long meets(SynchronousQueue<Object> hand, int round) throws Exception {
        int way = round / THREADS % 3;
        if (round % 2 == 0) {
            if (way == 0) {
                hand.put(round);
            }
            while (way != 0 && !(way == 1 ? hand.offer(round) : hand.offer(round, 1, TimeUnit.SECONDS))) {
                Thread.yield();
            }
            return 0;
        }
        Object taken = way == 0 ? null : way == 1 ? hand.poll() : hand.poll(1, TimeUnit.MILLISECONDS);
        while (taken == null) {
            taken = hand.take();
        }
        return 1;
    }

    static void queues() throws Exception {
        for (BlockingQueue<Object> queue : Arrays.asList(new LinkedBlockingQueue<Object>(),
                new ArrayBlockingQueue<Object>(64), new LinkedBlockingDeque<Object>(),
                new PriorityBlockingQueue<Object>(), new LinkedTransferQueue<Object>())) {
            String name = queue.getClass().getSimpleName();
            all(name, round -> moves(queue, round));
            queue.add(1);
            queue.add(2);
            List<Object> drained = new ArrayList<>();
            System.out.println(name + " drained " + queue.drainTo(drained, 1) + queue.drainTo(drained) + drained);
            try {
                queue.put(null);
            } catch (NullPointerException e) {
                System.out.println(name + " takes no null");
            }
        }
        LinkedBlockingDeque<Object> deque = new LinkedBlockingDeque<>();
        all("ends of a deque", round -> {
            deque.putFirst(round);
            deque.putLast(round);
            deque.offerFirst(round, 1, TimeUnit.SECONDS);
            deque.offerLast(round, 1, TimeUnit.SECONDS);
            Object[] taken = { deque.takeLast(), deque.takeFirst(), deque.pollLast(), deque.pollFirst() };
            return Arrays.stream(taken).filter(x -> x != null).count();
        });
        DelayQueue<Late> late = new DelayQueue<>();
        all("DelayQueue", round -> {
            late.put(new Late(round));
            late.offer(new Late(round));
            late.offer(new Late(round), 1, TimeUnit.SECONDS);
            return (late.take() != null ? 1 : 0) + (late.poll() != null ? 1 : 0)
                + (late.poll(1, TimeUnit.SECONDS) != null ? 1 : 0);
        });
        System.out.println("DelayQueue drained " + late.drainTo(new ArrayList<>(), 3));
        for (boolean fair : new boolean[] { false, true }) {
            SynchronousQueue<Object> hand = new SynchronousQueue<>(fair);
            all("SynchronousQueue " + fair, round -> meets(hand, round));
        }
        LinkedTransferQueue<Object> transfer = new LinkedTransferQueue<>();
        all("transfers", round -> {
            if (round % 2 == 0) {
                if (round % 3 == 0) {
                    transfer.transfer(round);
                } else {
                    while (!transfer.tryTransfer(round, 1, TimeUnit.SECONDS)) {
                        Thread.yield();
                    }
                }
                return 0;
            }
            return transfer.take() != null ? 1 : 0;
        });
        System.out.println("nobody waits: " + transfer.tryTransfer(1));
    }

    static void executors() throws Exception {
        ScheduledExecutorService later = Executors.newScheduledThreadPool(4);
        for (ExecutorService pool : Arrays.asList(Executors.newFixedThreadPool(4), Executors.newCachedThreadPool(), later,
                Executors.newWorkStealingPool(4), new ForkJoinPool(3), new ThreadPoolExecutor(1, 2, 1, TimeUnit.MILLISECONDS,
                    new ArrayBlockingQueue<>(2), new ThreadPoolExecutor.CallerRunsPolicy()))) {
            String name = pool.getClass().getSimpleName();
            all(name, round -> {
                Future<Integer> one = pool.submit(() -> round);
                Callable<Integer> call = () -> round;
                Future<?> other = pool.submit((Runnable) () -> { });
                pool.execute(() -> { });
                if (round % 16 == 0) {
                    pool.invokeAll(Arrays.asList(call, call));
                    pool.invokeAny(Arrays.asList(call, call));
                }
                other.get();
                try {
                    pool.submit((Callable<Object>) () -> {
                        throw new IllegalStateException("on purpose");
                    }).get();
                } catch (java.util.concurrent.ExecutionException e) {
                    return one.get();
                }
                return -1;
            });
        }
        all("scheduled", round -> later.schedule(() -> 1, 10, TimeUnit.MICROSECONDS).get());
        AtomicLong ticks = new AtomicLong();
        Future<?> timer = later.scheduleAtFixedRate(ticks::incrementAndGet, 0, 1, TimeUnit.MILLISECONDS);
        while (ticks.get() < 5) {
            Thread.sleep(1);
        }
        timer.cancel(false);
    }

    static void completions() throws Exception {
        Executor direct = Runnable::run;
        ExecutorService pool = Executors.newFixedThreadPool(3);
        for (Executor by : Arrays.asList(ForkJoinPool.commonPool(), pool, direct)) {
            all("completions", round -> {
                CompletableFuture<Integer> source = new CompletableFuture<>();
                CompletableFuture<Integer> a = CompletableFuture.supplyAsync(() -> round, by);
                CompletableFuture<Void> b = CompletableFuture.runAsync(() -> { }, by);
                CompletableFuture<Integer> c = source.thenApply(x -> x + 1).thenApplyAsync(x -> x + 1, by)
                    .thenCompose(x -> CompletableFuture.supplyAsync(() -> x + 1, by)).thenCombine(a, Integer::sum)
                    .whenComplete((x, e) -> { }).handle((x, e) -> x).thenCombineAsync(b, (x, y) -> x, by);
                CompletableFuture<Integer> d = source.applyToEither(a, x -> 1).thenApply(x -> {
                    if (round % 2 == 0) {
                        throw new IllegalStateException("on purpose");
                    }
                    return x;
                }).exceptionally(e -> 1);
                CompletableFuture<Void> e = source.thenAcceptBoth(d, (x, y) -> { }).thenRun(() -> { })
                    .thenAccept(x -> { }).runAfterBoth(b, () -> { }).runAfterEither(a, () -> { });
                CompletableFuture<Void> f = source.acceptEither(d, x -> { });
                source.complete(round);
                CompletableFuture.allOf(a, b, c, d, e, f).get();
                CompletableFuture.anyOf(e, f).get();
                return c.get() + d.get();
            });
        }
        CompletableFuture.runAsync(() -> { }, CompletableFuture.delayedExecutor(1, TimeUnit.MILLISECONDS)).get();
        pool.shutdown();
    }

    static void forks() throws Exception {
        ForkJoinPool pool = new ForkJoinPool(4);
        all("RecursiveTask", round -> pool.invoke(new Sum(10)) + pool.submit(new Sum(8)).get() + new Sum(7).invoke());
        all("RecursiveAction", round -> {
            pool.execute(new Fails());
            try {
                pool.invoke(new Fails());
            } catch (IllegalStateException e) {
                return 1;
            }
            return 0;
        });
        all("CountedCompleter", round -> {
            AtomicLong into = new AtomicLong();
            pool.invoke(new Counts(null, 4, into));
            return into.get();
        });
        all("parallel streams", round -> LongStream.range(0, 2000).parallel().map(x -> x * round).sum());
        all("adapted", round -> ((Integer) pool.submit(ForkJoinTask.adapt(() -> round)).get()));
    }

    // From Java 21 on; by name, so that an older compiler takes it.
    static void virtual() throws Exception {
        ExecutorService pool;
        try {
            pool = (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
        } catch (NoSuchMethodException e) {
            return;
        }
        BlockingQueue<Integer> queue = new LinkedBlockingQueue<>();
        BlockingQueue<Integer> hand = new SynchronousQueue<>();
        all("virtual threads", round -> {
            Future<Integer> one = pool.submit(() -> {
                Thread.sleep(1);
                queue.put(1);
                hand.put(2);
                synchronized (queue) {
                    Thread.sleep(0, 1000);
                }
                return 4;
            });
            Future<?> fails = pool.submit((Runnable) () -> {
                throw new IllegalStateException("on purpose");
            });
            Future<Integer> other = pool.submit(() -> CompletableFuture.supplyAsync(() -> 8, pool).thenApply(x -> x).get());
            int sum = queue.take() + pool.submit(hand::take).get() + one.get() + other.get();
            try {
                fails.get();
            } catch (java.util.concurrent.ExecutionException e) {
                return sum;
            }
            return -1;
        });
        pool.shutdown();
        System.out.println("all are over: " + pool.awaitTermination(10, TimeUnit.SECONDS));
    }

    public static void main(String[] args) throws Exception {
        if (args.length > 0) {
            rounds = Integer.parseInt(args[0]);
        }
        queues();
        executors();
        completions();
        forks();
        virtual();
        System.exit(0);
    }
}
