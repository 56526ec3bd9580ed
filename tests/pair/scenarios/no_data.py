# SPDX-License-Identifier: GPL-2.0-only
"""A Primary whose last data goes out of reach."""

import os

from ..config import Resource
from ..scenario import expect, expect_that, scenario


@scenario()
def resumes_by_itself(c):
    """With `on-no-data-accessible suspend-io` writes wait for the peer to come back, without a word of an administrator."""
    c.ready(Resource(options={"on-no-data-accessible": "suspend-io"}))
    c.a.adm("primary r0")
    c.a.adm("detach r0")
    c.a.wait(disk="Diskless", peer_disk="UpToDate")
    load = c.a.spawn("fio --name=load --filename=/dev/drbd0 --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --iodepth=8 --size=8m --verify=crc32c --do_verify=0 --time_based --runtime=20")
    c.a.run("sleep 2")
    c.link.cut()
    c.a.wait(connection={"WFConnection", "Unconnected", "NetworkFailure"}, disk="Diskless", peer_disk="DUnknown")
    expect_that(c.a.device().flags[0] == "s", f"suspended for lack of data: {c.a.device()}")
    data = os.urandom(65536)
    c.a.guest.put(data, "/tmp/data")
    late = c.a.spawn("dd if=/tmp/data of=/dev/drbd0 bs=64k seek=256 oflag=direct conv=notrunc status=none")
    c.a.run("sleep 2")
    expect_that(not late.ended, "the write waits")
    c.link.heal()
    expect(late.wait(120).code, 0, "exit code of the write")
    expect(load.wait(180).code, 0, "exit code of the load")
    expect_that(c.a.device().flags[0] == "r", f"not suspended any more: {c.a.device()}")
    expect_that(c.a.read(16 << 20, 65536) == data, "what was written")
    c.a.adm("attach r0")
    c.expect_equal()


@scenario()
def goes_on_with_an_outdated_disk(c):
    """A Primary without a disk meets its peer again, whose disk was outdated meanwhile: it is what the Primary used last."""
    c.ready(Resource(options={"on-no-data-accessible": "suspend-io"}))
    c.a.adm("primary r0")
    data = os.urandom(1 << 20)
    c.a.write(0, data)
    c.a.adm("detach r0")
    c.a.wait(disk="Diskless", peer_disk="UpToDate")
    c.link.cut()
    for node in c.nodes:
        node.wait(connection={"WFConnection", "Unconnected"})
    c.b.setup("outdate 0")
    c.b.wait(disk="Outdated")
    c.link.heal()
    c.a.wait(connection="Connected", disk="Diskless", peer_disk="UpToDate")
    expect_that(c.a.read(0, 1 << 20) == data, "what was read at the peer")
    c.a.write(1 << 20, data)
    c.b.wait(connection="Connected", disk="UpToDate")
    c.a.adm("attach r0")
    c.expect_equal()


@scenario()
def handler_takes_its_time(c):
    """The handler of a Primary that lost its data runs for half a minute: its peer's death is said once, and the pair goes on beside it."""
    node, _ = c.ours_first()
    node.unload()
    node.guest.put("#!/bin/sh\ncase \"$*\" in pri-on-incon-degr*) sleep 30;; esac\n", "/tmp/slow", mode=0o755)
    node.load("usermode_helper=/tmp/slow")
    c.ready(Resource(options={"on-no-data-accessible": "suspend-io"}))
    node.adm("primary r0")
    data = os.urandom(65536)
    node.write(0, data)
    node.adm("detach r0")
    node.wait(disk="Diskless", peer_disk="UpToDate")
    c.link.cut()
    node.guest.put(data, "/tmp/data")
    late = node.spawn("dd if=/tmp/data of=/dev/drbd0 bs=64k seek=16 oflag=direct conv=notrunc status=none")
    node.wait(connection={"WFConnection", "Unconnected"}, disk="Diskless", peer_disk="DUnknown")
    expect(node.log().count("PingAck did not arrive in time."), 1, "lines about the ping")
    c.link.heal()
    expect(late.wait(120).code, 0, "exit code of the write")
    node.wait(connection="Connected", disk="Diskless", peer_disk="UpToDate")
    expect_that(node.read(1 << 20, 65536) == data, "what was written")
    node.adm("attach r0")
    c.expect_equal()
