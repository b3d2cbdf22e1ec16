#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Traffic of known kinds and sizes.

serve PORT            TCP and UDP, IPv4 and IPv6: takes everything, answers nothing; says `ready`
tcp HOST PORT N SIZE  N connections, SIZE bytes on each
hold HOST PORT SIZE   one connection, SIZE bytes on it, open until standard input ends
stall PORT            TCP: takes connections and reads nothing until it is told a line, then everything; resets them
fill HOST PORT        one connection, and as much on it as it takes at once; the rest of 4 MB when that is read
more HOST PORT SIZE   one connection; SIZE bytes on it for each line, then says `sent`
timeout HOST PORT     an attempt to connect that nobody answers
talk HOST PORT        datagrams from one socket until standard input ends
tun IFACE N           holds an interface without link layer; sends N packets, sent to it, back to where they came from
sctp_serve PORT       takes one connection of SCTP and what comes on it; says `none` where the kernel does not have it
sctp HOST PORT N SIZE N messages of SIZE bytes to it
refused HOST PORT N   N attempts to connect that are refused
udp HOST PORT N SIZE  N datagrams of SIZE bytes from one socket
uso HOST PORT N SIZE  the same, handed to the kernel as buffers of many datagrams
frames IFACE          Ethernet frames of every kind that the parser knows
names                 a name server on port 53 that knows a chain of aliases with both kinds of addresses
ask HOST              asks it for A and AAAA of www.example.org, 20 times each
ask_tcp HOST          asks for the same on one connection
ping HOST N SIZE      N echo requests with SIZE bytes; waits for the answers
inject                reads names of interfaces, sends 5 frames on each, says `sent`
raw IFACE N           N IP packets on an interface without Ethernet
"""
import select
import socket
import struct
import sys

SOL_UDP, UDP_SEGMENT = 17, 103


def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def serve(port):
    tcp = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    udp.bind(("::", port))
    print("ready", flush=True)
    open_sockets = [tcp, udp]
    while True:
        for ready in select.select(open_sockets, [], [])[0]:
            if ready is tcp:
                open_sockets.append(tcp.accept()[0])
            elif ready is udp:
                udp.recv(65536)
            elif not ready.recv(1 << 20):
                ready.close()
                open_sockets.remove(ready)


def tcp(host, port, n, size):
    for _ in range(n):
        with socket.create_connection((host, port)) as s:
            s.sendall(b"x" * size)
            s.shutdown(socket.SHUT_WR)
            s.recv(1)


def hold(host, port, size):
    with socket.create_connection((host, port)) as s:
        s.sendall(b"x" * size)
        sys.stdin.read()


def stall(port):
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    listener.bind(("", port))
    listener.listen()
    print("ready", flush=True)
    connection = listener.accept()[0]
    sys.stdin.readline()
    left = 4_000_000
    while left:
        left -= len(connection.recv(min(left, 1 << 16)))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    print("read", flush=True)
    sys.stdin.read()


def fill(host, port):
    with socket.create_connection((host, port)) as s:
        s.sendall(b"x" * 4_000_000)
        try:
            s.recv(1)
        except ConnectionResetError:
            pass


def more(host, port, size):
    with socket.create_connection((host, port)) as s:
        print("ready", flush=True)
        for _ in sys.stdin:
            s.sendall(b"x" * size)
            print("sent", flush=True)


def timeout(host, port):
    with socket.socket(family(host)) as s:
        assert s.connect_ex((host, port)) == 110, "somebody answers"


def talk(host, port):
    s = socket.socket(family(host), socket.SOCK_DGRAM)
    s.connect((host, port))
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        s.send(b"x" * 30)


def tun(iface, n):
    import fcntl
    with open("/dev/net/tun", "r+b", buffering=0) as end:
        # TUNSETIFF with IFF_TUN and IFF_NO_PI
        fcntl.ioctl(end, 0x400454CA, struct.pack("16sH22x", iface.encode(), 0x1001))
        print("ready", flush=True)
        while n:
            packet = end.read(65536)
            if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_UDP:
                continue
            end.write(packet[:12] + packet[16:20] + packet[12:16] + packet[20:])
            n -= 1
        print("sent", flush=True)
        sys.stdin.read()


def sctp_serve(port):
    try:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    except OSError:
        print("none", flush=True)
        return
    listener.bind(("0.0.0.0", port))
    listener.listen()
    print("ready", flush=True)
    connection = listener.accept()[0]
    while connection.recv(1 << 16):
        pass


def sctp(host, port, n, size):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as s:
        s.connect((host, port))
        for _ in range(n):
            s.sendall(b"x" * size)


def refused(host, port, n):
    for _ in range(n):
        with socket.socket(family(host)) as s:
            assert s.connect_ex((host, port)) == 111, "not refused"


def udp(host, port, n, size):
    s = socket.socket(family(host), socket.SOCK_DGRAM)
    for _ in range(n):
        s.sendto(b"x" * size, (host, port))


def uso(host, port, n, size):
    s = socket.socket(family(host), socket.SOCK_DGRAM)
    s.setsockopt(SOL_UDP, UDP_SEGMENT, size)
    while n > 0:
        step = min(n, 40)
        s.sendto(b"x" * (size * step), (host, port))
        n -= step


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def ipv4(proto, payload, src="10.9.0.1", dst="10.9.0.2", options=b"", ident=1, frag=0):
    ihl = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | ihl, 0, ihl * 4 + len(payload), ident, frag, 64, proto, 0,
                       socket.inet_aton(src), socket.inet_aton(dst)) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(first, payload, src="fd09::1", dst="fd09::2"):
    return (struct.pack("!IHBB", 6 << 28, len(payload), first, 64) + socket.inet_pton(socket.AF_INET6, src)
            + socket.inet_pton(socket.AF_INET6, dst) + payload)


def udp_head(src, dst, payload):
    return struct.pack("!HHHH", src, dst, 8 + len(payload), 0) + payload


def tcp_head(src, dst, flags, payload=b"", options=b""):
    return struct.pack("!HHIIBBHHH", src, dst, 1, 1, (5 + len(options) // 4) << 4, flags, 1000, 0, 0) + options + payload


def ethernet(kind, payload, tags=()):
    frame = b"\x02\0\0\0\0\x02" + b"\x02\0\0\0\0\x01"
    for tag_kind, tag in tags:
        frame += struct.pack("!HH", tag_kind, tag)
    return frame + struct.pack("!H", kind) + payload


def frames(iface):
    inner = ethernet(0x0800, ipv4(6, tcp_head(7, 8, 0x10, b"z" * 77), "192.168.7.1", "192.168.7.2"))
    hop, dst_opts = bytes([60, 0, 1, 4, 0, 0, 0, 0]), bytes([17, 1] + [1, 12] + [0] * 12)
    frag = lambda nxt, off, more, ident: struct.pack("!BBHI", nxt, 0, off << 3 | more, ident)
    all_frames = [
        ethernet(0x0800, ipv4(17, udp_head(100, 200, b"a" * 50))),
        ethernet(0x0800, ipv4(17, udp_head(101, 200, b"a" * 50), options=b"\x01" * 12)),
        ethernet(0x0800, ipv4(6, tcp_head(102, 200, 0x18, b"b" * 33, b"\x01" * 12), options=b"\x01" * 40)),
        ethernet(0x0800, ipv4(132, struct.pack("!HHII", 103, 203, 1, 2) + b"c" * 20)),
        ethernet(0x0800, ipv4(1, b"\x08\0\0\0\0\x01\0\x01" + b"d" * 56)),
        ethernet(0x0800, ipv4(89, b"e" * 44)),
        ethernet(0x0800, ipv4(50, b"f" * 60)),
        ethernet(0x0800, ipv4(17, udp_head(104, 204, b"g" * 472), ident=77, frag=0x2000)),
        ethernet(0x0800, ipv4(17, b"g" * 480, ident=77, frag=0x2000 | 60)),
        ethernet(0x0800, ipv4(17, b"g" * 100, ident=77, frag=120)),
        ethernet(0x0800, ipv4(17, b"h" * 100, ident=78, frag=60)),
        ethernet(0x86DD, ipv6(17, udp_head(105, 205, b"i" * 10))),
        ethernet(0x86DD, ipv6(0, hop + dst_opts + udp_head(106, 206, b"j" * 30))),
        ethernet(0x86DD, ipv6(44, frag(17, 0, 1, 9) + udp_head(107, 207, b"k" * 92))),
        ethernet(0x86DD, ipv6(44, frag(17, 12, 0, 9) + b"k" * 40)),
        ethernet(0x86DD, ipv6(58, b"\x80\0\0\0" + b"l" * 60)),
        ethernet(0x0800, ipv4(17, udp_head(108, 208, b"m" * 40)), [(0x8100, 7)]),
        ethernet(0x86DD, ipv6(17, udp_head(109, 209, b"n" * 40)), [(0x88A8, 9), (0x8100, 7)]),
        ethernet(0x0800, ipv4(17, udp_head(110, 4789, b"\x08\0\0\0\0\0\x05\0" + inner))),
        ethernet(0x0800, ipv4(17, udp_head(111, 6081, b"\x02\0\x65\x58\0\0\x05\0" + b"\0" * 8 + inner))),
        ethernet(0x0800, ipv4(47, b"\x20\0\x65\x58\0\0\0\x09" + inner)),
        ethernet(0x0800, ipv4(4, ipv4(17, udp_head(112, 212, b"o" * 9), "172.16.0.1", "172.16.0.2"))),
        ethernet(0x0806, b"\0" * 46),
        ethernet(0x88CC, b"\0" * 46),
        ethernet(0x0800, b"\x45\0"),
    ]
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((iface, 0))
    for n, frame in enumerate(all_frames):
        for _ in range(n + 1):
            s.send(frame)


def inject():
    frame = ethernet(0x0800, ipv4(17, udp_head(120, 220, b"r" * 50), "10.99.0.1", "10.99.0.2"))
    print("ready", flush=True)
    for iface in sys.stdin:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind((iface.strip(), 0))
            for _ in range(5):
                s.send(frame)
        print("sent", flush=True)


def ping(host, n, size):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    s.settimeout(5)
    for sequence in range(n):
        head = struct.pack("!BBHHH", 8, 0, 0, 1, sequence) + b"q" * size
        s.sendto(head[:2] + struct.pack("!H", checksum(head)) + head[4:], (host, 0))
        s.recv(65536)


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def answer(question):
    kind = struct.unpack("!H", question[-4:-2])[0]
    address = socket.inet_aton("192.0.2.7") if kind == 1 else socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    alias = name("web.example.net")
    answers = (b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 300, len(alias)) + alias
               + alias + struct.pack("!HHIH", kind, 1, 60, len(address)) + address)
    return question[:2] + struct.pack("!HHHHH", 0x8180, 1, 2, 0, 0) + question[12:] + answers


def names():
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("", 53))
    tcp = socket.create_server(("", 53))
    print("ready", flush=True)
    open_sockets = [tcp, udp]
    while True:
        for ready in select.select(open_sockets, [], [])[0]:
            if ready is tcp:
                open_sockets.append(tcp.accept()[0])
            elif ready is udp:
                question, client = udp.recvfrom(512)
                udp.sendto(answer(question), client)
            elif question := ready.recv(512):
                said = answer(question[2:])
                ready.sendall(struct.pack("!H", len(said)) + said)
            else:
                ready.close()
                open_sockets.remove(ready)


def questions(first):
    for n in range(20):
        for kind in (1, 28):
            yield (struct.pack("!HHHHHH", first + n * 100 + kind, 0x0100, 1, 0, 0, 0) + name("www.Example.org")
                   + struct.pack("!HH", kind, 1))


def ask(host):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    for question in questions(0):
        s.sendto(question, (host, 53))
        s.recv(512)


def ask_tcp(host):
    with socket.create_connection((host, 53), 5) as s:
        for question in questions(5000):
            s.sendall(struct.pack("!H", len(question)) + question)
            s.recv(512)


def raw(iface, n):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    s.bind((iface, 0x0800))
    for _ in range(n):
        s.sendto(ipv4(17, udp_head(113, 213, b"p" * 100)), (iface, 0x0800, 0, 0, b""))


def main():
    what, *rest = sys.argv[1:]
    {"serve": serve, "tcp": tcp, "hold": hold, "refused": refused, "udp": udp, "uso": uso, "frames": frames, "inject": inject, "ping": ping, "names": names, "ask": ask, "ask_tcp": ask_tcp, "raw": raw, "stall": stall, "fill": fill, "more": more, "timeout": timeout, "talk": talk, "tun": tun, "sctp_serve": sctp_serve, "sctp": sctp}[what](
        *(int(word) if word.isdigit() else word for word in rest))


main()
