# SPDX-License-Identifier: GPL-2.0-only
"""Two resources in one guest, connected to each other over 127.0.0.1: the cheapest proof that replication works."""

import os

from .. import backing
from ..config import Resource, Volume
from ..scenario import Failed, expect, expect_that, scenario

LEFT, RIGHT = 0, 1
ADDRESSES = {LEFT: "127.0.0.1:7001", RIGHT: "127.0.0.1:7002"}
NAMES = {LEFT: "left", RIGHT: "right"}


def resources(**options):
    """left on /dev/vdb and right on /dev/vdc, each the peer of the other. drbdadm allows an address once in a file."""
    return [
        Resource(NAMES[side], volumes=(Volume(0, side, ["/dev/vdb", "/dev/vdc"][side]),),
                 addresses=(("alpha", ADDRESSES[side]), ("mirror", ADDRESSES[1 - side])), **options)
        for side in (LEFT, RIGHT)
    ]  # fmt: skip


def up(c, **options):
    """Both up and connected, each with other content below."""
    c.configure(*resources(**options))
    backing.fill(c.backing(c.a, "/dev/vdc"), "right")
    c.a.adm("create-md --force right")
    for side in (LEFT, RIGHT):
        c.a.adm(f"up {NAMES[side]}")
    wait(c, connection="Connected")


def wait(c, **wanted):
    """Waits for both sides."""
    for side in (LEFT, RIGHT):
        c.a.wait(side, **wanted)


def expect_equal(c):
    """Both UpToDate and equal byte by byte."""
    wait(c, connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)
    size = c.a.size(LEFT)
    expect(c.a.size(RIGHT), size, "size of both")
    paths = [c.backing(c.a, disk) for disk in ("/dev/vdb", "/dev/vdc")]
    if blocks := backing.differing_blocks(*paths, size):
        raise Failed(f"{len(blocks)} blocks differ, first at {blocks[0]}")


def synced(c, **options):
    """Connected and UpToDate without a full sync: both get the same content first."""
    c.configure(*resources(**options))
    backing.fill(c.backing(c.a, "/dev/vdb"), "same")
    backing.fill(c.backing(c.a, "/dev/vdc"), "same")
    for side in (LEFT, RIGHT):
        c.a.adm(f"create-md --force {NAMES[side]}")
        c.a.adm(f"up {NAMES[side]}")
    wait(c, connection="Connected")
    c.a.setup(f"new-current-uuid --clear-bitmap {LEFT}")
    wait(c, disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)


@scenario(nodes=1)
def connect(c):
    """Two fresh sides find each other and stay Inconsistent."""
    up(c)
    wait(c, role="Secondary", peer="Secondary", disk="Inconsistent", peer_disk="Inconsistent")
    c.a.adm("disconnect left")
    c.a.wait(LEFT, connection="StandAlone")
    c.a.wait(RIGHT, connection="WFConnection")
    c.a.adm("connect left")
    wait(c, connection="Connected")


@scenario(nodes=1)
def skip_initial_sync(c):
    """new-current-uuid --clear-bitmap makes both UpToDate at once."""
    synced(c)
    expect_that("Began resync" not in c.a.log(), "no resync")
    expect(c.a.uuids(LEFT)[0], c.a.uuids(RIGHT)[0], "current identifier of both")
    expect_equal(c)


@scenario(nodes=1)
def full_sync(c):
    """The first sync copies everything."""
    up(c)
    c.a.adm("primary --force left")
    wait(c, connection={"SyncSource", "SyncTarget", "Connected"})
    expect_equal(c)
    expect_that("(will sync 65496 KB [16374 bits set])" in c.a.log(), "the log tells how much is synced")


@scenario(nodes=1)
def replicate(c):
    """Writes of all sizes reach the other side while they are made."""
    synced(c)
    c.a.adm("primary left")
    c.a.wait(RIGHT, peer="Primary")
    data = os.urandom(1 << 20)
    c.a.write(3 << 20, data)
    expect_that(backing.read(c.backing(c.a, "/dev/vdc"), 3 << 20, len(data)) == data, "the peer has what was acknowledged")
    c.a.fio("--rw=randwrite", "--bsrange=512-256k", "--blockalign=512", "--size=32m", "--iodepth=16", "--verify=crc32c", "--verify_fatal=1")
    c.a.fio("--rw=randwrite", "--bs=4k", "--size=4m", "--iodepth=1", "--fsync=8")
    expect_equal(c)


@scenario(nodes=1)
def only_changes_are_resynced(c):
    """After a disconnect, exactly the blocks that were written meanwhile are copied."""
    synced(c)
    c.a.adm("primary left")
    c.a.adm("disconnect right")
    c.a.wait(LEFT, connection="WFConnection")
    for block in range(0, 40, 2):
        c.a.write(block << 20, os.urandom(8192))
    c.a.wait(LEFT, out_of_sync=20 * 8)
    c.a.adm("connect right")
    expect_equal(c)
    expect_that("(will sync 160 KB [40 bits set])" in c.a.log(), "the log tells that 160 KB are synced")


@scenario(nodes=1)
def switch_over(c):
    """The role goes to the other side, and the data is there."""
    synced(c)
    c.a.adm("primary left")
    data = os.urandom(65536)
    c.a.write(1 << 20, data)
    c.a.refuses("drbdadm primary right", 11, "1: State change failed: (-1) Multiple primaries not allowed by config")
    c.a.adm("secondary left")
    c.a.adm("primary right")
    expect_that(c.a.read(1 << 20, len(data), minor=RIGHT) == data, "what left wrote")
    other = os.urandom(65536)
    c.a.write(2 << 20, other, minor=RIGHT)
    c.a.adm("secondary right")
    c.a.adm("primary left")
    expect_that(c.a.read(2 << 20, len(other), minor=LEFT) == other, "what right wrote")
    expect_equal(c)


@scenario(nodes=1)
def sync_under_load(c):
    """A full sync while the Primary is written to."""
    up(c, disk={"c-min-rate": "4M"})
    c.a.adm("primary --force left")
    c.a.fio("--rw=randwrite", "--bs=4k", "--size=8m", "--iodepth=8", "--verify=crc32c", "--verify_fatal=1")
    expect_equal(c)


@scenario(nodes=1)
def diskless_primary(c):
    """A Primary without a disk reads and writes on its peer, whose disk is not to be invalidated; attached again, it gets what changed."""
    synced(c)
    c.a.adm("primary left")
    c.a.adm("detach left")
    c.a.wait(LEFT, disk="Diskless", peer_disk="UpToDate")
    c.a.wait(RIGHT, disk="UpToDate", peer_disk="Diskless")
    if c.a.driver == "rust":
        c.a.refuses("drbdadm invalidate right", 11, "1: State change failed: (-5) Can not resync without remote disk")
    else:
        c.a.adm("invalidate right")  # does nothing, and says that it is done
    c.a.wait(RIGHT, disk="UpToDate", peer_disk="Diskless")
    data = os.urandom(1 << 20)
    c.a.write(7 << 20, data)
    expect_that(c.a.read(7 << 20, len(data)) == data, "what was written through the peer")
    c.a.adm("attach left")
    expect_equal(c)
