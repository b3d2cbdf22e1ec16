# SPDX-License-Identifier: Apache-2.0
"""Takes orders and asks the catalog: `orders.py PORT CATALOG_PORT`."""
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, catalog = (int(n) for n in sys.argv[1:])


class Orders(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        item = self.path.rsplit("/", 1)[-1]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{catalog}/catalog/{item}") as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer.daemon_threads = True
ThreadingHTTPServer(("127.0.0.1", port), Orders).serve_forever()
