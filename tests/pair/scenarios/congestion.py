# SPDX-License-Identifier: GPL-2.0-only
"""A link that is too slow for what is written, and what `on-congestion` makes of it."""

import os

from ..cluster import META_DISK
from ..config import Resource, Volume
from ..scenario import expect, expect_in, expect_that, scenario

SLOW = 1500  # milliseconds


PATIENT = {"protocol": "A", "ping-timeout": 100, "timeout": 120, "ping-int": 30}


def slow(c, policy="pull-ahead", primary=None):
    """Protocol A, both UpToDate, the first node Primary if nobody else is to be, and a link on which little fits."""
    c.ready(Resource(net={"on-congestion": policy, "congestion-fill": "64k", **PATIENT}))
    (primary or c.a).adm("primary r0")
    c.link.delay(SLOW)


def write(node, offset, data):
    """In small pieces: a write finds congestion when it begins."""
    node.run(f"dd of=/dev/drbd0 bs=64k iflag=fullblock oflag=direct,seek_bytes seek={offset} conv=notrunc status=none", input=data)


def pull_ahead(c):
    """Writes until the first node is Ahead, and more then; answers all that was written at the beginning of the device."""
    data = os.urandom(4 << 20)
    write(c.a, 0, data)
    c.a.wait(connection="Ahead", disk="UpToDate")
    # Nothing of this is mirrored, and all of it is done at once. Some of it was written before.
    write(c.a, 1 << 20, data[1 << 20 :])
    write(c.a, 4 << 20, os.urandom(1 << 20))
    return data


@scenario()
def pull_ahead_and_back(c):
    """`pull-ahead`: the Primary goes Ahead, the peer Behind; both are equal again when the link is."""
    slow(c)
    data = pull_ahead(c)
    c.b.wait(connection="Behind", disk={"Outdated", "Inconsistent"})
    expect_in("Congestion-fill threshold reached", c.a.log(), "log")
    c.link.delay(0)
    c.expect_equal()
    expect_that(c.a.read(0, 4 << 20) == data, "what was written")


@scenario()
def too_many_extents(c):
    """`congestion-extents`: writes to one extent of the activity log more than it allows, small as they are; then all is resynced."""
    # The largest disk has 68 extents of 4 MiB; fewer than 67 cannot be asked for.
    resource = Resource(volumes=(Volume(disk=META_DISK),), net={"on-congestion": "pull-ahead", "congestion-fill": 0, "congestion-extents": 67, **PATIENT})
    c.ready(resource)
    c.a.adm("primary r0")
    c.link.delay(4 * SLOW)
    # Sixty extents are not too many.
    c.a.fio("--rw=write:4092k", "--bs=4k", "--io_size=240k", "--iodepth=16")
    expect(c.a.device().connection, "Connected", "connection")
    c.link.delay(0)
    c.wait(connection="Connected", out_of_sync=0)
    c.a.guest.wait_until("grep -q ' ap:0 ' /proc/drbd && grep -q ' pe:0 ' /proc/drbd", 60)
    c.link.delay(4 * SLOW)
    c.a.fio("--rw=write:4092k", "--bs=4k", "--io_size=272k", "--iodepth=16")
    c.a.wait(connection="Ahead", disk="UpToDate")
    expect_in("Congestion-extents threshold reached", c.a.log(), "log")
    expect_that("Congestion-fill" not in c.a.log(), "congestion-fill does not count")
    c.link.delay(0)
    c.expect_equal()


@scenario()
def peer_dies_behind(c):
    """The peer loses its power while it is Behind: all that it missed comes to it later."""
    slow(c)
    pull_ahead(c)
    c.b.wait(connection="Behind")
    c.b.guest.power_cut()
    c.link.delay(0)
    c.a.wait(connection={"WFConnection", "Unconnected"})
    c.a.write(8 << 20, os.urandom(1 << 20))
    c.returned(c.b)
    c.b.adm("up r0")
    c.expect_equal()


@scenario()
def primary_dies_ahead(c):
    """The Primary loses its power while it is Ahead: the peer knows that its data is old, and gets what is new."""
    slow(c)
    data = pull_ahead(c)
    c.b.wait(connection="Behind")
    c.a.guest.power_cut()
    c.link.delay(0)
    c.b.wait(connection={"WFConnection", "Unconnected"}, disk={"Outdated", "Inconsistent"})
    c.b.refuses("drbdadm primary r0", 17, "0: State change failed: (-2) Need access to UpToDate data")
    c.returned(c.a)
    c.a.adm("up r0")
    c.expect_equal()
    c.a.adm("primary r0")
    expect_that(c.a.read(0, 4 << 20) == data, "what was written")


@scenario()
def disconnect(c):
    """`disconnect`: the connection ends, and writes go on. The kernel's own driver stays Disconnecting for ever: ours does it."""
    node, other = c.ours_first()
    slow(c, "disconnect", node)
    write(node, 0, os.urandom(4 << 20))
    node.wait(connection="StandAlone", disk="UpToDate", role="Primary")
    c.link.delay(0)
    node.adm("connect r0")
    if other.device().connection == "StandAlone":
        other.adm("connect r0")
    c.expect_equal()
