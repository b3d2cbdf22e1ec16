# SPDX-License-Identifier: Apache-2.0
"""Datagrams of known size: echo PORT | send HOST PORT COUNT SIZE | scatter HOST COUNT | ask SERVER NAME | wonder SERVER NAME."""

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


def scatter(host, count):
    """One datagram to each of so many ports."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for port in range(20000, 20000 + int(count)):
        sock.sendto(bytes(100), (host, port))


def question(name):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"


def wonder(server, name):
    """Asks, and does not wait for an answer."""
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(question(name), (server, 53))


def ask(server, name):
    """Asks for the IPv4 address of a name, and says nothing of the answer."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(5)
    sock.sendto(question(name), (server, 53))
    answer = sock.recv(512)
    assert answer[3] & 15 == 0 and answer[7] > 0, answer


{"echo": echo, "send": send, "scatter": scatter, "ask": ask, "wonder": wonder}[sys.argv[1]](*sys.argv[2:])
