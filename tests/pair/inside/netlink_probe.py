# SPDX-License-Identifier: GPL-2.0-only
"""Runs in a guest: sends generic netlink messages that no tool would send, and prints what the driver answers to each."""

import errno
import socket
import struct

GENERIC, CONTROL, GET_FAMILY, REQUEST, ACK = 16, 16, 3, 1, 4
NESTED = 0x8000
MANDATORY = 0x4000  # a bit that drbd-utils set in the number of an attribute
NEW_RESOURCE, DELETE_RESOURCE, DOWN = 7, 8, 27
CONTEXT, OPTIONS = 2, 4
VOLUME, NAME, MY_ADDRESS = 1, 2, 3


def attribute(number, value):
    data = struct.pack("=HH", 4 + len(value), number) + value
    return data + bytes(-len(data) % 4)


def nested(number, *attributes):
    return attribute(number | NESTED, b"".join(attributes))


def name(text):
    return attribute(NAME, text + b"\0")


class Family:
    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, GENERIC)
        self.socket.settimeout(20)
        self.number = CONTROL
        answer = self.ask(GET_FAMILY, attribute(2, b"drbd\0"), version=1, header=b"", flags=REQUEST)
        self.number = dict(attributes(answer[20:]))[1][0]

    def ask(self, command, payload, version=1, header=struct.pack("=II", 0, 0), flags=REQUEST | ACK):
        message = struct.pack("=BBH", command, version, 0) + header + payload
        self.socket.send(struct.pack("=IHHII", 16 + len(message), self.number, flags, 1, 0) + message)
        return self.socket.recv(65536)

    def result(self, *arguments, **options):
        """The error of the kernel, or drbd's return code."""
        answer = self.ask(*arguments, **options)
        kind = struct.unpack_from("=H", answer, 4)[0]
        if kind == 2:
            number = -struct.unpack_from("=i", answer, 16)[0]
            return errno.errorcode.get(number, str(number)) if number else "acknowledged"
        if kind == 3:
            return "end of dump"
        while not self.socket.recv(65536)[4] == 2:
            pass
        return f"return code {struct.unpack_from('=i', answer, 24)[0]}"


def attributes(data):
    while len(data) >= 4:
        length, number = struct.unpack_from("=HH", data)
        yield number, data[4:length]
        data = data[max(4, length + -length % 4) :]


family = Family()
good = nested(CONTEXT, name(b"probe"))
cases = {
    "an unknown command": (200, good),
    "a version of the future": (NEW_RESOURCE, good, 77),
    "no context": (NEW_RESOURCE, b""),
    "an unknown attribute": (NEW_RESOURCE, good + attribute(99, b"what")),
    "an unknown attribute in the context": (NEW_RESOURCE, nested(CONTEXT, name(b"probe"), attribute(30, b"what"))),
    "an unknown mandatory attribute in the context": (NEW_RESOURCE, nested(CONTEXT, name(b"probe"), attribute(30 | MANDATORY, b"what"))),
    "an attribute of another command": (DOWN, good + nested(OPTIONS)),
    "a name without an end": (NEW_RESOURCE, nested(CONTEXT, attribute(NAME, b"probe"))),
    "a name that is too long": (NEW_RESOURCE, nested(CONTEXT, name(b"p" * 200))),
    "an empty name": (NEW_RESOURCE, nested(CONTEXT, name(b""))),
    "a volume of two bytes": (NEW_RESOURCE, nested(CONTEXT, name(b"probe"), attribute(VOLUME, b"ab"))),
    "an attribute longer than its message": (NEW_RESOURCE, good[:-3] + struct.pack("=HH", 4000, NAME)),
    "an attribute shorter than its head": (NEW_RESOURCE, nested(CONTEXT, struct.pack("=HH", 2, NAME))),
    "a context that is none": (NEW_RESOURCE, attribute(CONTEXT, b"\xff" * 7)),
    "an address that is too long": (NEW_RESOURCE, nested(CONTEXT, name(b"probe"), attribute(MY_ADDRESS, b"x" * 300))),
    "no header of drbd": (NEW_RESOURCE, b"", 1, b""),
    "half a header of drbd": (NEW_RESOURCE, b"", 1, b"abcd"),
}
for what, case in cases.items():
    print(f"{what}: {family.result(*case)}")
    family.result(DELETE_RESOURCE, good)  # where it was made
