# SPDX-License-Identifier: Apache-2.0
"""Answers /case/N after it has asked /down/N elsewhere: `server.py PATTERN PORT DOWN`.

A pattern is the way from the thread or task that serves the request to the one that makes the call.
"""
import asyncio
import concurrent.futures
import http.client
import http.server
import queue
import sys
import threading

PATTERN, PORT, DOWN = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
NESTED = 5
WORKERS = 8


def call(n):
    """The outgoing request, on a connection of its own."""
    conn = http.client.HTTPConnection("127.0.0.1", DOWN)
    conn.request("GET", f"/down/{n}")
    body = conn.getresponse().read()
    conn.close()
    return body


def direct(n):
    return call(n)


def new_thread(n, depth=1):
    said = []
    below = (lambda: said.append(call(n))) if depth == 1 else (lambda: said.append(new_thread(n, depth - 1)))
    thread = threading.Thread(target=below)
    thread.start()
    thread.join()
    return said[0]


def nested(n):
    return new_thread(n, NESTED)


TODO = queue.Queue()


def worker():
    while True:
        n, answers = TODO.get()
        answers.put(call(n))


def pool(n):
    answers = queue.SimpleQueue()
    TODO.put((n, answers))
    return answers.get()


EXECUTOR = concurrent.futures.ThreadPoolExecutor(WORKERS)


def executor(n):
    return EXECUTOR.submit(call, n).result()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    act = staticmethod(direct)

    def do_GET(self):
        body = self.act(self.path.rsplit("/", 1)[1])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Threads(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True


class One(http.server.HTTPServer):
    request_queue_size = 1024


def serve(act, server=Threads, workers=0):
    Handler.act = staticmethod(act)
    if server is One:
        # One thread serves one connection after the other.
        Handler.protocol_version = "HTTP/1.0"
    for _ in range(workers):
        threading.Thread(target=worker, daemon=True).start()
    server(("127.0.0.1", PORT), Handler).serve_forever()


async def head(reader):
    """Length of the body that follows, and the first line."""
    first = await reader.readline()
    length = 0
    while (line := await reader.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return first.decode(), length


async def async_call(n):
    reader, writer = await asyncio.open_connection("127.0.0.1", DOWN)
    writer.write(f"GET /down/{n} HTTP/1.1\r\nHost: down\r\n\r\n".encode())
    _, length = await head(reader)
    body = await reader.readexactly(length)
    writer.close()
    return body


async def in_tasks(n):
    async def step():
        await asyncio.sleep(0)
        return await async_call(n)

    return (await asyncio.gather(asyncio.create_task(step())))[0]


async def in_executor(n):
    return await asyncio.get_running_loop().run_in_executor(EXECUTOR, call, n)


async def async_main(act):
    async def talk(reader, writer):
        while (first := (await head(reader))[0]):
            body = await act(first.split()[1].rsplit("/", 1)[1])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", PORT, backlog=1024)
    await server.serve_forever()


def aiohttp_main():
    from aiohttp import ClientSession, web

    async def handle(request):
        n = request.match_info["n"]
        async with request.app["session"].get(f"http://127.0.0.1:{DOWN}/down/{n}") as answer:
            return web.Response(body=await answer.read())

    async def session(app):
        app["session"] = ClientSession()
        yield
        await app["session"].close()

    app = web.Application()
    app.cleanup_ctx.append(session)
    app.add_routes([web.get("/case/{n}", handle)])
    web.run_app(app, host="127.0.0.1", port=PORT, print=None, backlog=1024)


PATTERNS = {
    "thread": lambda: serve(direct),
    "new-thread": lambda: serve(new_thread),
    "nested-threads": lambda: serve(nested),
    "queue": lambda: serve(pool, workers=WORKERS),
    "two-threads": lambda: serve(pool, server=One, workers=1),
    "executor": lambda: serve(executor),
    "asyncio": lambda: asyncio.run(async_main(async_call)),
    "asyncio-tasks": lambda: asyncio.run(async_main(in_tasks)),
    "asyncio-executor": lambda: asyncio.run(async_main(in_executor)),
    "aiohttp": aiohttp_main,
}
PATTERNS[PATTERN]()
