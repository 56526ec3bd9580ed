# SPDX-License-Identifier: GPL-2.0-only
"""Runs in a guest, on the cable between two nodes: older.py PROTOCOL OWN-ADDRESS PORT PEER-ADDRESS PEER-PORT. Who connects
to PORT talks to the peer; in the packet that says what a node speaks, both appear to know no protocol newer than PROTOCOL,
and no features. Ends when it is killed."""

import socket
import struct
import sys
import threading

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


def pump(source, target, protocol):
    try:
        for piece in first_packets(source, protocol):
            target.sendall(piece)
        while data := source.recv(1 << 16):
            target.sendall(data)
    except OSError:
        pass
    for each in (source, target):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(near, protocol, own, peer):
    far = socket.socket()
    try:
        far.bind((own, 0))
        far.connect(peer)
    except OSError:
        near.close()
        return
    for each in (near, far):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    back = threading.Thread(target=pump, args=(far, near, protocol), daemon=True)
    back.start()
    pump(near, far, protocol)
    back.join()
    near.close()
    far.close()


def main():
    protocol, own, port, peer, peer_port = sys.argv[1:]
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((own, int(port)))
    listener.listen(8)
    print("ready", flush=True)
    while True:
        near, _ = listener.accept()
        threading.Thread(target=serve, args=(near, int(protocol), own, (peer, int(peer_port))), daemon=True).start()


main()
