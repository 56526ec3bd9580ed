# SPDX-License-Identifier: GPL-2.0-only
"""The first sync, and the ways to ask for another one."""

import os

from .. import backing
from ..config import Resource
from ..scenario import expect, expect_in, expect_that, scenario


@scenario()
def first_full_sync(c):
    """Fresh metadata, one side promoted by force: everything is copied, and /proc/drbd shows how far it is."""
    c.up()
    c.a.wait(disk="Inconsistent", peer_disk="Inconsistent", role="Secondary", peer="Secondary")
    c.a.adm("primary --force r0")
    device = c.a.wait(connection="SyncSource", role="Primary", disk="UpToDate", peer_disk="Inconsistent")
    expect_that("sync'ed:" in device.progress and "speed:" in device.progress, f"/proc/drbd shows the progress: {device}")
    c.b.wait(connection={"SyncTarget", "Connected"}, peer="Primary")
    c.expect_equal()
    expect_in("Began resync as SyncSource (will sync 65496 KB [16374 bits set]).", c.a.log(), "log")
    expect_in("Resync done (total", c.a.log(), "log")
    expect(c.a.uuids()[0], c.b.uuids()[0], "current identifier of both")
    expect(c.a.uuids()[1], 0, "bitmap identifier after the sync")


@scenario()
def skip_initial_sync(c):
    """Equal disks are declared UpToDate on both nodes without copying."""
    c.ready()
    expect_that("Began resync" not in c.a.log() + c.b.log(), "no resync")
    expect(c.a.uuids()[0], c.b.uuids()[0], "current identifier of both")
    c.expect_equal()


@scenario()
def invalidate(c):
    """A node throws its own data away and gets the peer's."""
    c.ready()
    backing.write(c.backing(c.b, "/dev/vdb"), 10 << 20, os.urandom(4096))
    c.b.adm("invalidate r0")
    c.expect_equal()
    expect_in("(will sync 65496 KB [16374 bits set])", c.b.log(), "log")
    c.a.adm("primary r0")
    c.a.adm("invalidate r0")
    c.expect_equal()
    expect_in("(will sync 65496 KB [16374 bits set])", c.a.log(), "log of the Primary that did it")


@scenario()
def invalidate_remote(c):
    """A node gives all its data to the peer once more."""
    c.ready()
    backing.write(c.backing(c.b, "/dev/vdb"), 20 << 20, os.urandom(4096))
    c.a.adm("primary r0")
    c.a.adm("invalidate-remote r0")
    c.expect_equal()
    expect_in("Began resync as SyncSource (will sync 65496 KB [16374 bits set]).", c.a.log(), "log")


@scenario()
def pause_and_resume(c):
    """A sync stops on demand, on either node, and goes on when nobody asks for the pause any more."""
    c.ready(Resource(disk={"c-max-rate": "4M"}))
    c.a.adm("invalidate-remote r0")
    c.a.wait(connection="SyncSource")
    c.a.adm("pause-sync r0")
    c.a.wait(connection="PausedSyncS")
    c.b.wait(connection="PausedSyncT")
    c.a.refuses("drbdadm pause-sync r0", 10, "0: Failure: (134) Sync-pause flag is already set")
    c.b.adm("pause-sync r0")
    c.a.adm("resume-sync r0")
    left = c.b.wait(connection="PausedSyncT").out_of_sync
    expect_that(left > 0, f"blocks are left to sync: {left}")
    c.a.run("sleep 2")
    expect(c.b.device().out_of_sync, left, "out of sync while paused")
    c.b.adm("resume-sync r0")
    c.b.refuses("drbdadm resume-sync r0", 10, "0: Failure: (135) Sync-pause flag is already cleared")
    c.expect_equal()


@scenario()
def sync_goes_on_where_it_was(c):
    """A sync that is cut does not start again: what was copied stays copied."""
    c.up(Resource(disk={"c-max-rate": "6M"}))
    c.a.adm("primary --force r0")
    device = c.b.wait(connection="SyncTarget", out_of_sync=set(range(1, 45000)))
    c.b.adm("disconnect r0")
    c.b.wait(connection="StandAlone", disk="Inconsistent")
    left = c.b.device().out_of_sync
    expect_that(0 < left <= device.out_of_sync, f"out of sync after the cut: {left}")
    c.b.adm("connect r0")
    c.expect_equal()
    syncs = [int(line.split("(will sync ")[1].split()[0]) for line in c.a.log().splitlines() if "(will sync " in line]
    expect(len(syncs), 2, "syncs")
    expect_that(syncs[0] == 65496 and syncs[1] < 50000, f"KiB of the two syncs: {syncs}")


@scenario()
def sync_survives_down(c):
    """The target goes down and comes up in the middle: the sync goes on where it was."""
    c.up(Resource(disk={"c-max-rate": "6M"}))
    c.a.adm("primary --force r0")
    c.b.wait(connection="SyncTarget", out_of_sync=set(range(1, 45000)))
    c.b.adm("down r0")
    c.a.wait(connection="WFConnection")
    c.b.adm("up r0")
    c.expect_equal()
    syncs = [int(line.split("(will sync ")[1].split()[0]) for line in c.a.log().splitlines() if "(will sync " in line]
    expect_that(len(syncs) == 2 and syncs[1] < 50000, f"KiB of the two syncs: {syncs}")


@scenario()
def write_during_sync(c):
    """The source is written to while it syncs: what is read is right, and both end equal."""
    c.up(Resource(disk={"c-min-rate": "4M"}))
    c.a.adm("primary --force r0")
    c.a.fio("--rw=randwrite", "--bsrange=4k-64k", "--size=16m", "--iodepth=8", "--verify=crc32c", "--verify_fatal=1")
    c.expect_equal()


@scenario()
def target_is_primary(c):
    """The Primary is the side that is Inconsistent: it reads from the peer what it does not have yet, and nothing of its own disk."""
    c.ready(Resource(disk={"c-plan-ahead": 0, "resync-rate": "1M"}))
    c.a.adm("primary r0")
    data = os.urandom(1 << 20)
    c.a.write(40 << 20, data)
    c.a.adm("secondary r0")
    # What the target has there is wrong.
    backing.write(c.backing(c.b, "/dev/vdb"), 40 << 20, os.urandom(len(data)))
    c.b.adm("primary r0")
    c.a.adm("invalidate-remote r0")
    c.a.wait(connection="SyncSource")
    c.b.adm("pause-sync r0")
    c.a.wait(connection="PausedSyncS")
    left = c.b.wait(connection="PausedSyncT", role="Primary", disk="Inconsistent").out_of_sync
    expect_that(left > 40 << 10, f"KiB that are still missing: {left}")
    # The source reads for nobody else now, once it has answered what it was asked for.
    c.a.run("sleep 2")
    before = [node.device().counters["dr"] for node in c.nodes]
    expect_that(c.b.read(40 << 20, len(data)) == data, "read on the sync target")
    read = [node.device().counters["dr"] - old for node, old in zip(c.nodes, before)]
    expect(read, [1024, 0], "KiB that source and target read from their disks")
    c.b.write(50 << 20, data)
    for node in c.nodes:
        node.setup("disk-options 0 --resync-rate=100M")
    c.b.adm("resume-sync r0")
    c.expect_equal()
