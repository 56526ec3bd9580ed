# SPDX-License-Identifier: GPL-2.0-only
"""Runs in a guest, on the cable between two nodes: damage.py OWN-ADDRESS PORT PEER-ADDRESS PEER-PORT WORD... Who connects to PORT
talks to the peer. The first time that one of the words comes by, in either direction, one bit of it changes. Ends when it is
killed."""

import socket
import sys
import threading

lock = threading.Lock()


def damaged(data, words):
    """The data, with a bit of it changed for each word that has not come by before."""
    with lock:
        for word in [word for word in words if word in data]:
            words.remove(word)
            place = data.index(word)
            data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            print("damaged", word.decode(), flush=True)
    return data


def pump(source, target, words):
    try:
        while data := source.recv(1 << 16):
            target.sendall(damaged(data, words))
    except OSError:
        pass
    for each in (source, target):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(near, own, peer, words):
    far = socket.socket()
    try:
        far.bind((own, 0))
        far.connect(peer)
    except OSError:
        near.close()
        return
    for each in (near, far):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    back = threading.Thread(target=pump, args=(far, near, words), daemon=True)
    back.start()
    pump(near, far, words)
    back.join()
    near.close()
    far.close()


def main():
    own, port, peer, peer_port, *words = sys.argv[1:]
    words = [word.encode() for word in words]
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((own, int(port)))
    listener.listen(8)
    print("ready", flush=True)
    while True:
        near, _ = listener.accept()
        threading.Thread(target=serve, args=(near, own, (peer, int(peer_port)), words), daemon=True).start()


main()
