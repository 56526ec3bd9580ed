# SPDX-License-Identifier: GPL-2.0-only
"""A cpio archive in memory. The kernel unpacks several one after the other: ours follows that of the lab."""


def archive(files):
    """`files` are (path, mode, content); folders come before what is in them."""
    result = bytearray()
    for number, (path, mode, content) in enumerate([*files, ("TRAILER!!!", 0, b"")], start=1):
        name = path.encode() + b"\0"
        fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0]
        result += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        result += bytes(-len(result) % 4) + content
        result += bytes(-len(result) % 4)
    return bytes(result)
