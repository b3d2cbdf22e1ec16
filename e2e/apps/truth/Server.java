// SPDX-License-Identifier: Apache-2.0
// Answers /case/N after it has asked /down/N elsewhere: `java Server PATTERN PORT DOWN`.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RecursiveTask;
import java.util.concurrent.TimeUnit;

public class Server {
    static final int WORKERS = 8;
    static String down;

    interface Act {
        byte[] call(String n) throws Exception;
    }

    record Job(String n, CompletableFuture<byte[]> said) {}

    // The outgoing request.
    static byte[] call(String n) throws IOException {
        var conn = (HttpURLConnection) URI.create(down + n).toURL().openConnection();
        try (InputStream in = conn.getInputStream()) {
            return in.readAllBytes();
        }
    }

    static Act pool(ExecutorService pool) {
        return n -> pool.submit(() -> call(n)).get();
    }

    // Threads that were started before the first request.
    static Act queue() {
        BlockingQueue<Job> todo = new LinkedBlockingQueue<>();
        for (int i = 0; i < WORKERS; i++) {
            new Thread(() -> {
                while (true) {
                    try {
                        var job = todo.take();
                        job.said.complete(call(job.n));
                    } catch (Exception e) {
                        throw new IllegalStateException(e);
                    }
                }
            }).start();
        }
        return n -> {
            var job = new Job(n, new CompletableFuture<>());
            todo.put(job);
            return job.said.get();
        };
    }

    // Two steps, each by a thread of the common pool.
    static Act async() {
        return n -> CompletableFuture.supplyAsync(() -> n).thenApplyAsync(Server::unchecked).get();
    }

    static byte[] unchecked(String n) {
        try {
            return call(n);
        } catch (IOException e) {
            throw new CompletionException(e);
        }
    }

    // One future for all who wait; its continuations run in the thread of a timer, or of one of the requests.
    static class Batch {
        private CompletableFuture<Void> next = new CompletableFuture<>();

        synchronized CompletableFuture<byte[]> join(String n) {
            return next.thenApply(nothing -> unchecked(n));
        }

        void run() {
            CompletableFuture<Void> now;
            synchronized (this) {
                now = next;
                next = new CompletableFuture<>();
            }
            now.complete(null);
        }
    }

    static Act shared() {
        var batch = new Batch();
        Executors.newScheduledThreadPool(1).scheduleAtFixedRate(batch::run, 5, 5, TimeUnit.MILLISECONDS);
        return n -> {
            var said = batch.join(n);
            if (Integer.parseInt(n) % 4 == 0) {
                batch.run();
            }
            return said.get();
        };
    }

    // Forks until one of its children calls, and runs whatever else there is while it waits.
    static class Fork extends RecursiveTask<byte[]> {
        final String n;
        final int depth;

        Fork(String n, int depth) {
            this.n = n;
            this.depth = depth;
        }

        @Override
        protected byte[] compute() {
            return depth == 0 ? unchecked(n) : new Fork(n, depth - 1).fork().join();
        }
    }

    static Act forkJoin() {
        var pool = new ForkJoinPool(WORKERS);
        return n -> pool.invoke(new Fork(n, 3));
    }

    static Act scheduled() {
        var pool = Executors.newScheduledThreadPool(WORKERS);
        return n -> pool.schedule(() -> call(n), 1, TimeUnit.MILLISECONDS).get();
    }

    // What is passed around between requests is no work.
    static Act leased() throws InterruptedException {
        var pool = Executors.newFixedThreadPool(WORKERS);
        BlockingQueue<Object> leases = new LinkedBlockingQueue<>();
        for (int i = 0; i < WORKERS / 2; i++) {
            leases.put(new Object());
        }
        return n -> pool.submit(() -> {
            Object lease = leases.take();
            try {
                return call(n);
            } finally {
                leases.put(lease);
            }
        }).get();
    }

    // From Java 21 on; by name, so that an older compiler takes it.
    static ExecutorService virtual() throws ReflectiveOperationException {
        return (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
    }

    static void answer(HttpExchange exchange, Act act) throws IOException {
        String path = exchange.getRequestURI().getPath();
        try {
            byte[] body = act.call(path.substring(path.lastIndexOf('/') + 1));
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
        } catch (Exception e) {
            e.printStackTrace();
        }
        exchange.close();
    }

    public static void main(String[] args) throws Exception {
        System.setProperty("java.util.concurrent.ForkJoinPool.common.parallelism", String.valueOf(WORKERS));
        down = "http://127.0.0.1:" + args[2] + "/down/";
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[1])), 1024);
        server.setExecutor(args[0].startsWith("virtual") ? virtual() : Executors.newFixedThreadPool(64));
        Act act = switch (args[0]) {
            case "executor", "virtual" -> Server::call;
            case "pool" -> pool(Executors.newFixedThreadPool(WORKERS));
            case "queue", "virtual-queue" -> queue();
            case "virtual-nested" -> pool(virtual());
            case "cached" -> pool(Executors.newCachedThreadPool());
            case "scheduled" -> scheduled();
            case "async" -> async();
            case "shared" -> shared();
            case "forkjoin" -> forkJoin();
            case "leased" -> leased();
            default -> throw new IllegalArgumentException(args[0]);
        };
        server.createContext("/", exchange -> answer(exchange, act));
        server.start();
    }
}
