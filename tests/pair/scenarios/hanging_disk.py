# SPDX-License-Identifier: GPL-2.0-only
"""A disk that does not answer."""

from .. import simulated_disk
from ..scenario import expect, expect_in, scenario


def hanging(c, **disk):
    """Both UpToDate, the first node Primary; its disk takes fifteen seconds for everything from now on."""
    simulated_disk.ready(c, 1 << 20, **disk)
    simulated_disk.take_long(c.a)


@scenario()
def disk_timeout(c):
    """`disk-timeout` gives the disk up; what is new goes to the peer alone."""
    hanging(c, **{"disk-timeout": 20})
    late = c.a.spawn("dd if=/dev/urandom of=/dev/drbd0 bs=64k count=1 oflag=direct conv=notrunc status=none")
    c.b.wait(peer_disk={"Failed", "Diskless"}, disk="UpToDate")
    expect_in("Local backing device failed to meet the disk-timeout", c.a.log(), "log")
    c.a.run("dd if=/dev/urandom of=/dev/drbd0 bs=64k count=1 seek=8 oflag=direct conv=notrunc status=none", 10)
    expect(late.wait(120).code, 0, "exit code of the write that the disk had")
    c.a.wait(disk="Diskless", peer_disk="UpToDate")
    simulated_disk.behave(c.a)
    c.a.adm("attach r0")
    c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)
    simulated_disk.put_away(c)


@scenario()
def detach_by_force(c):
    """`detach --force` ends at once, whatever the disk does."""
    hanging(c)
    late = c.a.spawn("dd if=/dev/urandom of=/dev/drbd0 bs=64k count=1 oflag=direct conv=notrunc status=none")
    c.a.run("sleep 1")
    c.a.run("drbdsetup detach --force 0", 10)
    c.b.wait(peer_disk={"Failed", "Diskless"}, disk="UpToDate")
    c.a.run("dd if=/dev/urandom of=/dev/drbd0 bs=64k count=1 seek=8 oflag=direct conv=notrunc status=none", 10)
    expect(late.wait(120).code, 0, "exit code of the write that the disk had")
    c.a.wait(disk="Diskless", peer_disk="UpToDate")
    simulated_disk.put_away(c)
