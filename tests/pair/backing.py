# SPDX-License-Identifier: GPL-2.0-only
"""The disks below DRBD, seen from the host: filled with content, compared byte by byte."""

import os
import random

MIB = 1 << 20


def fill(path, seed):
    """Content that differs in every block, and differs from that of any other seed."""
    size = os.stat(path).st_size
    pattern = bytearray(random.Random(seed).randbytes(MIB))
    with open(path, "r+b") as file:
        for number in range(size // MIB):
            for block in range(0, MIB, 4096):
                pattern[block : block + 4] = number.to_bytes(4, "little")
            file.write(pattern)


def erase(path):
    """Zeros, and no space taken."""
    size = os.stat(path).st_size
    os.truncate(path, 0)
    os.truncate(path, size)


def read(path, offset, length):
    """A piece of a disk."""
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)


def write(path, offset, data):
    """Changes a disk below whoever uses it."""
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def differing_blocks(one, other, size, block=4096):
    """Offsets of the blocks in the first `size` bytes that are not equal."""
    result = []
    with open(one, "rb") as first, open(other, "rb") as second:
        for start in range(0, size, MIB):
            length = min(MIB, size - start)
            left, right = first.read(length), second.read(length)
            if left == right:
                continue
            for offset in range(0, length, block):
                if left[offset : offset + block] != right[offset : offset + block]:
                    result.append(start + offset)
    return result
