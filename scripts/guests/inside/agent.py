# SPDX-License-Identifier: GPL-2.0-only
"""Runs commands for the host, inside a guest, over a port of the virtio console.

A frame is: command (u32), kind (u8), length (u32), all little-endian, then so many bytes. Commands run side by side.
Kept to few imports: every module costs start-up time on an emulated CPU.
"""

import os
import select
import struct
import time

HEADER = struct.Struct("<IBI")
RUN, INPUT, END_OF_INPUT, SIGNAL, READ = 1, 2, 3, 4, 5  # from the host
HELLO, OUTPUT, ERROR, EXIT = 10, 11, 12, 13  # to the host
CHUNK = 65536


class Command:
    """A process of the guest, its pipes, and what waits to be written to it."""

    def __init__(self, number, terminal, arguments):
        self.number = number
        self.pending = bytearray()
        self.input_ended = False
        if terminal:
            self.pid, master = fork_on_terminal(arguments)
            self.input, self.outputs = os.dup(master), {master: OUTPUT}
        else:
            self.pid, self.input, output, error = spawn(arguments)
            self.outputs = {output: OUTPUT, error: ERROR}
        self.pidfd = os.pidfd_open(self.pid)
        for descriptor in (self.input, *self.outputs):
            os.set_blocking(descriptor, False)

    def feed(self):
        """Writes what the process takes; closes its input when all is written and the host has ended it."""
        try:
            while self.pending:
                del self.pending[: os.write(self.input, self.pending[:CHUNK])]
        except BlockingIOError:
            return
        except OSError:
            self.pending.clear()
            self.input_ended = True
        if self.input_ended and self.input is not None:
            os.close(self.input)
            self.input = None

    def close(self):
        for descriptor in (self.input, self.pidfd, *self.outputs):
            if descriptor is not None:
                os.close(descriptor)


def spawn(arguments):
    """Starts a process in a session of its own; answers its number and our ends of its pipes."""
    (child_in, ours_in), (ours_out, child_out), (ours_err, child_err) = os.pipe(), os.pipe(), os.pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, child_in, 0),
        (os.POSIX_SPAWN_DUP2, child_out, 1),
        (os.POSIX_SPAWN_DUP2, child_err, 2),
    ]
    try:
        pid = os.posix_spawnp(arguments[0], arguments, os.environ, file_actions=actions, setsid=True)
    except OSError:
        for descriptor in (ours_in, ours_out, ours_err):
            os.close(descriptor)
        raise
    finally:
        for descriptor in (child_in, child_out, child_err):
            os.close(descriptor)
    return pid, ours_in, ours_out, ours_err


def fork_on_terminal(arguments):
    """Starts a process that has a terminal; answers its number and the other end of the terminal."""
    master, slave = os.openpty()
    pid = os.fork()
    if pid == 0:
        os.close(master)
        os.login_tty(slave)
        try:
            os.execvp(arguments[0], arguments)
        finally:
            os._exit(127)
    os.close(slave)
    return pid, master


class Agent:
    """The loop between the port and the processes."""

    def __init__(self, port):
        self.port = port
        self.received = bytearray()
        self.commands = {}

    def send(self, number, kind, data=b""):
        frame = memoryview(HEADER.pack(number, kind, len(data)) + data)
        while frame:
            frame = frame[os.write(self.port, frame) :]

    def handle(self, number, kind, data):
        if kind == RUN:
            terminal, *arguments = data.split(b"\0")
            try:
                self.commands[number] = Command(number, terminal == b"t", arguments)
            except OSError as error:
                self.send(number, ERROR, f"{arguments[0].decode()}: {error.strerror}\n".encode())
                self.send(number, EXIT, struct.pack("<i", 127))
            return
        if kind == READ:
            self.read_file(number, data)
            return
        command = self.commands.get(number)
        if command is None:
            return
        if kind == INPUT:
            command.pending += data
            command.feed()
        elif kind == END_OF_INPUT:
            command.input_ended = True
            command.feed()
        elif kind == SIGNAL:
            try:
                os.killpg(command.pid, data[0])
            except ProcessLookupError:
                pass

    def read_file(self, number, path):
        """As cat does, but no process is needed for it, which costs an emulated CPU a fiftieth of a second."""
        try:
            with open(path, "rb", buffering=0) as file:
                self.send(number, OUTPUT, file.readall())
            code = 0
        except OSError as error:
            self.send(number, ERROR, f"{path.decode()}: {error.strerror}\n".encode())
            code = 1
        self.send(number, EXIT, struct.pack("<i", code))

    def read_port(self):
        data = os.read(self.port, CHUNK)
        if not data:
            time.sleep(0.05)
        self.received += data
        while len(self.received) >= HEADER.size:
            number, kind, length = HEADER.unpack_from(self.received)
            if len(self.received) < HEADER.size + length:
                break
            data = bytes(self.received[HEADER.size : HEADER.size + length])
            del self.received[: HEADER.size + length]
            self.handle(number, kind, data)

    def read_output(self, command, descriptor):
        """Passes one piece of output on; answers whether there may be more."""
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # a terminal whose process has gone
            data = b""
        if data:
            self.send(command.number, command.outputs[descriptor], data)
            return True
        os.close(descriptor)
        del command.outputs[descriptor]
        return False

    def finish(self, command):
        """The process has ended. Others may still hold its pipes: what is in them now is all that is waited for."""
        for descriptor in list(command.outputs):
            while self.read_output(command, descriptor):
                pass
        _, status = os.waitpid(command.pid, 0)
        self.send(command.number, EXIT, struct.pack("<i", os.waitstatus_to_exitcode(status)))
        command.close()
        del self.commands[command.number]

    def loop(self):
        self.send(0, HELLO)
        while True:
            poll = select.poll()
            poll.register(self.port, select.POLLIN)
            owners = {}
            for command in self.commands.values():
                owners[command.pidfd] = command
                poll.register(command.pidfd, select.POLLIN)
                for descriptor in command.outputs:
                    owners[descriptor] = command
                    poll.register(descriptor, select.POLLIN)
                if command.pending and command.input is not None:
                    owners[command.input] = command
                    poll.register(command.input, select.POLLOUT)
            for descriptor, _ in poll.poll():
                if descriptor == self.port:
                    self.read_port()
                    continue
                command = owners[descriptor]
                if descriptor in command.outputs:
                    self.read_output(command, descriptor)
                elif descriptor == command.input:
                    command.feed()
                elif descriptor == command.pidfd:
                    self.finish(command)
                    break


def main():
    ports = "/sys/class/virtio-ports"
    for name in os.listdir(ports):
        with open(f"{ports}/{name}/name", encoding="ascii") as file:
            if file.read().strip() == "agent":
                Agent(os.open(f"/dev/{name}", os.O_RDWR | os.O_CLOEXEC)).loop()


main()
