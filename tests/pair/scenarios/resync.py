# SPDX-License-Identifier: GPL-2.0-only
"""What was written while the peer was away is copied when it returns, and nothing else."""

import os

from .. import simulated_disk
from ..config import Resource
from ..scenario import expect, expect_in, expect_that, scenario


def write_blocks(node, count):
    """So many blocks of 8 KiB, in different places."""
    for block in range(count):
        node.write((1 + 2 * block) << 20, os.urandom(8192))


@scenario()
def only_changed_blocks(c):
    """Disconnect, write, reconnect: 10 blocks of 8 KiB are 80 KB."""
    c.ready()
    c.a.adm("primary r0")
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection", peer="Unknown", peer_disk="DUnknown")
    c.b.wait(connection="StandAlone")
    write_blocks(c.a, 10)
    c.a.wait(out_of_sync=80)
    c.b.adm("connect r0")
    c.expect_equal()
    expect_in("(will sync 80 KB [20 bits set])", c.a.log(), "log")
    expect_in("(will sync 80 KB [20 bits set])", c.b.log(), "log")


@scenario()
def nothing_changed(c):
    """Disconnect and connect without a write copies nothing."""
    c.ready()
    c.a.adm("primary r0")
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    c.b.adm("connect r0")
    c.expect_equal()
    expect_that("(will sync" not in c.a.log() or "(will sync 0 KB [0 bits set])" in c.a.log(), "no block is synced")


@scenario()
def primary_leaves_the_net(c):
    """The Primary disconnects itself and writes on."""
    c.ready()
    c.a.adm("primary r0")
    c.a.adm("disconnect r0")
    c.a.wait(connection="StandAlone", role="Primary", disk="UpToDate")
    write_blocks(c.a, 5)
    c.b.wait(connection="WFConnection")
    c.a.adm("connect r0")
    c.expect_equal()
    expect_in("(will sync 40 KB [10 bits set])", c.a.log(), "log")


@scenario()
def cable_is_cut(c):
    """Frames get lost under load: both notice, the Primary goes on, and after the repair both are equal."""
    c.ready()
    c.a.adm("primary r0")
    load = c.a.spawn("fio --name=load --filename=/dev/drbd0 --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --size=32m --iodepth=4 --runtime=40 --time_based")
    c.a.run("sleep 2")
    c.link.cut()
    c.a.wait(connection="WFConnection", role="Primary", disk="UpToDate")
    c.b.wait(connection="WFConnection", role="Secondary")
    c.a.run("sleep 2")
    c.link.heal()
    c.a.wait(connection={"SyncSource", "Connected"})
    expect(load.wait(200).code, 0, "exit code of the load")
    c.expect_equal()


@scenario()
def secondary_is_killed(c):
    """The Secondary loses power under load, comes back, and gets what it missed."""
    c.ready()
    c.a.adm("primary r0")
    load = c.a.spawn("fio --name=load --filename=/dev/drbd0 --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --size=32m --iodepth=4 --runtime=40 --time_based")
    c.a.run("sleep 2")
    c.b.guest.power_cut()
    c.a.wait(connection="WFConnection", role="Primary", disk="UpToDate")
    c.returned(c.b)
    c.b.adm("up r0")
    c.a.wait(connection={"SyncSource", "Connected"})
    expect(load.wait(200).code, 0, "exit code of the load")
    c.expect_equal()


@scenario()
def detach_and_attach(c):
    """A Secondary's disk goes and comes back; then that of the Primary, which reads and writes on the peer meanwhile."""
    c.ready()
    c.a.adm("primary r0")
    c.b.adm("detach r0")
    c.b.wait(disk="Diskless", peer_disk="UpToDate", connection="Connected")
    c.a.wait(peer_disk="Diskless", connection="Connected")
    write_blocks(c.a, 4)
    c.b.adm("attach r0")
    c.expect_equal()
    expect_in("(will sync 32 KB [8 bits set])", c.a.log(), "log")

    c.a.adm("detach r0")
    c.a.wait(disk="Diskless", role="Primary", peer_disk="UpToDate")
    data = os.urandom(1 << 20)
    c.a.write(30 << 20, data)
    expect_that(c.a.read(30 << 20, len(data)) == data, "read on the Primary without a disk")
    expect_that(c.a.read(1 << 20, 8192) == c.b.read(1 << 20, 8192, minor="0 if=/dev/vdb"), "read of older data")
    c.a.adm("attach r0")
    c.expect_equal()


@scenario()
def without_activity_log(c):
    """With al-updates off, writes work, and a clean outage needs no more than its blocks."""
    c.ready(Resource(disk={"al-updates": "no"}))
    c.a.adm("primary r0")
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    write_blocks(c.a, 3)
    c.b.adm("connect r0")
    c.expect_equal()
    expect_in("(will sync 24 KB [6 bits set])", c.a.log(), "log")


@scenario()
def disk_comes_back(c):
    """The target's disk goes while its source, on a slow one, still reads for it, and comes back over the same connection. C answers
    nothing to what it was asked for before."""
    simulated_disk.ready(c, 8 << 20)
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    c.a.write(0, os.urandom(8 << 20))
    simulated_disk.take_long(c.a, 1)
    c.b.adm("connect r0")
    c.b.wait(connection="SyncTarget")
    c.b.run("sleep 2")
    c.b.adm("detach r0")
    c.b.wait(disk="Diskless")
    # It does what it had to do, and has nothing to do before it is told so.
    c.a.guest.wait_until(simulated_disk.BEHAVE, 60)
    c.b.adm("attach r0")
    c.expect_same_content("/dev/sda")
    simulated_disk.put_away(c)
