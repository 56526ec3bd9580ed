# SPDX-License-Identifier: GPL-2.0-only
"""From the kernel's own driver to ours and back, one node at a time, with the same disks."""

import os

from ..scenario import expect_in, expect_that, scenario


def change_driver(c, node, driver):
    """A maintenance of one node: down, the other driver, up."""
    node.adm("down r0")
    node.unload()
    node.driver = driver
    node.load()
    node.adm("up r0")
    c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)


def use(c, primary, secondary, kept):
    """Takes the role to a node, checks all data that was ever written, adds some."""
    secondary.adm("secondary r0")
    primary.adm("primary r0")
    for offset, data in kept.items():
        expect_that(primary.read(offset, len(data)) == data, f"{primary.name} ({primary.driver}) reads what was written at {offset}")
    data = os.urandom(65536)
    offset = (1 + len(kept)) << 20
    primary.write(offset, data)
    kept[offset] = data


@scenario(limit=600, both_drivers=True)
def one_node_at_a_time(c):
    """Kernel's own on both; ours on one, on both; and back again. The data is there at every step, and no step needs a full sync."""
    kept = {}
    try:
        for node in c.nodes:
            node.unload()
            node.driver = "c"
            node.load()
        c.ready()
        use(c, c.a, c.b, kept)
        change_driver(c, c.b, "rust")
        use(c, c.b, c.a, kept)
        change_driver(c, c.a, "rust")
        use(c, c.a, c.b, kept)
        change_driver(c, c.b, "c")
        use(c, c.b, c.a, kept)
        change_driver(c, c.a, "c")
        use(c, c.a, c.b, kept)
        c.expect_equal()
        expect_that("(will sync 65496 KB" not in c.a.log() + c.b.log(), "no full sync")
    finally:
        c.restore_drivers()


@scenario(limit=600, both_drivers=True)
def metadata_changes_hands(c):
    """A node is stopped in the middle of an outage: the other driver reads its bitmap and activity log, and goes on."""
    try:
        for first, second in (("rust", "c"), ("c", "rust")):
            c.a.adm("down r0", check=False)
            c.b.adm("down r0", check=False)
            c.a.unload()
            c.a.driver = first
            c.a.load()
            c.ready()
            c.a.adm("primary r0")
            c.b.adm("disconnect r0")
            c.a.wait(connection="WFConnection")
            for block in range(5):
                c.a.write((3 + 5 * block) << 20, os.urandom(8192))
            c.a.adm("secondary r0")
            c.a.adm("down r0")
            c.a.unload()
            c.a.driver = second
            c.a.load()
            seen = len(c.a.log())
            c.a.adm("up r0")
            c.a.wait(disk="UpToDate", out_of_sync=40)
            c.b.adm("connect r0")
            c.expect_equal()
            expect_in("(will sync 40 KB [10 bits set])", c.a.log()[seen:], f"log of {second} after {first}")
    finally:
        c.restore_drivers()


@scenario(limit=900, both_drivers=True)
def crash_changes_hands(c):
    """A Primary loses power under load with one driver and comes back with the other, which replays its activity log."""
    try:
        for first, second in (("rust", "c"), ("c", "rust")):
            c.a.adm("down r0", check=False)
            c.b.adm("down r0", check=False)
            c.a.unload()
            c.a.driver = first
            c.a.load()
            c.ready()
            c.a.adm("primary r0")
            c.a.spawn("fio --name=load --filename=/dev/drbd0 --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --size=60m --iodepth=8 --runtime=60 --time_based")
            c.a.run("sleep 3")
            c.a.guest.power_cut()
            c.b.wait(connection="WFConnection", disk="UpToDate")
            c.a.driver = second
            c.returned(c.a)
            c.a.adm("up r0")
            c.expect_equal()
    finally:
        c.restore_drivers()
