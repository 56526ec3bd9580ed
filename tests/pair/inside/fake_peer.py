# SPDX-License-Identifier: GPL-2.0-only
"""Runs in a guest in the place of a peer: fake_peer.py MODE OWN-ADDRESS ADDRESS PORT. It makes both connections of a DRBD
peer, misbehaves as MODE says, waits until the other side hangs up, and prints that it did."""

import os
import socket
import struct
import sys
import time

MAGIC_80, MAGIC_100 = 0x83740267, 0x8620EC20
DATA, BITMAP, STATE, PROTOCOL, UNKNOWN = 0x00, 0x04, 0x0E, 0x0B, 0x270F
FEATURES, INITIAL_META, INITIAL_DATA = 0xFFFE, 0xFFF1, 0xFFF2


def packet_80(command, payload=b""):
    return struct.pack(">IHH", MAGIC_80, command, len(payload)) + payload


def packet_100(command, payload=b"", length=None):
    return struct.pack(">IHHII", MAGIC_100, 0, command, len(payload) if length is None else length, 0) + payload


def features(lowest, highest):
    return packet_80(FEATURES, struct.pack(">III", lowest, 0, highest) + bytes(60))


SENT = {
    "another-protocol": features(200, 210),
    "no-features": packet_80(PROTOCOL, bytes(28)),
    "short-features": packet_80(FEATURES, bytes(8)),
    "unknown-packet": features(86, 101) + packet_100(UNKNOWN, b"what"),
    "endless-packet": features(86, 101) + packet_100(PROTOCOL, b"", 0xFFFFFFFF),
    "data-too-early": features(86, 101) + packet_100(DATA, bytes(24 + 4096)),
    "bitmap-too-early": features(86, 101) + packet_100(BITMAP, bytes(4096)),
    "state-too-early": features(86, 101) + packet_100(STATE, b"\xff" * 4),
    "short-protocol": features(86, 101) + packet_100(PROTOCOL, bytes(8)),
    "noise": features(86, 101) + os.urandom(4000),
}


def connect(own, address):
    while True:
        try:
            return socket.create_connection(address, 20, (own, 0))
        except OSError:
            time.sleep(0.2)


def hung_up(link):
    """Reads until the other side ends the connection."""
    link.settimeout(100)
    try:
        while link.recv(65536):
            pass
    except ConnectionError:
        pass


mode, own, address, port = sys.argv[1:]
data = connect(own, (address, int(port)))
data.sendall(packet_80(INITIAL_DATA))
meta = connect(own, (address, int(port)))
meta.sendall(packet_80(INITIAL_META))
data.sendall(SENT[mode])
hung_up(data)
print(f"{mode}: hung up")
