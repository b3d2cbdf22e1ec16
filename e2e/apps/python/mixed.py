# SPDX-License-Identifier: Apache-2.0
"""Traffic of many kinds, whose every byte is accounted for.

mixed.py serve PORT TLS-PORT CERTIFICATE   takes what comes on a connection until its end, takes lines `traceparent:` in
                                           small letters out, and answers with the hash of the rest and with the lines
mixed.py ask PORT TLS-PORT ROUNDS KIB      waits for a line on standard input, then sends each kind as often, from four
                                           threads; fails when anything else arrived. Says `PATH VALUE` for each line that
                                           arrived, `KIND COUNT EXPECTED` for connections where that is another number,
                                           and at last `sent BYTES`
"""
import array
import concurrent.futures
import fcntl
import hashlib
import os
import random
import re
import select
import socket
import ssl
import struct
import sys
import tempfile
import termios
import threading

LINE = re.compile(rb"traceparent: (00-[0-9a-f]{32}-[0-9a-f]{16}-0[01])\r\n")
OWN = b"Traceparent: 00-11111111111111111111111111111111-2222222222222222-01\r\n"
END = b"--the end of what is sent in TLS--"
LIKE = b"GET /like HTTP/1.1\r\nHost: like\r\n\r\n"
THREADS = 4


SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000


def taken(conn):
    whole = bytearray()
    while piece := conn.recv(1 << 16):
        whole += piece
        if whole.startswith(b"GET /keep") and whole.endswith(b"\r\n\r\n"):
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        if whole.endswith(END):
            break
    return whole


def serve(conn):
    with conn:
        whole = taken(conn)
        rest = hashlib.sha256(LINE.sub(b"", whole)).hexdigest().encode()
        # struct tcp_info: tcpi_data_segs_in
        [segments] = struct.unpack_from("I", conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 152)
        body = b" ".join([rest, b"%d" % segments, *LINE.findall(whole)])
        conn.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def accept(port, wrap):
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=lambda conn=conn: serve(wrap(conn)), daemon=True).start()


def head(path, *lines, method=b"GET", end=b"\r\n"):
    return end.join([b"%s %s HTTP/1.1" % (method, path), b"Host: mixed", *lines]) + end + end


class Kinds:
    """Each kind sends on `conn` and returns what it sent and how many lines are to be added; None: it may be one."""

    def __init__(self, chance, kib):
        self.chance, self.noise = chance, chance.randbytes(kib * 1024)

    def all(self, conn, whole):
        conn.sendall(whole)
        return whole

    def cut(self, conn, whole, count):
        # Not through the last line, whose end shows the end of a head: see `bytes`.
        at = sorted(self.chance.sample(range(1, len(whole) - 1), count))
        for start, end in zip([0, *at], [*at, len(whole)]):
            conn.sendall(whole[start:end])
        return whole

    def post(self, path, *lines):
        return head(path, b"Content-Length: %d" % len(self.noise), *lines, method=b"POST")

    def whole(self, conn, path):
        return self.all(conn, head(path)), 1

    def large(self, conn, path):
        return self.all(conn, self.post(path) + self.noise), 1

    def pieces(self, conn, path):
        return self.cut(conn, self.post(path), 5) + self.all(conn, self.noise), 1

    def bytes(self, conn, path):
        whole = head(path)
        for at in range(len(whole)):
            conn.sendall(whole[at : at + 1])
        return whole, 0  # its last line is half out when its end is seen

    def vector(self, conn, path):
        whole = self.post(path)
        body = self.noise[:100]
        whole = whole.replace(b"Content-Length: %d" % len(self.noise), b"Content-Length: 100")
        conn.sendmsg([whole[:10], whole[10:30], whole[30:], body])
        return whole + body, 1

    def sendfile(self, conn, path):
        whole = self.all(conn, self.post(path))
        with tempfile.TemporaryFile() as file:
            file.write(self.noise)
            file.flush()
            conn.sendfile(file, 0)
        return whole + self.noise, 1

    def long(self, conn, path):
        return self.all(conn, head(path, b"Cookie: " + b"c" * 6000)), 1

    def longest(self, conn, path):
        return self.all(conn, head(path, b"Cookie: " + b"c" * 20000)), 0

    def chunked(self, conn, path):
        whole = head(path, b"Transfer-Encoding: chunked", method=b"PUT")
        return self.all(conn, whole) + self.all(conn, b"%x\r\n" % len(LIKE)) + self.all(conn, LIKE), 1

    def body(self, conn, path):
        whole = head(path, b"Content-Length: %d" % (2 * len(LIKE)), method=b"POST")
        return self.all(conn, whole) + self.all(conn, LIKE) + self.all(conn, LIKE), 1

    def own(self, conn, path):
        return self.all(conn, head(path, OWN.strip())), 0

    def own_in_pieces(self, conn, path):
        return self.cut(conn, head(path, OWN.strip()), 12), 0

    def pipelined(self, conn, path):
        return self.all(conn, head(path) + head(path)), 1

    def upgrade(self, conn, path):
        whole = head(path, b"Connection: Upgrade", b"Upgrade: websocket")
        return self.all(conn, whole) + self.all(conn, LIKE) + self.cut(conn, self.noise, 7), 1

    def connect(self, conn, path):
        return self.all(conn, head(b"far:443", method=b"CONNECT")) + self.all(conn, LIKE), 0

    def keep(self, conn, path):
        whole = b""
        for n in range(5):
            whole += self.all(conn, head(b"/keep" + path + b"/%d" % n))
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                answer += conn.recv(4096)
        return whole, 1

    def random(self, conn, path):
        return self.cut(conn, self.noise, 30), 0

    def random_then_like(self, conn, path):
        return self.all(conn, self.noise[:64]) + self.all(conn, LIKE), 0

    def bare_newlines(self, conn, path):
        return self.all(conn, head(path, end=b"\n")), 0

    def rtsp(self, conn, path):
        return self.all(conn, head(path).replace(b"HTTP/1.1", b"RTSP/1.0")), 0

    def http2(self, conn, path):
        return self.all(conn, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.noise[:40]), 0

    def lower(self, conn, path):
        return self.all(conn, head(path, method=b"get")), 0

    def two_lengths(self, conn, path):
        return self.all(conn, head(path, b"Content-Length: 1", b"Content-Length: 2") + b"x"), 1

    def zerocopy(self, conn, path):
        whole = self.post(path) + self.noise
        sent = 0
        while sent < len(whole):
            sent += conn.send(whole[sent:], MSG_ZEROCOPY)
            errors = select.poll()
            errors.register(conn, 0)
            if not errors.poll(10000) or not conn.recvmsg(0, 200, socket.MSG_ERRQUEUE)[1]:
                sys.exit("zerocopy: nobody tells that memory is free again")
        return whole, 0

    def passed(self, conn, path):
        whole = head(path)
        child = os.fork()
        if not child:
            conn.sendall(whole)
            os._exit(0)
        os.waitpid(child, 0)
        return whole, 1

    def handed_over(self, conn, path):
        whole = head(path)
        ours, theirs = socket.socketpair()
        child = os.fork()
        if not child:
            conn.close()
            [other] = socket.recv_fds(theirs, 1, 1)[1]
            socket.socket(fileno=other).sendall(whole[:20])
            os._exit(0)
        with ours, theirs:
            socket.send_fds(ours, [b"x"], [conn.fileno()])
            os.waitpid(child, 0)
        return whole[:20] + self.all(conn, whole[20:]), None

    def tls(self, conn, path):
        return self.all(conn, head(path)) + self.all(conn, self.noise + END), 0


KINDS = [name for name in vars(Kinds) if not name.startswith("_") and name not in ("all", "cut", "post")]


def waits(conn):
    """What FIONREAD counts once something is to be read."""
    select.select([conn], [], [])
    count = array.array("i", [0])
    fcntl.ioctl(conn, termios.FIONREAD, count)
    return count[0]


def heard(conn):
    answer = b""
    while True:
        count = waits(conn)
        piece = conn.recv(count or 1)
        if len(piece) != count:
            sys.exit(f"FIONREAD counts {count} bytes where {len(piece)} wait")
        if not piece:
            return answer
        answer += piece


def talk(kind, path, kinds, port, tls):
    conn = socket.socket()
    if kind == "zerocopy":
        conn.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    conn.connect(("127.0.0.1", tls if kind == "tls" else port))
    if kind == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        conn = context.wrap_socket(conn)
    with conn:
        sent, expected = getattr(kinds, kind)(conn, path)
        if kind != "tls":
            conn.shutdown(socket.SHUT_WR)
        answer = conn.recv(1 << 16) if kind == "tls" else heard(conn)
    rest, segments, *lines = answer.rsplit(b"\r\n\r\n", 1)[1].split()
    if rest != hashlib.sha256(sent).hexdigest().encode():
        sys.exit(f"{kind}: other bytes arrived than were sent")
    if kind == "whole" and int(segments) != 1:
        sys.exit(f"a request arrives in {int(segments)} segments, where many a server takes each for one")
    for at, line in enumerate(lines):
        name = b"/keep" + path + b"/%d" % at if kind == "keep" else path
        sys.stdout.write(f"{name.decode()} {line.decode()}\n")
    if expected is not None and len(lines) != expected:
        sys.stdout.write(f"KIND {kind} {len(lines)} {expected}\n")
    return len(sent)


def ask(port, tls, rounds, kib):
    chance = random.Random(rounds)
    kinds = Kinds(chance, kib)
    sys.stdin.readline()
    turns = [(kind, n) for n in range(rounds) for kind in chance.sample(KINDS, len(KINDS))]
    turn = lambda of: talk(of[0], f"/{of[0]}/{of[1]}".encode(), kinds, port, tls)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
        sent = sum(threads.map(turn, turns))
    print("sent", sent)


if sys.argv[1] == "serve":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4])
    secure = lambda conn: context.wrap_socket(conn, server_side=True, suppress_ragged_eofs=True)
    threading.Thread(target=accept, args=(int(sys.argv[3]), secure), daemon=True).start()
    accept(int(sys.argv[2]), lambda conn: conn)
else:
    ask(*map(int, sys.argv[2:6]))
