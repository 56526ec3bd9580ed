# SPDX-License-Identifier: GPL-2.0-only
"""Runs in a guest, on the cable between two nodes: damage.py OWN-ADDRESS PORT PEER-ADDRESS PEER-PORT WORD... Who connects to PORT
talks to the peer. The first time that one of the words comes by, in either direction, one bit of it changes. Ends when it is
killed."""

import sys
import threading

from relay import received, run

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


def main():
    own, port, peer, peer_port, *words = sys.argv[1:]
    words = [word.encode() for word in words]
    run(own, int(port), (peer, int(peer_port)), lambda source: (damaged(data, words) for data in received(source)))


main()
