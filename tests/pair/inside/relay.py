# SPDX-License-Identifier: GPL-2.0-only
"""For programs that run in a guest, on the cable between two nodes: who connects to a port talks to the peer, and what comes by may be
changed. Ends when it is killed."""

import socket
import threading


def received(source):
    """What comes, piece by piece, until nothing more does."""
    while data := source.recv(1 << 16):
        yield data


def pump(source, target, pieces):
    try:
        for piece in pieces(source):
            target.sendall(piece)
    except OSError:
        pass
    for each in (source, target):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(near, own, peer, pieces):
    far = socket.socket()
    try:
        far.bind((own, 0))
        far.connect(peer)
    except OSError:
        near.close()
        return
    for each in (near, far):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    back = threading.Thread(target=pump, args=(far, near, pieces), daemon=True)
    back.start()
    pump(near, far, pieces)
    back.join()
    near.close()
    far.close()


def run(own, port, peer, pieces):
    """Listens at `own` and `port`. `pieces` makes of a socket what is passed on of it, in either direction."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((own, port))
    listener.listen(8)
    print("ready", flush=True)
    while True:
        near, _ = listener.accept()
        threading.Thread(target=serve, args=(near, own, peer, pieces), daemon=True).start()
