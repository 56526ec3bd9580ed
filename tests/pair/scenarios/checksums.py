# SPDX-License-Identifier: GPL-2.0-only
"""Resync by checksums: what is equal already is not sent."""

import os
import re

from ..config import Resource
from ..scenario import expect, expect_that, scenario

FAST = {"resync-rate": "100M", "c-plan-ahead": 0}


def resource(**net):
    """A resource that compares checksums."""
    return Resource(net={"csums-alg": "crc32c", **net}, disk=FAST)


def eliminated(node):
    """Percent, and KB that were spared, transferred, and in all, of the last resync."""
    pattern = r"(\d+) % had equal checksums, eliminated: (\d+)K; transferred (\d+)K total (\d+)K"
    found = re.findall(pattern, node.log())
    expect_that(found, f"{node.name} says how much was equal:\n{node.log()}")
    return [int(number) for number in found[-1]]


@scenario()
def equal_blocks_are_not_sent(c):
    """A full resync of equal disks sends nothing but digests, in either direction."""
    c.ready(resource())
    c.a.adm("primary r0")
    c.a.write(3 << 20, os.urandom(1 << 20))
    for command in ("invalidate-remote", "invalidate"):
        before = c.a.device().counters
        c.a.adm(f"{command} r0")
        c.expect_equal()
        for node in c.nodes:
            percent, spared, transferred, total = eliminated(node)
            expect_that(percent == 100 and transferred == 0 and spared == total > 60000, f"all is equal: {eliminated(node)}")
            node.begin()
        after = c.a.device().counters
        moved = sum(after[name] - before[name] for name in ("ns", "nr"))
        expect_that(moved < 2000, f"only digests travel, not {moved} KB")


@scenario()
def changed_blocks_are_sent(c):
    """A full resync sends what differs, and the disks are equal by it."""
    c.ready(resource())
    c.a.adm("primary r0")
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    for megabyte in (5, 17, 40):
        c.a.write(megabyte << 20, os.urandom(64 << 10))
    c.b.adm("connect r0")
    c.expect_equal()
    c.a.wait(connection="Connected")
    with open(c.backing(c.b, "/dev/vdb"), "r+b") as disk:
        disk.seek(20 << 20)
        disk.write(os.urandom(1 << 20))
    for node in c.nodes:
        node.begin()
    c.a.adm("invalidate-remote r0")
    c.expect_equal()
    for node in c.nodes:
        _, spared, transferred, total = eliminated(node)
        expect_that(1024 <= transferred < 8192 and spared + transferred == total, f"some are sent: {eliminated(node)}")


@scenario()
def under_load(c):
    """The source is written to while checksums are compared."""
    c.ready(resource())
    c.a.adm("primary r0")
    load = c.a.spawn(
        "fio --name=load --filename=/dev/drbd0 --direct=1 --ioengine=libaio --rw=randwrite --bsrange=512-64k --blockalign=512"
        " --size=60m --iodepth=8 --runtime=20 --time_based"
    )
    c.a.run("sleep 1")
    for _ in range(2):
        c.b.adm("invalidate r0")
        c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)
    expect(load.wait(300).code, 0, "exit code of the load")
    c.expect_equal()


@scenario()
def after_crash_only(c):
    """With csums-after-crash-only, checksums are for a Primary that crashed, and for nobody else."""
    c.ready(resource(**{"csums-after-crash-only": "yes"}))
    c.a.adm("primary r0")
    c.a.write(1 << 20, os.urandom(1 << 20))
    c.b.adm("invalidate r0")
    c.expect_equal()
    for node in c.nodes:
        expect_that("equal checksums" not in node.log(), "no checksums without a crash")
    c.a.guest.power_cut()
    c.b.wait(connection="WFConnection")
    c.b.adm("primary r0")
    c.b.write(2 << 20, os.urandom(8192))
    c.returned(c.a)
    c.a.adm("up r0")
    c.b.wait(connection={"SyncSource", "Connected"})
    c.expect_equal()
    for node in c.nodes:
        _, spared, transferred, total = eliminated(node)
        expect_that(spared > 0 and spared + transferred == total, f"most is equal: {eliminated(node)}")
