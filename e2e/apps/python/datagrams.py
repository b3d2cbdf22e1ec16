# SPDX-License-Identifier: Apache-2.0
"""Datagrams of known size: echo PORT | send HOST PORT COUNT SIZE | ask SERVER NAME."""

import socket
import sys


def echo(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", int(port)))
    while True:
        data, sender = sock.recvfrom(65536)
        sock.sendto(data, sender)


def send(host, port, count, size):
    """Each datagram waits for its echo, so that none is dropped."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(5)
    sock.connect((host, int(port)))
    for _ in range(int(count)):
        sock.send(bytes(int(size)))
        assert len(sock.recv(65536)) == int(size)


def ask(server, name):
    """Asks for the IPv4 address of a name, and says nothing of the answer."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(5)
    sock.sendto(question, (server, 53))
    answer = sock.recv(512)
    assert answer[3] & 15 == 0 and answer[7] > 0, answer


{"echo": echo, "send": send, "ask": ask}[sys.argv[1]](*sys.argv[2:])
