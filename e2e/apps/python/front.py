# SPDX-License-Identifier: Apache-2.0
"""A threaded server that calls another for each request, and answers after it: `front.py PORT NEXT [HOST]`.

/direct/…   the thread that read the request calls
/thread/…   a thread of its own calls
/nested/…   the fifth of five threads below it calls
The path is passed on as it is, and the header traceparent, when it came, to /passed/….
"""
import http.client
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, after = int(sys.argv[1]), int(sys.argv[2])
host = sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1"


def call(path, headers):
    conn = http.client.HTTPConnection(host, after)
    conn.request("GET", path, headers=headers)
    conn.getresponse().read()
    conn.close()


def below(depth, work):
    if not depth:
        return work()
    thread = threading.Thread(target=below, args=(depth - 1, work))
    thread.start()
    thread.join()


class Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        pattern = self.path.split("/")[1]
        said = self.headers.get("traceparent")
        headers = {"traceparent": said} if said and pattern == "passed" else {}
        depth = {"thread": 1, "nested": 5}.get(pattern, 0)
        below(depth, lambda: call(self.path, headers))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


Server((sys.argv[4] if len(sys.argv) > 4 else "127.0.0.1", port), Front).serve_forever()
