# SPDX-License-Identifier: GPL-2.0-only
"""The host's side of the agent in a guest (inside/agent.py): commands, their output, their exit codes."""

import dataclasses
import signal
import socket
import struct
import threading
import time

HEADER = struct.Struct("<IBI")
RUN, INPUT, END_OF_INPUT, SIGNAL, READ = 1, 2, 3, 4, 5  # to the guest
HELLO, OUTPUT, ERROR, EXIT = 10, 11, 12, 13  # from the guest
CHUNK = 65536


class GuestLost(Exception):
    """The guest is gone: its power was cut, or it crashed."""


class TimeLimit(Exception):
    """A command, or the start of a guest, took longer than it was given."""


class CommandFailed(Exception):
    """A command ended with another exit code than 0."""


@dataclasses.dataclass
class Result:
    """What a command left behind. A code below 0 is the signal that ended it."""

    command: str
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self):
        """Standard output as text, without the last line end."""
        return self.stdout.decode(errors="replace").rstrip("\n")

    def check(self):
        """Raises CommandFailed where the code is not 0."""
        if self.code != 0:
            output = (self.stdout + self.stderr).decode(errors="replace").strip()
            raise CommandFailed(f"exit code {self.code} from: {self.command}\n{output}")
        return self


class Running:
    """A command that runs in a guest."""

    def __init__(self, channel, number, command, on_output=None):
        self.command = command
        self._channel = channel
        self._number = number
        self._on_output = on_output
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._ended = threading.Event()
        self._code = None

    @property
    def ended(self):
        """Whether the command has ended, or its guest is gone."""
        return self._ended.is_set()

    def output_so_far(self):
        """Standard output that has arrived."""
        return bytes(self._stdout)

    def write(self, data, end=False):
        """Sends bytes to standard input; `end` closes it after them."""
        for start in range(0, len(data), CHUNK):
            self._channel.send(self._number, INPUT, data[start : start + CHUNK])
        if end:
            self._channel.send(self._number, END_OF_INPUT)

    def kill(self, number=signal.SIGKILL):
        """Sends a signal to the command and to all in its session's process group."""
        self._channel.send(self._number, SIGNAL, bytes([number]))

    def wait(self, timeout):
        """Waits for the end; past the limit in seconds the command is killed and TimeLimit raised."""
        if not self._ended.wait(timeout):
            self.kill()
            self._ended.wait(2)
            output = bytes(self._stdout + self._stderr).decode(errors="replace").strip()
            raise TimeLimit(f"not done after {timeout} s: {self.command}\n{output}")
        if self._code is None:
            raise GuestLost(f"{self._channel.name} went down during: {self.command}")
        return Result(self.command, self._code, bytes(self._stdout), bytes(self._stderr))

    def _received(self, kind, data):
        if kind == EXIT:
            (self._code,) = struct.unpack("<i", data)
            self._ended.set()
        elif self._on_output is not None:
            self._on_output(data)
        elif kind == OUTPUT:
            self._stdout += data
        elif kind == ERROR:
            self._stderr += data


class Channel:
    """The connection to the agent of one guest, from its start to its end."""

    def __init__(self, name, path):
        self.name = name
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._connection = None
        self._lock = threading.Lock()
        self._commands = {}
        self._next = 1
        self._ready = threading.Event()
        self._lost = threading.Event()

    def accept(self, timeout):
        """Waits for the virtual machine to connect; the agent may say hello long after."""
        self._listener.settimeout(timeout)
        self._connection, _ = self._listener.accept()
        self._listener.close()
        threading.Thread(target=self._read, name=f"channel {self.name}", daemon=True).start()

    def wait_ready(self, timeout):
        """Waits until the agent answers. True when it does, False after the time, GuestLost when it never will."""
        deadline = time.monotonic() + timeout
        while not self._ready.wait(0.05):
            if self._lost.is_set():
                raise GuestLost(f"{self.name} went down while it started")
            if time.monotonic() > deadline:
                return False
        return True

    @property
    def lost(self):
        """Whether the guest is gone."""
        return self._lost.is_set()

    def start(self, command, terminal=False, on_output=None):
        """Starts a command: a string for the shell, or a list of arguments."""
        arguments = ["/bin/sh", "-c", command] if isinstance(command, str) else [str(word) for word in command]
        words = "\0".join(["t" if terminal else "p", *arguments])
        return self._begin(RUN, words, command if isinstance(command, str) else " ".join(arguments), on_output)

    def read(self, path):
        """Starts to read a file; what it holds is the output. The agent does nothing else meanwhile: not for files that let one wait."""
        return self._begin(READ, str(path), f"read {path}")

    def _begin(self, kind, words, title, on_output=None):
        with self._lock:
            number, self._next = self._next, self._next + 1
            running = Running(self, number, title, on_output)
            self._commands[number] = running
        self.send(number, kind, words.encode())
        if self._lost.is_set():
            running._ended.set()
        return running

    def send(self, number, kind, data=b""):
        """Sends one frame; raises GuestLost where nobody is there to read it."""
        try:
            with self._lock:
                self._connection.sendall(HEADER.pack(number, kind, len(data)) + data)
        except (OSError, AttributeError) as error:
            raise GuestLost(f"{self.name} is not running") from error

    def close(self):
        """Ends the connection; commands that still run count as lost."""
        self._listener.close()
        if self._connection is not None:
            try:
                self._connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _read(self):
        received = bytearray()
        while True:
            try:
                data = self._connection.recv(CHUNK)
            except OSError:
                data = b""
            if not data:
                break
            received += data
            while len(received) >= HEADER.size:
                number, kind, length = HEADER.unpack_from(received)
                if len(received) < HEADER.size + length:
                    break
                payload = bytes(received[HEADER.size : HEADER.size + length])
                del received[: HEADER.size + length]
                if kind == HELLO:
                    self._ready.set()
                    continue
                running = self._commands.get(number)
                if running is not None:
                    running._received(kind, payload)
                    if kind == EXIT:
                        del self._commands[number]
        self._lost.set()
        self._connection.close()
        for running in list(self._commands.values()):
            running._ended.set()
