# SPDX-License-Identifier: Apache-2.0
"""A program that OpenTelemetry's SDK makes part of a trace already. It says what it did: trace, span, parent.

sdk.py call PORT PATH    asks for PATH
sdk.py serve PORT NEXT   asks NEXT for the same, for each request
"""
import http.client
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.propagate import extract, inject
from opentelemetry.sdk.trace import TracerProvider

tracer = TracerProvider().get_tracer("sdk")


def call(port, path, context=None):
    with tracer.start_as_current_span(path, context=context) as span:
        headers = {}
        inject(headers)
        conn = http.client.HTTPConnection("127.0.0.1", port)
        conn.request("GET", path, headers=headers)
        body = conn.getresponse().read()
        conn.close()
        own, parent = span.get_span_context(), span.parent.span_id if span.parent else 0
        print(f"{own.trace_id:032x} {own.span_id:016x} {parent:016x}", flush=True)
    return body


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = call(int(sys.argv[3]), self.path, extract(self.headers))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if sys.argv[1] == "call":
    call(int(sys.argv[2]), sys.argv[3])
else:
    HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
