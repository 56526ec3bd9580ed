# SPDX-License-Identifier: GPL-2.0-only
"""A network cable between two guests: a process of its own that passes frames, and can be told to lose or delay them.

Each end listens on a socket of its own, so either guest may go and come back.
"""

import collections
import os
import selectors
import socket
import struct
import subprocess
import sys
import time

QUEUE_LIMIT = 4 << 20


class Link:
    """The handle that a test holds."""

    def __init__(self, folder, name, spawn=subprocess.Popen):
        self.name = name
        self.ends = [folder / f"{name}-{end}.sock" for end in (0, 1)]
        self._taken = 0
        self._process = spawn(
            [sys.executable, "-I", __file__, *map(str, self.ends)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self._process.stdout.readline()

    def take_end(self):
        """The end for the next guest that this link goes to, as options for a qemu network device."""
        path = self.ends[self._taken]
        self._taken += 1
        return f"stream,server=off,addr.type=unix,addr.path={path}"

    def cut(self):
        """Loses every frame from now on, silently: neither side sees its carrier go."""
        self._tell("cut")

    def heal(self):
        """Passes frames again."""
        self._tell("heal")

    def delay(self, milliseconds):
        """Holds every frame back for so long, in both directions."""
        self._tell(f"delay {milliseconds}")

    def close(self):
        """Ends the process."""
        self._process.kill()
        self._process.wait()

    def _tell(self, order):
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        self._process.stdout.readline()


class DirectLink:
    """Two guests without a process between them, to measure speed. It cannot be cut, and does not outlive a power cut.

    The guest that was made first has to be started first.
    """

    def __init__(self, folder, name):
        self.name = name
        self._path = folder / f"{name}.sock"
        self._taken = 0

    def take_end(self):
        """As Link.take_end()."""
        self._taken += 1
        return f"stream,server={'on' if self._taken == 1 else 'off'},addr.type=unix,addr.path={self._path}"

    def close(self):
        """Nothing to end: the link goes with the guests."""


class _End:
    """One side: its listener, its guest, and what is on the way to that guest."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(1)
        self.guest = None
        self.received = bytearray()
        self.delayed = collections.deque()
        self.outgoing = bytearray()

    def drop_guest(self):
        if self.guest is not None:
            self.guest.close()
        self.guest = None
        self.received.clear()
        self.delayed.clear()
        self.outgoing.clear()

    def whole_frames(self):
        """Takes what has arrived up to the end of its last complete frame."""
        end = 0
        while len(self.received) - end >= 4:
            (length,) = struct.unpack_from(">I", self.received, end)
            if len(self.received) - end < 4 + length:
                break
            end += 4 + length
        frames = bytes(self.received[:end])
        del self.received[:end]
        return frames


class _Cable:
    """The process: frames from one end to the other, orders from standard input."""

    def __init__(self, paths):
        self.ends = [_End(path) for path in paths]
        self.is_cut = False
        self.delay = 0.0

    def run(self):
        print("ready", flush=True)
        while True:
            with selectors.DefaultSelector() as selector:
                selector.register(0, selectors.EVENT_READ, self.order)
                for end, other in (self.ends, self.ends[::-1]):
                    selector.register(end.listener, selectors.EVENT_READ, lambda end=end: self.accept(end))
                    if end.guest is not None:
                        events = selectors.EVENT_READ if len(other.outgoing) < QUEUE_LIMIT else 0
                        events |= selectors.EVENT_WRITE if end.outgoing else 0
                        if events:
                            selector.register(end.guest, events, (end, other))
                for key, events in selector.select(self.next_due()):
                    if callable(key.data):
                        key.data()
                        continue
                    end, other = key.data
                    if events & selectors.EVENT_WRITE:
                        self.write(end)
                    if events & selectors.EVENT_READ and end.guest is not None:
                        self.read(end, other)
            self.release_delayed()

    def order(self):
        line = os.read(0, 4096).decode()
        if not line:
            sys.exit()
        for order in line.splitlines():
            word, _, value = order.partition(" ")
            if word == "delay":
                self.delay = float(value) / 1000
            else:
                self.is_cut = word == "cut"
                for end in self.ends:
                    end.delayed.clear()
            print("done", flush=True)

    def accept(self, end):
        end.drop_guest()
        end.guest, _ = end.listener.accept()
        end.guest.setblocking(False)

    def read(self, end, other):
        try:
            data = end.guest.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            end.drop_guest()
            return
        end.received += data
        frames = end.whole_frames()
        if self.is_cut or other.guest is None or not frames:
            return
        if self.delay or other.delayed:
            other.delayed.append((time.monotonic() + self.delay, frames))
        else:
            other.outgoing += frames
            self.write(other)

    def write(self, end):
        if end.guest is None:
            end.outgoing.clear()
            return
        try:
            del end.outgoing[: end.guest.send(end.outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            end.drop_guest()

    def next_due(self):
        due = [end.delayed[0][0] for end in self.ends if end.delayed]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def release_delayed(self):
        now = time.monotonic()
        for end in self.ends:
            while end.delayed and end.delayed[0][0] <= now:
                end.outgoing += end.delayed.popleft()[1]
            if end.outgoing:
                self.write(end)


if __name__ == "__main__":
    try:
        _Cable(sys.argv[1:]).run()
    except KeyboardInterrupt:
        pass
