# SPDX-License-Identifier: GPL-2.0-only
"""Discards and write-zeroes of any size and place, from both nodes: both disks end equal."""

import os

from .. import wire
from ..config import Resource
from ..scenario import expect, expect_that, scenario

MIB = 1 << 20
# Offset and length: whole units, odd ends, single sectors, across extents of the activity log, long.
RANGES = [(4 * MIB, MIB), (9 * MIB + 512, 512), (10 * MIB + 512, MIB - 1024), (12 * MIB - 4096, 8192), (15 * MIB + 1536, 5 * MIB + 512), (24 * MIB, 16 * MIB)]


def discards(node):
    """Discards that the disk below has done. Zeroes count as writes."""
    return int(node.file("/sys/block/vdb/stat").split()[11])


def clear(c, node, minor=0):
    """Discards and zeroes ranges of a device full of data, and looks at what is left."""
    size = node.size(minor)
    before = node.read(0, size, minor=minor)
    expected = bytearray(before)
    for number, (start, length) in enumerate(RANGES):
        # write-zeroes promises zeros; a discard only that both nodes have the same.
        zeroes = number % 2 == 0
        node.run(f"blkdiscard {'-z ' if zeroes else ''}-o {start} -l {length} /dev/drbd{minor}")
        if zeroes:
            expected[start : start + length] = bytes(length)
    node.run(f"echo 3 >/proc/sys/vm/drop_caches; blockdev --flushbufs /dev/drbd{minor}")
    after = node.read(0, size, minor=minor)
    for number, (start, length) in enumerate(RANGES):
        if number % 2:
            expected[start : start + length] = after[start : start + length]
    expect_that(bytes(expected) == after, "zeros where zeros were asked for, and all else as it was")


@scenario()
def ranges(c):
    """blkdiscard and blkdiscard -z on the Primary, then on the other node as Primary."""
    c.ready()
    for node, other in ((c.a, c.b), (c.b, c.a)):
        node.adm("primary r0")
        other.wait(peer="Primary")
        node.write(0, os.urandom(40 * MIB))
        clear(c, node)
        node.adm("secondary r0")
        c.expect_equal()


@scenario()
def without_trust_in_discards(c):
    """discard-zeroes-if-aligned no: the peer's discards become zeros, and with yes discards; one's own are discards."""
    for trust in ("yes", "no"):
        c.ready(Resource(disk={"discard-zeroes-if-aligned": trust}))
        c.a.adm("primary r0")
        c.a.write(0, os.urandom(40 * MIB))
        before = [discards(node) for node in c.nodes]
        clear(c, c.a)
        c.expect_equal()
        seen = [discards(node) - old for node, old in zip(c.nodes, before)]
        expect([count > 0 for count in seen], [True, trust == "yes"], f"discards on the disks of both, with {trust}: {seen}; there are some")
        c.a.adm("down r0")
        c.b.adm("down r0")


@scenario()
def unconfirmed(c):
    """Protocols A and B: discards and zeroes go to the peer as such, in the order of all writes."""
    for protocol in ("A", "B"):
        c.ready(Resource(net={"protocol": protocol}))
        c.a.adm("primary r0")
        c.a.write(0, os.urandom(40 * MIB))
        before = discards(c.b)
        clear(c, c.a)
        c.expect_equal()
        expect_that(discards(c.b) > before, f"protocol {protocol}: the peer's disk discards")
        c.a.adm("down r0")
        c.b.adm("down r0")


@scenario()
def without_a_disk(c):
    """A Primary without a disk discards and zeroes on its peer's, and has the same when its own is back."""
    c.ready()
    c.a.adm("primary r0")
    c.a.write(0, os.urandom(40 * MIB))
    c.a.adm("detach r0")
    c.a.wait(disk="Diskless", peer_disk="UpToDate", connection="Connected")
    before = [discards(node) for node in c.nodes]
    clear(c, c.a)
    seen = [discards(node) - old for node, old in zip(c.nodes, before)]
    expect([count > 0 for count in seen], [False, True], f"discards on the disks of both: {seen}; there are some")
    c.a.adm("attach r0")
    c.expect_equal()


@scenario()
def while_the_peer_is_away(c):
    """What a Primary alone discarded and zeroed is marked, and all of it is resynced; either node is the Primary."""
    c.ready()
    for node, other in ((c.a, c.b), (c.b, c.a)):
        node.adm("primary r0")
        node.write(0, os.urandom(40 * MIB))
        other.adm("disconnect r0")
        node.wait(connection="WFConnection")
        clear(c, node)
        # Each block of which a sector changed, and no other.
        blocks = set()
        for start, length in RANGES:
            blocks.update(range(start // 4096, (start + length - 1) // 4096 + 1))
        expect(node.device().out_of_sync, 4 * len(blocks), "KiB out of sync")
        other.adm("connect r0")
        c.expect_equal()
        node.adm("secondary r0")


@scenario()
def thin_resync(c):
    """rs-discard-granularity: what is all zeros on the source is not copied, and reads as zeros; either node is the target."""
    unit = 16 << 10
    c.ready(Resource(disk={"rs-discard-granularity": unit, "c-plan-ahead": 0, "resync-rate": "20M", "c-min-rate": 0}))
    for node, other in ((c.a, c.b), (c.b, c.a)):
        node.adm("primary r0")
        node.write(0, os.urandom(8 * MIB))
        other.adm("disconnect r0")
        node.wait(connection="WFConnection")
        node.write(MIB, bytes(4 * MIB))
        node.write(3 * MIB + 5 * unit, b"\1" + bytes(511))  # a single byte that is none
        node.write(6 * MIB, os.urandom(MIB))
        capture = wire.Capture(node)
        other.adm("connect r0")
        c.expect_equal()
        seen = capture.stop()
        zeros = sum(packet.numbers("QI")[1] for packet in seen if packet.command == wire.DEALLOCATED)
        # The kernel's own driver asks for less than a unit where a tick of its controller ends.
        least = 4 * MIB - unit if other.driver == "rust" else 3 * MIB
        expect_that(least <= zeros <= 4 * MIB - unit, f"bytes of zeros that {node.name} told of: {zeros}")
        expect_that(any(packet.command == wire.THIN_REQUEST for packet in seen), f"{other.name} asked for them")
        expect(other.device().out_of_sync, 0, "blocks out of sync")
        node.adm("secondary r0")


@scenario()
def file_system(c):
    """ext4 with fstrim, before and after a change of roles."""
    c.ready()
    for node in c.nodes:
        node.run("mkdir -p /mnt/drbd")
        node.adm("primary r0")
        if node is c.a:
            node.run("mkfs.ext4 -q -E discard /dev/drbd0", 120)
        node.run("mount /dev/drbd0 /mnt/drbd && dd if=/dev/urandom of=/mnt/drbd/a bs=1M count=20 status=none && sync && rm /mnt/drbd/a && sync && fstrim -v /mnt/drbd && cp -r /etc /mnt/drbd/$(hostname) && sync")
        node.run("umount /mnt/drbd && fsck.ext4 -fn /dev/drbd0")
        node.adm("secondary r0")
        c.expect_equal()


@scenario()
def what_is_offered(c):
    """Discards are offered where the disk below has them; zeroes always."""
    c.ready()
    for node in c.nodes:
        offered, below, zeroes = node.text("cd /sys/block && cat drbd0/queue/discard_max_bytes vdb/queue/discard_max_bytes drbd0/queue/write_zeroes_max_bytes").split()
        expect(offered != "0", below != "0", f"{node.name}: discards are offered")
        expect_that(zeroes != "0", f"{node.name}: write-zeroes is offered")
