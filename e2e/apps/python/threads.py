# SPDX-License-Identifier: Apache-2.0
"""A threaded client: `threads.py PORT THREADS COUNT`; begins once a line came on standard input.

Half of the threads use urllib (a connection per request), half http.client (one connection each).
"""
import http.client
import sys
import threading
import urllib.request

port, threads, count = (int(n) for n in sys.argv[1:])


def fresh(me):
    for i in range(count):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/fresh/{me}/{i}").read()


def kept(me):
    conn = http.client.HTTPConnection("127.0.0.1", port)
    for i in range(count):
        conn.request("GET", f"/kept/{me}/{i}")
        conn.getresponse().read()
    conn.close()


sys.stdin.readline()
crew = [threading.Thread(target=(fresh, kept)[n % 2], args=(n,)) for n in range(threads)]
for thread in crew:
    thread.start()
for thread in crew:
    thread.join()
