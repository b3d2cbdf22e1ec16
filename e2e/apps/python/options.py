# SPDX-License-Identifier: Apache-2.0
"""The places of calls in TCP options of segments to PORT on the loopback interface, each once: options PORT."""

import socket
import struct
import sys

ETH_P_IP = 0x0800
# From linux/socket.h, for those who may.
SO_RCVBUFFORCE = 33
KIND, LENGTH = 25, 26


def options(segment):
    """Kind and value of each option of a TCP header."""
    at, end = 20, (segment[12] >> 4) * 4
    while at < end and segment[at]:
        if segment[at] == 1:
            at += 1
            continue
        length = max(segment[at + 1], 2)
        yield segment[at], segment[at + 2 : at + length]
        at += length


def main(port):
    heard = set()
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    sock.bind(("lo", ETH_P_IP))
    print("ready", flush=True)
    while True:
        packet = sock.recv(200)
        segment = packet[(packet[0] & 15) * 4 :]
        if packet[9] != socket.IPPROTO_TCP or struct.unpack("!H", segment[2:4])[0] != port:
            continue
        for kind, value in options(segment):
            if kind == KIND and len(value) == LENGTH - 2 and value not in heard:
                heard.add(value)
                print(value[:16].hex(), value[16:].hex(), flush=True)


main(int(sys.argv[1]))
