# SPDX-License-Identifier: GPL-2.0-only
"""A disk that does not answer, below our driver. The kernel's own one panics when a disk that was given up answers after all."""

from .. import simulated_disk
from ..scenario import expect, expect_in, scenario


def hanging(c, **disk):
    """Both UpToDate, ours Primary (the first node, if both are); its disk takes fifteen seconds for everything from now on.
    Answers both nodes, ours first."""
    node, other = c.ours_first()
    simulated_disk.ready(c, 1 << 20, node, **disk)
    simulated_disk.take_long(node)
    return node, other


@scenario()
def disk_timeout(c):
    """`disk-timeout` gives the disk up; what is new goes to the peer alone."""
    node, other = hanging(c, **{"disk-timeout": 20})
    late = node.spawn("dd if=/dev/urandom of=/dev/drbd0 bs=64k count=1 oflag=direct conv=notrunc status=none")
    other.wait(peer_disk={"Failed", "Diskless"}, disk="UpToDate")
    expect_in("Local backing device failed to meet the disk-timeout", node.log(), "log")
    node.run("dd if=/dev/urandom of=/dev/drbd0 bs=64k count=1 seek=8 oflag=direct conv=notrunc status=none", 10)
    expect(late.wait(120).code, 0, "exit code of the write that the disk had")
    node.wait(disk="Diskless", peer_disk="UpToDate")
    simulated_disk.behave(node)
    node.adm("attach r0")
    c.expect_same_content("/dev/sda")
    simulated_disk.put_away(c)


@scenario()
def detach_by_force(c):
    """`detach --force` ends at once, whatever the disk does."""
    node, other = hanging(c)
    late = node.spawn("dd if=/dev/urandom of=/dev/drbd0 bs=64k count=1 oflag=direct conv=notrunc status=none")
    node.run("sleep 1")
    node.run("drbdsetup detach --force 0", 10)
    other.wait(peer_disk={"Failed", "Diskless"}, disk="UpToDate")
    node.run("dd if=/dev/urandom of=/dev/drbd0 bs=64k count=1 seek=8 oflag=direct conv=notrunc status=none", 10)
    expect(late.wait(120).code, 0, "exit code of the write that the disk had")
    node.wait(disk="Diskless", peer_disk="UpToDate")
    simulated_disk.put_away(c)
