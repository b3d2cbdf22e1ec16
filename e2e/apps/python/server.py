# SPDX-License-Identifier: Apache-2.0
"""A threaded server whose paths misbehave on request: `server.py PORT`.

/delay/MS/…     answers after a while
/trickle/N/MS   answers in N pieces with a pause after each
/chunked/N      answers in N chunks
/silent         never answers
/status/CODE/…  answers with that status
/heard          answers with the traceparent headers of the request
/echo           reads the body, then sends as much back
/upgrade        switches protocols, then sends every byte back
"""
import hashlib
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 65536


class Paths(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        act, *numbers = self.path.strip("/").split("?")[0].split("/")
        getattr(self, act, self.plain)(*(int(n) for n in numbers if n.isdigit()))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = answer

    def send(self, body=b"ok\n", status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def plain(self, *_):
        left = int(self.headers.get("Content-Length", 0))
        self.rfile.read(left)
        self.send()

    def heard(self, *_):
        self.send("\n".join(self.headers.get_all("traceparent", [])).encode())

    def delay(self, ms, *_):
        time.sleep(ms / 1000)
        self.send()

    def status(self, code, *_):
        self.send(status=code)

    def trickle(self, pieces, ms):
        self.send_response(200)
        self.send_header("Content-Length", str(pieces * 8))
        self.end_headers()
        for _ in range(pieces):
            self.wfile.write(b"trickle\n")
            time.sleep(ms / 1000)

    def chunked(self, pieces):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(pieces):
            self.wfile.write(b"6\r\npiece\n\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def silent(self):
        time.sleep(600)

    def echo(self):
        size = left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, PIECE)))
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        piece = b"x" * PIECE
        for at in range(0, size, PIECE):
            self.wfile.write(piece[: size - at])

    def upgrade(self):
        accept = self.headers.get("Sec-WebSocket-Key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "websocket")
        self.send_header("Sec-WebSocket-Accept", hashlib.sha1(accept.encode()).hexdigest())
        self.end_headers()
        while said := self.connection.recv(PIECE):
            self.connection.sendall(said)
        self.close_connection = True

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Paths).serve_forever()
