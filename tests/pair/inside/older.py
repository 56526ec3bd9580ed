# SPDX-License-Identifier: GPL-2.0-only
"""Runs in a guest, on the cable between two nodes: older.py PROTOCOL OWN-ADDRESS PORT PEER-ADDRESS PEER-PORT. Who connects
to PORT talks to the peer; in the packet that says what a node speaks, both appear to know no protocol newer than PROTOCOL,
and no features. Ends when it is killed."""

import struct
import sys

from relay import received, run

MAGIC_80 = 0x83740267
FEATURES, INITIAL_META, INITIAL_DATA = 0xFFFE, 0xFFF1, 0xFFF2


def exactly(source, count):
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            break
        data += more
    return data


def first_packets(source, protocol):
    """Piece by piece, what stands before the first packet in the header that was agreed on, changed where it must be."""
    while True:
        header = exactly(source, 8)
        yield header
        if len(header) < 8:
            return
        magic, command, length = struct.unpack(">IHH", header)
        if magic != MAGIC_80 or command not in (FEATURES, INITIAL_META, INITIAL_DATA):
            return
        body = exactly(source, length)
        if command == FEATURES:
            oldest, _, newest = struct.unpack_from(">III", body)
            yield struct.pack(">III", oldest, 0, min(newest, protocol)) + body[12:]
            return
        yield body
        if command == INITIAL_META:
            return


def pieces(source, protocol):
    yield from first_packets(source, protocol)
    yield from received(source)


def main():
    protocol, own, port, peer, peer_port = sys.argv[1:]
    run(own, int(port), (peer, int(peer_port)), lambda source: pieces(source, int(protocol)))


main()
