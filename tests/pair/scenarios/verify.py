# SPDX-License-Identifier: GPL-2.0-only
"""Online verify: it finds what changed behind the driver's back, and nothing else."""

import os
import re

from ..config import Resource
from ..scenario import expect, expect_in, expect_that, scenario

BLOCK = 4096
FAST = {"resync-rate": "100M", "c-plan-ahead": 0}


def resource(disk=FAST, **net):
    """A resource that can be verified, at a good pace."""
    return Resource(net={"verify-alg": "crc32c", **net}, disk=disk)


def rot(c, node, *blocks):
    """These blocks of a backing disk change, and nobody is told."""
    with open(c.backing(node, "/dev/vdb"), "r+b") as disk:
        for block in blocks:
            disk.seek(block * BLOCK)
            disk.write(os.urandom(BLOCK))


def verified(c, out_of_sync):
    """Waits until a verify is over."""
    c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=out_of_sync)


def resynced(c):
    """Disconnect and connect a Primary: what is marked is copied."""
    c.a.adm("disconnect r0")
    c.a.wait(connection="StandAlone")
    c.a.adm("connect r0")
    c.expect_equal()


def found(node):
    """The blocks that a log names, in any order of the lines. (C forgets some that are found one after the other.)"""
    lines = re.findall(r"Out of sync: start=(\d+), size=(\d+) \(sectors\)", node.log())
    return sorted(block for start, size in lines for block in range(int(start) // 8, (int(start) + int(size)) // 8))


def seconds_of_verify(node):
    """How long the last verify took, as the log has it."""
    lines = re.findall(r"Online verify done \(total (\d+) sec", node.log())
    expect_that(lines, "the log tells of the end of a verify")
    return int(lines[-1])


def verify_to_the_end(c, node, **options):
    """One verify, until both nodes say that it is done."""
    before = [log.log().count("Online verify done") for log in c.nodes]
    node.setup(" ".join(["verify 0", *(f"--{name}={value}" for name, value in options.items())]))
    c.wait(connection="Connected")
    after = [log.log().count("Online verify done") for log in c.nodes]
    expect(after, [count + 1 for count in before], "finished verifies in both logs")


@scenario()
def finds_what_changed(c):
    """Five blocks of the Secondary's disk change behind its back: they are found from either side, and resynced."""
    for by in (0, 1):
        c.ready(resource())
        c.a.adm("primary r0")
        c.a.write(1 << 20, os.urandom(1 << 20))
        rot(c, c.b, 7, 300, 301, 302, 9000)
        verify_to_the_end(c, c.nodes[by])
        verified(c, 20)
        expect(c.differences(), 5, "blocks that differ")
        for node in c.nodes:
            expect_in("Online verify found 5 4k block out of sync!", node.log(), f"log of {node.name}")
            if node.driver == "rust":
                expect(found(node), [7, 300, 301, 302, 9000], "blocks that the log names")
        resynced(c)
        expect_in("(will sync 20 KB [5 bits set])", c.a.log(), "log")
        for node in c.nodes:
            node.adm("down r0")
            node.begin()


@scenario()
def nothing_to_find(c):
    """Equal disks are equal, by any algorithm, and the handler for differences is not called."""
    for algorithm in ("crc32c", "md5", "sha512"):
        c.ready(resource(**{"verify-alg": algorithm}))
        c.a.adm("primary r0")
        c.a.write(0, os.urandom(4 << 20))
        verify_to_the_end(c, c.b)
        verified(c, 0)
        for node in c.nodes:
            expect_that("Out of sync" not in node.log() and "out-of-sync minor-" not in node.log(), "no difference")
            node.adm("down r0")
            node.begin()


@scenario()
def start_and_stop(c):
    """A part is verified; the next run goes on where that one stopped."""
    c.ready(resource())
    rot(c, c.b, 10, 10000, 15000)
    verify_to_the_end(c, c.a, start="65536s", stop="98304s")
    verified(c, 4)
    expect_in("Starting Online Verify from sector 65536", c.a.log(), "log")
    expect_in("Online Verify start sector: 65536", c.b.log(), "log of the peer")
    for node in c.nodes:
        expect_in("Online Verify reached sector 98304", node.log(), "log")
    verify_to_the_end(c, c.a)
    verified(c, 8)
    expect_in("Starting Online Verify from sector 98304", c.a.log(), "log")
    verify_to_the_end(c, c.a)
    verified(c, 12)
    expect_in("Starting Online Verify from sector 0", c.a.log(), "log")


@scenario()
def is_interrupted(c):
    """The connection goes while a verify runs: the next one goes on from there, on either node."""
    c.ready(resource({"resync-rate": "2M", "c-plan-ahead": 0}))
    c.a.adm("verify r0")
    c.a.wait(connection="VerifyS")
    c.b.wait(connection="VerifyT")
    expect_in("verified:", c.a.text("cat /proc/drbd"), "/proc/drbd")
    c.a.run("sleep 5")
    c.b.adm("disconnect r0")
    c.b.wait(connection="StandAlone")
    c.a.wait(connection="WFConnection")
    reached = [int(re.search(r"Online Verify reached sector (\d+)", node.log())[1]) for node in c.nodes]
    expect_that(all(0 < sector < 131072 for sector in reached), f"both stopped somewhere: {reached}")
    c.b.adm("connect r0")
    c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)
    c.a.adm("verify r0")
    c.a.wait(connection="VerifyS")
    expect_in(f"Starting Online Verify from sector {reached[0]}", c.a.log(), "log")
    c.b.adm("detach r0")
    c.wait(connection="Connected")
    c.a.wait(peer_disk="Diskless")
    c.b.adm("attach r0")
    verified(c, 0)


@scenario()
def what_is_refused(c):
    """No verify without an algorithm, nor while another one runs; different algorithms do not connect."""
    c.ready()
    need = "0: State change failed: (-14) Need a verify algorithm to start online verify"
    c.a.refuses("drbdadm verify r0", 11, need)
    c.a.adm("down r0")
    c.b.adm("down r0")
    c.ready(resource({"resync-rate": "1M", "c-plan-ahead": 0}))
    c.a.adm("verify r0")
    c.a.wait(connection="VerifyS")
    running = "0: State change failed: (-8) Can not start OV/resync since it is already active"
    c.b.refuses("drbdadm verify r0", 11, running)
    c.b.refuses("drbdadm invalidate r0", 11, running)
    c.b.adm("down r0")
    c.a.wait(connection="WFConnection")
    c.b.run("sed -i s/crc32c/md5/ /etc/drbd.conf")
    c.b.adm("up r0")
    c.wait_log('Different verify-alg settings. me="')
    c.a.wait(connection={"WFConnection", "StandAlone"})
    expect_that("Connected" not in {node.device().connection for node in c.nodes}, "they do not connect")


@scenario()
def algorithm_changes(c):
    """A new algorithm on one connected node is one for both."""
    c.ready(resource())
    c.a.run("sed -i s/crc32c/sha1/ /etc/drbd.conf")
    c.a.adm("adjust r0")
    c.wait_log('using verify-alg: "sha1"')
    rot(c, c.a, 77)
    verify_to_the_end(c, c.b)
    verified(c, 4)


def while_written(c, protocol):
    c.ready(resource({"resync-rate": "20M", "c-plan-ahead": 0}, protocol=protocol))
    c.a.adm("primary r0")
    load = c.a.spawn(
        "fio --name=load --filename=/dev/drbd0 --direct=1 --ioengine=libaio --rw=randwrite --bsrange=512-64k --blockalign=512"
        " --size=60m --iodepth=16 --runtime=45 --time_based"
    )
    c.a.run("sleep 1")
    for node in (c.a, c.b, c.a):
        verify_to_the_end(c, node)
    expect(load.wait(300).code, 0, "exit code of the load")
    for node in c.nodes:
        expect_that("Out of sync" not in node.log(), "no difference is found where none is")
    c.expect_equal()


@scenario(limit=600)
def while_the_primary_writes(c):
    """Verifies from both sides under a load of small overlapping writes find no difference."""
    while_written(c, "C")


@scenario(limit=600)
def while_the_primary_writes_ahead(c):
    """The same with protocol A, where the peer may be behind."""
    while_written(c, "A")


@scenario()
def applications_go_first(c):
    """An application that works on a disk that is verified, by its node or by the peer, has the right of way: what takes three seconds otherwise
    keeps to about c-min-rate."""
    busy, idle = c.ours_first()
    c.ready(resource({"c-max-rate": "250k", "c-min-rate": "16k"}))
    busy.adm("primary r0")
    # What the peer's disk is written counts there as well.
    idle.setup("disk-options 0 --c-min-rate=0")
    load = "exec fio --thread --name=load --filename=/dev/drbd0 --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --offset=8m --size=4m --iodepth=4 --runtime=600 --time_based"
    for node in (busy, idle):
        running = busy.spawn(load)
        before = busy.device().counters["dw"]
        busy.guest.wait_until(f"[ $(sed -n 's/.*dw:\\([0-9]*\\).*/\\1/p' /proc/drbd) -gt {before + 1024} ]", 60)
        verify_to_the_end(c, node, start=0, stop="768k")
        running.kill()
        running.wait(120)
        seconds = seconds_of_verify(busy)
        expect_that(seconds >= 5, f"seconds for 768 KiB beside an application, verified by {node.name}: {seconds}")
    verified(c, 0)
