# SPDX-License-Identifier: GPL-2.0-only
"""A backing disk with bad blocks, below either node: what on-io-error promises."""

import os

from ..config import Resource, Volume
from ..scenario import expect, expect_that, scenario

DISK = "/dev/nullb0"
FOLDER = "/sys/kernel/config/nullb/nullb0"
MAKE = f"""
modprobe null_blk nr_devices=0
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
if [ -d {FOLDER} ]; then echo 0 >{FOLDER}/power; rmdir {FOLDER}; fi
mkdir {FOLDER} && cd {FOLDER} && echo 64 >size && echo 1 >memory_backed && echo 1 >power
"""
BAD = 8 << 20  # where the bad blocks are, in bytes
GOOD = 2 << 20


def ready(c, primary=None, net=None, options=None, **disk):
    """Two nodes whose disks can be given bad blocks, UpToDate, the first one (or `primary`) Primary."""
    c.resources = (Resource(volumes=(Volume(disk=DISK),), net=net or {}, options=options or {}, disk=disk),)
    for node in c.nodes:
        node.run(MAKE)
        c.put_config(node)
        node.adm("create-md --force r0")
        node.adm("up r0")
    c.wait(connection="Connected")
    c.a.setup("new-current-uuid --clear-bitmap 0")
    c.wait(disk="UpToDate", peer_disk="UpToDate")
    (primary or c.a).adm("primary r0")


def spoil(node):
    """From now on 64 KiB of the disk cannot be read or written."""
    node.run(f"echo +{BAD >> 9}-{(BAD >> 9) + 127} >{FOLDER}/badblocks")


def mend(node):
    """The disk is whole again."""
    node.run(f"echo -{BAD >> 9}-{(BAD >> 9) + 127} >{FOLDER}/badblocks")


def write_fails(c, node):
    """A write that the disk of this node cannot take succeeds, and so do later ones; the disk returns and gets what it missed."""
    ready(c, **{"on-io-error": "detach"})
    spoil(node)
    data = os.urandom(65536)
    c.a.write(BAD, data)
    for each in c.nodes:
        disk, peer_disk = ("Diskless", "UpToDate") if each is node else ("UpToDate", "Diskless")
        each.wait(disk=disk, peer_disk=peer_disk)
    c.a.write(GOOD, data)
    for offset in (BAD, GOOD):
        expect_that(c.a.read(offset, 65536) == data, f"what was written at {offset}")
    mend(node)
    node.adm("attach r0")
    c.expect_same_content(DISK)
    expect_that(c.a.read(BAD, 65536) == data, "the Primary reads what it wrote")


@scenario()
def write_fails_on_the_secondary(c):
    """The Secondary gives its disk up, the application notices nothing; the disk returns and gets what it missed."""
    write_fails(c, c.b)


@scenario()
def write_fails_on_the_primary(c):
    """The Primary goes on with the disk of its peer: every write succeeds, every read is right."""
    write_fails(c, c.a)


@scenario()
def read_fails_on_the_primary(c):
    """A read that the own disk cannot answer is answered by the peer."""
    ready(c, **{"on-io-error": "detach"})
    data = os.urandom(65536)
    c.a.write(BAD, data)
    spoil(c.a)
    expect_that(c.a.read(BAD, 65536) == data, "the read is right")
    c.a.wait(disk="Diskless", peer_disk="UpToDate", role="Primary")
    mend(c.a)
    c.a.adm("attach r0")
    c.expect_same_content(DISK)


@scenario()
def error_is_passed_on(c):
    """With on-io-error pass_on the disk stays; while the peer has the data the application still notices nothing."""
    ready(c, **{"on-io-error": "pass_on"})
    data = os.urandom(65536)
    c.a.write(BAD, data)
    spoil(c.a)
    expect_that(c.a.read(BAD, 65536) == data, "the read is right")
    device = c.a.device()
    expect_that(device.disk != "Diskless", f"the disk stays: {device}")
    mend(c.a)


@scenario(nodes=1)
def no_disk_is_left(c):
    """Without a peer an error of the only disk reaches the application, and later I/O fails at once; the node lives."""
    c.resources = (Resource(volumes=(Volume(disk=DISK),), disk={"on-io-error": "detach"}),)
    c.a.run(MAKE)
    c.put_config(c.a)
    c.a.adm("create-md --force r0")
    c.a.adm("up r0")
    c.a.adm("primary --force r0")
    c.a.write(BAD, os.urandom(65536))
    spoil(c.a)
    c.a.run(f"! dd if=/dev/drbd0 of=/dev/null bs=64k skip={BAD >> 16} count=1 iflag=direct")
    c.a.wait(disk="Diskless", role="Primary")
    c.a.run(f"! dd if=/dev/drbd0 of=/dev/null bs=64k skip={GOOD >> 16} count=1 iflag=direct")
    mend(c.a)
    c.a.adm("down r0")


def disk_and_cable_go(c, peer_hears, **options):
    """Our node is Primary (the first one, if both are). A write finds its disk bad, and the cable is cut: before a word of that
    is sent, or when the peer has just heard it, and its own word is still on the way. The disk is mended then. Answers
    both nodes, ours first, what was acknowledged before, and the write as it runs."""
    node, other = c.ours_first()
    ready(c, node, {"ping-timeout": 60, "timeout": 80, "ping-int": 10}, options, **{"on-io-error": "detach"})
    data = os.urandom(65536)
    node.write(GOOD, data)
    before = other.uuids()[0]
    spoil(node)
    node.guest.put(data, "/tmp/data")
    if peer_hears:
        c.link.delay(2000)
    else:
        c.link.cut()
    late = node.spawn(f"dd if=/tmp/data of=/dev/drbd0 bs=64k seek={BAD >> 16} oflag=direct conv=notrunc status=none")
    if peer_hears:
        other.wait(peer_disk={"Failed", "Diskless"})
        c.link.cut()
        c.link.delay(0)
    for each, disk in ((node, "Diskless"), (other, "UpToDate")):
        each.wait(connection={"WFConnection", "Unconnected"}, disk=disk, peer_disk="DUnknown")
    expect(other.uuids()[0] != before, peer_hears, "the peer gave its data, which changed alone, another name")
    mend(node)
    return node, other, data, late


def waits_for_the_peer(c, peer_hears):
    """With suspend-io: the write waits, the own disk may not be taken for the newest data, and all goes on with that of the peer."""
    node, _, data, late = disk_and_cable_go(c, peer_hears, **{"on-no-data-accessible": "suspend-io"})
    expect_that(node.device().flags[0] == "s", f"suspended for lack of data: {node.device()}")
    expect_that(not late.ended, "the write waits")
    refused = node.adm("attach r0", check=False)
    expect_that(refused.code != 0 and b"(150)" in refused.stdout + refused.stderr, f"the own disk is refused: {refused}")
    c.link.heal()
    node.wait(connection="Connected", disk="Diskless", peer_disk="UpToDate", role="Primary")
    expect(late.wait(120).code, 0, "exit code of the write")
    expect_that(node.device().flags[0] == "r", f"not suspended any more: {node.device()}")
    for offset in (BAD, GOOD):
        expect_that(node.read(offset, 65536) == data, f"what was written at {offset}")
    node.adm("attach r0")
    c.expect_same_content(DISK)
    for offset in (BAD, GOOD):
        expect_that(node.read(offset, 65536) == data, f"what was written at {offset}, from the own disk")


@scenario()
def cable_goes_before_the_peer_hears(c):
    """Our Primary's disk fails on a cable that was just cut: writes wait, and go on with the peer's disk; its own one is no way out."""
    waits_for_the_peer(c, False)


@scenario()
def cable_goes_before_the_peer_answers(c):
    """The same when the peer has heard of it, and named its data anew: our Primary does not know that name, and goes on with it."""
    waits_for_the_peer(c, True)


@scenario()
def peer_takes_over_from_a_failed_disk(c):
    """Our Primary's disk and cable go: its last write fails. The peer takes over with all that was promised, and wins over the mended disk."""
    for peer_hears in (False, True):
        node, other, data, late = disk_and_cable_go(c, peer_hears)
        expect_that(late.wait(120).code != 0, "the write fails")
        node.adm("secondary r0")
        other.adm("primary r0")
        expect_that(other.read(GOOD, 65536) == data, "what was promised")
        newer = os.urandom(65536)
        other.write(GOOD, newer)
        c.link.heal()
        other.wait(connection="Connected", disk="UpToDate", peer_disk="Diskless", role="Primary")
        node.wait(connection="Connected", disk="Diskless", peer_disk="UpToDate")
        node.adm("attach r0")
        c.expect_same_content(DISK)
        expect_that(other.read(GOOD, 65536) == newer, "what was written since")
        for each in c.nodes:
            each.adm("down r0")


@scenario(nodes=1)
def bitmap_cannot_be_read(c):
    """A disk is refused whose bitmap cannot be read, nothing of it is kept, and it attaches when it can be read again."""
    c.resources = (Resource(volumes=(Volume(disk=DISK),)),)
    c.a.run(MAKE)
    c.put_config(c.a)
    c.a.adm("create-md --force r0")
    c.a.setup("new-resource r0")
    c.a.setup("new-minor r0 0 0")
    # 4 KiB of bitmap, 32 KiB of activity log and 4 KiB of superblock end the disk.
    first = (64 << 20 >> 9) - 80
    attach = f"drbdsetup attach 0 {DISK} {DISK} internal"
    c.a.run(attach)
    c.a.wait(disk="Inconsistent")
    c.a.adm("detach r0")
    c.a.adm("apply-al r0")
    c.a.run(f"echo +{first}-{first + 7} >{FOLDER}/badblocks")
    for _ in range(3):
        c.a.refuses(attach, 10, "0: Failure: (118) IO error(s) occurred during initial access to meta-data.")
        expect(c.a.device().connection, "Unconfigured", "without its disk")
    c.a.run(f"echo -{first}-{first + 7} >{FOLDER}/badblocks")
    c.a.run(attach)
    c.a.wait(disk="Inconsistent")
    c.a.adm("down r0")
