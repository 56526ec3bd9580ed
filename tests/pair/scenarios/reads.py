# SPDX-License-Identifier: GPL-2.0-only
"""Which disk serves a read, and what happens when it cannot."""

import os

from .. import simulated_disk
from ..config import Resource
from ..scenario import expect, expect_that, scenario

KIB = 1024


def served(node):
    """Sectors that a node has read from its disk."""
    return node.device().counters["dr"] * 2


@scenario()
def every_method(c):
    """Each `read-balancing` sends reads where the kernel's own driver sends them."""
    c.ready()
    c.a.adm("primary r0")
    data = os.urandom(2 << 20)
    c.a.write(0, data)
    for method, remote in [
        ("prefer-local", 0), ("prefer-remote", 64), ("round-robin", 32), ("least-pending", 64), ("when-congested-remote", 0),
        ("32K-striping", 32), ("64K-striping", 32), ("128K-striping", 32), ("256K-striping", 32), ("512K-striping", 32), ("1M-striping", 32),
    ]:  # fmt: skip
        c.a.setup(f"disk-options 0 --read-balancing={method}")
        before = [served(node) for node in c.nodes]
        # One after the other: 64 times 4 KiB, 32 KiB apart, two of the longest stripes.
        read = c.a.run("for n in $(seq 0 63); do dd if=/dev/drbd0 bs=4k skip=$((n * 8)) count=1 iflag=direct status=none; done").stdout
        expect_that(read == b"".join(data[at : at + 4096] for at in range(0, 2 << 20, 32 * KIB)), f"{method}: what was read")
        counts = [served(node) - old for node, old in zip(c.nodes, before)]
        expect(counts, [(64 - remote) * 8, remote * 8], f"{method}: sectors that each node read")
    c.expect_equal()


@scenario()
def local_error(c):
    """A block that cannot be read here is read from the peer, and the disk goes."""
    data = simulated_disk.ready(c, 4 << 20)
    simulated_disk.fail_reads(c.a)
    expect_that(c.a.read(0, 4 << 20) == data, "what was read")
    c.a.wait(connection="Connected", disk="Diskless", peer_disk="UpToDate")
    c.b.wait(connection="Connected", disk="UpToDate", peer_disk="Diskless")
    expect_that(c.a.read(0, 4 << 20) == data, "what was read without a disk")
    c.a.write(6 << 20, data)
    simulated_disk.behave(c.a)
    c.a.adm("attach r0")
    c.expect_same_content("/dev/sda")
    simulated_disk.put_away(c)


@scenario()
def local_error_passed_on(c):
    """With `on-io-error pass_on` the disk stays, Inconsistent, and the block is out of sync."""
    data = simulated_disk.ready(c, 4 << 20, **{"on-io-error": "pass_on"})
    simulated_disk.fail_reads(c.a)
    expect_that(c.a.read(0, 4 << 20) == data, "what was read")
    device = c.a.wait(connection="Connected", disk="Inconsistent", peer_disk="UpToDate")
    expect_that(device.out_of_sync > 0, f"the block is marked: {device}")
    c.b.wait(disk="UpToDate", peer_disk="Inconsistent")
    expect_that(c.a.read(0, 4 << 20) == data, "what was read again")
    simulated_disk.put_away(c)


@scenario()
def peer_error(c):
    """A block that the peer cannot read is read here."""
    data = simulated_disk.ready(c, 4 << 20, **{"read-balancing": "prefer-remote"})
    simulated_disk.fail_reads(c.b)
    before = served(c.b)
    expect_that(c.a.read(0, 4 << 20) == data, "what was read")
    expect_that(served(c.b) > before, "the peer was asked")
    c.a.wait(connection="Connected", disk="UpToDate", peer_disk="Diskless")
    simulated_disk.put_away(c)


@scenario()
def peer_is_lost(c):
    """Reads that a peer owed when it died come from the own disk."""
    c.ready(Resource(disk={"read-balancing": "prefer-remote"}))
    c.a.adm("primary r0")
    data = os.urandom(8 << 20)
    c.a.write(0, data)
    load = c.a.spawn("fio --name=load --filename=/dev/drbd0 --direct=1 --ioengine=libaio --rw=randread --bs=4k --iodepth=16 --size=8m --time_based --runtime=25")
    c.a.run("sleep 2")
    c.b.guest.power_cut()
    c.a.wait(connection={"WFConnection", "Unconnected"}, disk="UpToDate")
    expect(load.wait(120).code, 0, "exit code of the load")
    expect_that(c.a.read(0, 8 << 20) == data, "what was read")
    c.returned(c.b)
    c.b.adm("up r0")
    c.expect_equal()
