# SPDX-License-Identifier: GPL-2.0-only
"""A disk that does not answer."""

import os

from ..config import Resource, Volume
from ..scenario import expect, expect_in, scenario

DELAY = "/sys/bus/pseudo/drivers/scsi_debug/delay"  # ticks of four milliseconds


def hanging(c, **disk):
    """Both UpToDate on simulated disks, the first node Primary; that of the first node takes fifteen seconds for everything from now on."""
    for node in c.nodes:
        node.run("modprobe sd_mod; modprobe scsi_debug dev_size_mb=32 delay=0; for n in $(seq 50); do test -b /dev/sda && break; sleep 0.1; done")
    c.ready(Resource(volumes=(Volume(disk="/dev/sda"),), disk=disk))
    c.a.adm("primary r0")
    c.a.write(0, os.urandom(1 << 20))
    c.a.run(f"echo 3750 > {DELAY}")


def put_away(c):
    """Takes the simulated disks down again."""
    for node in c.nodes:
        node.run(f"echo 0 > {DELAY}; drbdadm down r0; rmmod scsi_debug")


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
    c.a.run(f"echo 0 > {DELAY}")
    c.a.adm("attach r0")
    c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)
    put_away(c)


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
    put_away(c)
