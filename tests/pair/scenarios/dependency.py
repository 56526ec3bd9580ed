# SPDX-License-Identifier: GPL-2.0-only
"""`resync-after`: one device lets another one resync first."""

import os

from ..config import Resource, Volume
from ..scenario import expect_in, expect_that, scenario

FIRST, SECOND = 0, 1


def resources(after=FIRST):
    """Two resources with one device each; the second resyncs after the first. That one is slow until `hurry`, so that one can watch."""
    speed = {"c-plan-ahead": 0, "c-min-rate": "0"}
    return (
        Resource("r0", 7788, (Volume(0, FIRST, "/dev/vdb"),), disk={**speed, "resync-rate": "250k"}),
        Resource("r1", 7789, (Volume(0, SECOND, "/dev/vdc"),), disk={**speed, "resync-rate": "2M", "resync-after": f"r{after}/0"}),
    )


def hurry(c):
    """From now on the first device resyncs fast."""
    for node in c.nodes:
        node.setup(f"disk-options {FIRST} --resync-rate=10M")


def miss(c, minor, name, size):
    """The second node misses `size` bytes of a resource."""
    c.a.adm(f"primary {name}")
    c.b.adm(f"disconnect {name}")
    c.a.wait(minor, connection="WFConnection")
    for start in range(0, size, 1 << 20):
        c.a.write(start, os.urandom(1 << 20), minor=minor)


@scenario()
def one_after_the_other(c):
    """Two resources reconnect: the second waits on both nodes, and goes on by itself when the first has ended."""
    c.ready(*resources())
    miss(c, FIRST, "r0", 16 << 20)
    miss(c, SECOND, "r1", 4 << 20)
    c.b.adm("connect r0")
    c.b.wait(FIRST, connection="SyncTarget")
    c.b.adm("connect r1")
    c.b.wait(SECOND, connection="PausedSyncT")
    c.a.wait(SECOND, connection="PausedSyncS")
    expect_that("a" in c.b.device(SECOND).flags, f"flags of who waits: {c.b.device(SECOND)}")
    c.b.refuses(f"drbdsetup resume-sync {SECOND}", 10, "Resync pause caused by a local resync-after dependency")
    hurry(c)
    c.expect_equal()
    for node in c.nodes:
        expect_in("aftr_isp( 0 -> 1 )", node.log(), "log")


@scenario()
def first_goes_away(c):
    """The first device is paused, which holds the second up; it loses its disk, and the second goes on."""
    c.ready(*resources())
    miss(c, FIRST, "r0", 24 << 20)
    miss(c, SECOND, "r1", 8 << 20)
    c.b.adm("connect r0")
    c.b.wait(FIRST, connection="SyncTarget")
    c.b.adm("connect r1")
    c.b.wait(SECOND, connection="PausedSyncT")
    c.b.adm("pause-sync r0")
    c.b.wait(FIRST, connection="PausedSyncT")
    c.b.wait(SECOND, connection="PausedSyncT")
    c.b.adm("resume-sync r0")
    c.b.wait(FIRST, connection="SyncTarget")
    c.b.adm("detach r0")
    c.b.wait(SECOND, connection={"SyncTarget", "Connected"})
    c.b.adm("attach r0")
    hurry(c)
    c.expect_equal()


@scenario()
def circles(c):
    """A circle is refused, and so is a number that no device can have."""
    c.ready(*resources())
    c.a.refuses(f"drbdsetup disk-options {FIRST} --resync-after={SECOND}", 10, "133")
    c.a.refuses(f"drbdsetup disk-options {FIRST} --resync-after={FIRST}", 10, "133")
    c.a.setup(f"disk-options {FIRST} --resync-after=9")
    c.a.setup(f"disk-options {SECOND} --resync-after=-1")
    c.a.setup(f"disk-options {FIRST} --resync-after={SECOND}")
    c.expect_equal()
