# SPDX-License-Identifier: Apache-2.0
"""TCP connections that fare well or not: take PORT | give HOST PORT | refused HOST PORT COUNT."""

import select
import socket
import sys
import time


def take(port):
    """Takes everything and answers nothing."""
    listener = socket.create_server(("0.0.0.0", int(port)))
    open_sockets = [listener]
    while True:
        for ready in select.select(open_sockets, [], [])[0]:
            if ready is listener:
                open_sockets.append(listener.accept()[0])
            elif not ready.recv(1 << 16):
                ready.close()
                open_sockets.remove(ready)


def give(host, port):
    """One connection, and 1,000 bytes on it 20 times a second."""
    with socket.create_connection((host, int(port))) as connection:
        while True:
            connection.sendall(bytes(1000))
            time.sleep(0.05)


def refused(host, port, count):
    """Attempts to connect where nobody listens."""
    for _ in range(int(count)):
        with socket.socket() as sock:
            assert sock.connect_ex((host, int(port))) == 111


{"take": take, "give": give, "refused": refused}[sys.argv[1]](*sys.argv[2:])
