# SPDX-License-Identifier: GPL-2.0-only
"""How fast a resync goes: fixed rate, controller, and applications that use the same disk."""

import os
import re
import time

from ..config import Resource
from ..scenario import expect_that, scenario


def seconds_of_sync(node):
    """How long the last resync took, as the log has it."""
    found = re.findall(r"Resync done \(total (\d+) sec; paused", node.log())
    expect_that(found, "the log tells of the end of a resync")
    return int(found[-1])


def miss(c, size):
    """The second node misses `size` bytes."""
    c.a.adm("primary r0")
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    for start in range(0, size, 1 << 19):
        c.a.write(start, os.urandom(1 << 19))
    c.b.adm("connect r0")


@scenario()
def fixed_rate(c):
    """c-plan-ahead 0 and resync-rate 250k: 1.5 MiB take about six seconds."""
    c.ready(Resource(disk={"c-plan-ahead": 0, "resync-rate": "250k"}))
    miss(c, 3 << 19)
    c.expect_equal()
    seconds = seconds_of_sync(c.b)
    expect_that(5 <= seconds <= 12, f"seconds for 1.5 MiB at 250 KiB/s: {seconds}")


@scenario()
def highest_rate(c):
    """c-max-rate 1M bounds the controller: 8 MiB do not come in less than seven seconds."""
    c.ready(Resource(disk={"c-max-rate": "1M"}))
    miss(c, 8 << 20)
    c.expect_equal()
    seconds = seconds_of_sync(c.b)
    expect_that(7 <= seconds <= 60, f"seconds for 8 MiB at 1 MiB/s: {seconds}")


@scenario()
def either_node_says(c):
    """A node that gets other options for its resyncs while connected tells its peer, whose resync it may be."""
    c.ready()
    for node, peer, rate in ((c.a, c.b, 1024), (c.b, c.a, 2048)):
        node.setup(f"disk-options 0 --c-max-rate={rate}k")
        peer.guest.wait_until(f"drbdsetup show r0 | grep -Eq 'c-max-rate[[:space:]]+{rate}k'", 30)


@scenario()
def smallest_values(c):
    """The least that drbd_limits.h has works; our driver refuses less. The kernel's own takes any number that gets past drbdsetup."""
    c.ready(Resource(disk={"c-max-rate": "250k", "c-fill-target": "0", "c-delay-target": 1, "c-plan-ahead": 1, "resync-rate": "250k"}))
    for node in c.nodes:
        for option in ("c-max-rate=249k", "c-max-rate=1k", "c-delay-target=0", "c-fill-target=1048577s"):
            if node.driver == "rust":
                refused = node.run(f"drbdsetup disk-options 0 --{option}", check=False)
                expect_that(refused.code != 0, f"{option} is refused")
    miss(c, 1 << 20)
    c.expect_equal()
    seconds = seconds_of_sync(c.b)
    expect_that(3 <= seconds <= 60, f"seconds for 1 MiB at 250 KiB/s: {seconds}")


@scenario()
def delay_target(c):
    """Without a fill target the delay counts: a sync over a line with delay comes to its end."""
    c.ready(Resource(disk={"c-fill-target": "0", "c-delay-target": 5, "resync-rate": "2M"}))
    c.link.delay(30)
    miss(c, 8 << 20)
    c.expect_equal()


@scenario()
def applications_go_first(c):
    """While an application works on the source's disk, and that is ours, the resync keeps to about c-min-rate; afterwards it is fast
    again. The kernel's own driver holds each read up for a tenth of a second, however much the target asks for."""
    source, _ = c.ours_first()
    c.up(Resource(disk={"c-max-rate": "10M", "c-min-rate": "250k", "resync-rate": "10M"}))
    source.adm("primary --force r0")
    began = time.monotonic()
    load = "fio --name=load --filename=/dev/drbd0 --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --size=4m --iodepth=4 --rate=4m --runtime=12 --time_based"
    running = source.spawn(load)
    source.run("sleep 4")
    early = source.device(0).out_of_sync
    source.run("sleep 6")
    late = source.device(0).out_of_sync
    expect_that(late > 0, "the sync has not ended under load")
    expect_that(early - late < 15_000, f"KiB synced in six seconds under load: {early - late}")
    running.wait(120)
    c.expect_equal()
    expect_that(time.monotonic() - began < 120, "the sync ends soon after the load")
