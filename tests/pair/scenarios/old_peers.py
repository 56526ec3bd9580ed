# SPDX-License-Identifier: GPL-2.0-only
"""Nodes that take each other for older: a program on the cable changes what they say they speak."""

import os

from ..config import Resource, drbd_conf
from ..scenario import expect, expect_that, scenario
from .hostile import put

PORT = 7799


def use_detour(c, program="older.py", **net):
    """The first node connects to the program, and the second to nobody: it is found."""
    for node, alpha, beta in ((c.a, "10.83.0.1:7788", f"10.83.0.1:{PORT}"), (c.b, "10.83.0.1:7777", "10.83.0.2:7788")):
        resource = Resource(net=net, addresses=(("alpha", alpha), ("beta", beta)))
        node.guest.put(drbd_conf([resource], c.hosts), "/etc/drbd.conf")
    put(c.a, "relay.py")
    put(c.a, program)


def detour(c, protocol):
    """From now on nodes that connect agree on this protocol."""
    running = c.a.spawn(f"exec python3 /tmp/older.py {protocol} 10.83.0.1 {PORT} 10.83.0.2 7788 >/tmp/older.log 2>&1")
    c.a.guest.wait_until("grep -q ready /tmp/older.log", 60)
    return running


def agreed(node):
    """The protocol of the latest handshake."""
    return int(node.log().rpartition("Agreed network protocol version ")[2].split()[0])


def a_day(c, protocol):
    """Connected, both UpToDate, alpha Primary, and again at the end."""
    c.a.fio("--rw=randwrite", "--bsrange=4k-1m", "--size=16m", "--io_size=24m", "--iodepth=8", "--verify=crc32c", "--verify_fatal=1")
    c.b.adm("disconnect r0")
    c.b.wait(connection="StandAlone")
    c.a.wait(connection="WFConnection")
    data = os.urandom(3 << 20)
    c.a.write(20 << 20, data)
    c.b.adm("connect r0")
    c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)
    c.a.adm("detach r0")
    expect(c.a.read(20 << 20, len(data)), data, f"what the peer has, protocol {protocol}")
    c.a.write(24 << 20, data)
    c.a.adm("attach r0")
    c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)
    expect({agreed(node) for node in c.nodes}, {protocol}, "protocol")
    c.expect_equal()


@scenario(limit=1200)
def every_age(c):
    """Protocols 87 to 99, one after the other: load of all sizes, a resync, a diskless Primary, disconnect on either side; equal disks."""
    c.configure(equal=True)
    use_detour(c)
    for number, protocol in enumerate((87, 94, 95, 99)):
        running = detour(c, protocol)
        for node in c.nodes:
            node.adm("connect r0" if number else "up r0")
        if not number:
            c.wait(connection="Connected")
            c.a.adm("primary --force r0")
        c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate")
        a_day(c, protocol)
        # The other side is asked, too.
        c.a.adm("disconnect r0")
        c.a.wait(connection="StandAlone")
        c.b.wait(connection="WFConnection")
        c.b.adm("disconnect r0")
        running.kill()
        running.wait(60)


@scenario(limit=600)
def long_writes_meet_an_old_peer(c):
    """Writes of 1 MiB are under way while a peer connects that takes 32 KiB: none hangs, none is lost."""
    c.configure(equal=True)
    use_detour(c)
    detour(c, 94)
    c.a.adm("up r0")
    c.a.adm("primary --force r0")
    load = c.a.spawn("fio --name=load --filename=/dev/drbd0 --direct=1 --ioengine=libaio --rw=randwrite --bs=1m --size=32m --iodepth=4"
                     " --runtime=30 --time_based --rate_iops=20 --verify=crc32c --verify_fatal=1")  # fmt: skip
    c.b.adm("up r0")
    c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate")
    expect(load.wait(240).code, 0, "fio")
    c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)
    expect_that(agreed(c.a) == 94, "the protocol is 94")
    c.expect_equal()
