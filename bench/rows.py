# SPDX-License-Identifier: GPL-2.0-only
"""What is measured. Each row answers a number that is better when it is higher."""

import dataclasses
import json
import re

from tests.pair.config import Resource, Volume
from tests.pair.scenario import expect

DISK_KIB = 256 << 10
QUARTER_KIB = DISK_KIB // 4
MIB = 1 << 20


@dataclasses.dataclass
class Row:
    """`prepare` and `measure` get the cluster; `measure` answers a number in `unit`. The short form has `short` rows only."""

    name: str
    unit: str
    prepare: object
    measure: object
    short: bool = False


# States of the pair. What the row before left is used again where it fits.


def fresh(c, volumes=1, **net):
    """RAM disks with zeros and fresh metadata, both nodes up and connected."""
    c.clean()
    c.resources = (Resource(volumes=tuple(Volume(number, number, f"/dev/ram{number}") for number in range(volumes)), net=net),)
    size = DISK_KIB // volumes
    for node in c.nodes:
        node.load()
        node.run(f"rmmod brd 2>/dev/null; modprobe brd rd_nr={volumes} rd_size={size}", 60)
        # Without the pages a RAM disk would allocate them while it is measured.
        node.run(f"for n in $(seq 0 {volumes - 1}); do dd if=/dev/zero of=/dev/ram$n bs=1M count={size >> 10} 2>/dev/null; done; sync", 120)
        c.put_config(node)
        node.adm("create-md --force r0")
        node.adm("up r0")
    c.wait(connection="Connected")
    c.left_by = None


def mirrored(protocol="C", volumes=1, **net):
    """Both UpToDate without a sync, and the first node Primary."""

    def prepare(c):
        state = ("mirrored", volumes, net)
        if getattr(c, "left_by", None) != state:
            fresh(c, volumes, **net)
            for volume in c.volumes():
                c.a.setup(f"new-current-uuid --clear-bitmap {volume.minor}")
            c.wait(disk="UpToDate", peer_disk="UpToDate")
            c.a.adm("primary r0")
            c.left_by = state
        c.a.setup(f"net-options ipv4:10.83.0.1:7788 ipv4:10.83.0.2:7788 --protocol={protocol}")
        c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0, protocol=protocol)

    return prepare


def disconnected(c):
    """The Primary alone."""
    mirrored()(c)
    c.left_by = None
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")


# Measurements.


def fio(node, unit, seconds, *options, minors=(0,)):
    """IOPS or MB/s of a load on each of the devices at once, after a second of warming up."""
    command = f"fio --direct=1 --ioengine=libaio --time_based --ramp_time=1 --output-format=json --runtime={seconds}".split()
    jobs = [word for minor in minors for word in (f"--name=row{minor}", f"--filename=/dev/drbd{minor}", *options)]
    result = json.loads(node.run([*command, *jobs], 300).stdout)
    kinds = [job["trim" if any("trim" in option for option in options) else "write"] for job in result["jobs"]]
    return sum(kind["iops"] if unit == "IOPS" else kind["bw_bytes"] / 1e6 for kind in kinds)


def logged(node, first, last):
    """Seconds between two lines of the kernel log of a node, and the match of the first of them."""
    node.guest.wait_until(f"dmesg | grep '{last}' >/dev/null", 600)
    log = node.log()
    start = re.search(rf"^\[ *(\d+\.\d+)\].*{first}", log, re.MULTILINE)
    end = re.search(rf"^\[ *(\d+\.\d+)\].*{last}", log, re.MULTILINE)
    return float(end[1]) - float(start[1]), start


def resync(c, kib):
    """MB/s of the resync that is under way, from its first to its last line in the kernel log of the source."""
    c.a.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0, limit=600)
    seconds, start = logged(c.a, r"Began resync as SyncSource \(will sync (\d+) KB", "drbd0: Resync done")
    expect(int(start[2]), kib, "KiB of the sync")
    return kib * 1024 / 1e6 / seconds


def initial_sync(c):
    """The first full sync."""
    forget(c)
    c.a.adm("primary --force r0")
    return resync(c, c.a.size() >> 10)


def checksum_resync(c):
    """A quarter of the disk is marked, and nothing of it differs: only checksums are compared."""
    c.left_by = None
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    c.a.run(f"dd if=/dev/zero of=/dev/drbd0 bs=1M count={QUARTER_KIB >> 10} oflag=direct status=none", 120)
    forget(c)
    c.b.adm("connect r0")
    return resync(c, QUARTER_KIB)


def verify(c):
    """An online verify of a quarter of the disk, from its first to its last line in the kernel log."""
    forget(c)
    c.a.setup(f"verify 0 --start=0 --stop={QUARTER_KIB * 2}s")
    seconds, _ = logged(c.a, "Starting Online Verify from sector", "Online verify done")
    c.a.wait(connection="Connected", out_of_sync=0)
    return QUARTER_KIB * 1024 / 1e6 / seconds


def forget(c):
    """The kernel log of the first node starts anew."""
    c.a.run("dmesg -C")
    c.a.begin()


def rows(seconds):
    """In an order in which one can use what another left."""

    def load(unit, *options, minors=(0,)):
        return lambda c: fio(c.a, unit, seconds, *options, minors=minors)

    result = []
    for protocol in "CAB":
        suffix, short = ("", True) if protocol == "C" else (f", protocol {protocol}", False)
        result += [
            Row("4 KiB random write, depth 1" + suffix, "IOPS", mirrored(protocol), load("IOPS", "--rw=randwrite", "--bs=4k", "--iodepth=1"), short),
            Row("4 KiB random write, depth 32" + suffix, "IOPS", mirrored(protocol), load("IOPS", "--rw=randwrite", "--bs=4k", "--iodepth=32"), short),
            Row("1 MiB sequential write" + suffix, "MB/s", mirrored(protocol), load("MB/s", "--rw=write", "--bs=1m", "--iodepth=4"), short),
        ]
    return [
        *result,
        Row("64 KiB random discard, depth 8", "IOPS", mirrored(), load("IOPS", "--rw=randtrim", "--bs=64k", "--iodepth=8"), True),
        # The protocol plays no part in the next two.
        Row("disconnected, 4 KiB random write, depth 32", "IOPS", disconnected, load("IOPS", "--rw=randwrite", "--bs=4k", "--iodepth=32"), True),
        Row("initial sync, 256 MiB", "MB/s", fresh, initial_sync, True),
        Row("online verify, 64 MiB", "MB/s", mirrored(**{"verify-alg": "crc32c"}), verify, True),
        Row("checksum resync, 64 MiB", "MB/s", mirrored(**{"csums-alg": "crc32c"}), checksum_resync),
        Row("four volumes, 4 KiB random write, depth 8 each", "IOPS", mirrored(volumes=4),
            load("IOPS", "--rw=randwrite", "--bs=4k", "--iodepth=8", minors=range(4))),
    ]  # fmt: skip


def choose(measured, words):
    """Those that are named: `short`, `all`, or a part of a name."""
    chosen = [row for row in measured if any(word == "all" or (word == "short" and row.short) or word in row.name for word in words)]
    for word in words:
        if word not in ("short", "all") and not any(word in row.name for row in measured):
            raise SystemExit(f"no row has {word!r} in its name; --list shows them")
    return chosen
