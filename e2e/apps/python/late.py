# SPDX-License-Identifier: Apache-2.0
"""A threaded server whose calls do not end where their request does: `late.py PORT NEXT`.

/background/N   answers, and calls after that in a thread that it has started before
/started/N      calls, answers, and hears the answer to its call after that
/stream/N       answers in pieces, and calls between them
/pool/N         calls by a connection of two that all threads share
/retry/N        calls, is refused, and calls again
"""
import http.client
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, after = int(sys.argv[1]), int(sys.argv[2])
pool = queue.Queue()


def connect():
    return http.client.HTTPConnection("127.0.0.1", after)


def call(path, conn=None):
    conn = conn or connect()
    conn.request("GET", path)
    answer = conn.getresponse()
    answer.read()
    return answer.status


class Late(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        getattr(self, self.path.split("/")[1])()

    def answer(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def background(self):
        answered = threading.Event()

        def work():
            answered.wait()
            call(self.path)

        thread = threading.Thread(target=work)
        thread.start()
        self.answer()
        answered.set()
        # The next request changes the path.
        thread.join()

    def started(self):
        conn = connect()
        conn.request("GET", "/delay/20" + self.path)
        self.answer()
        conn.getresponse().read()

    def stream(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for n in "12":
            self.wfile.write(b"6\r\npiece\n\r\n")
            call(f"{self.path}/{n}")
        self.wfile.write(b"0\r\n\r\n")

    def pool(self):
        conn = pool.get()
        call(self.path, conn)
        pool.put(conn)
        self.answer()

    def retry(self):
        conn = connect()
        if call("/status/503" + self.path, conn) == 503:
            call(self.path, conn)
        self.answer()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


for _ in range(2):
    pool.put(connect())
Server(("127.0.0.1", port), Late).serve_forever()
