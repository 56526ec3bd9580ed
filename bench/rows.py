# SPDX-License-Identifier: GPL-2.0-only
"""What is measured. Each row answers a number that is better when it is higher."""

import dataclasses
import json
import re

from tests.pair.config import Resource, Volume
from tests.pair.scenario import expect

RAM_DISK_KIB = 256 << 10
MIB = 1 << 20
RESOURCE = Resource(volumes=(Volume(disk="/dev/ram0"),))


@dataclasses.dataclass
class Row:
    """`prepare` and `measure` get the cluster; `measure` answers a number in `unit`."""

    name: str
    unit: str
    prepare: object
    measure: object


def fio(node, unit, seconds, *options):
    """IOPS or MB/s of a load on /dev/drbd0, after a second of warming up."""
    command = "fio --name=row --filename=/dev/drbd0 --direct=1 --ioengine=libaio --time_based --ramp_time=1 --output-format=json"
    result = json.loads(node.run([*command.split(), f"--runtime={seconds}", *options], 300).stdout)
    write = result["jobs"][0]["write"]
    return write["iops"] if unit == "IOPS" else write["bw_bytes"] / 1e6


def fresh(c):
    """RAM disks with zeros and fresh metadata, both nodes up and connected."""
    c.clean()
    c.resources = (RESOURCE,)
    for node in c.nodes:
        node.load()
        node.run(f"rmmod brd 2>/dev/null; modprobe brd rd_nr=1 rd_size={RAM_DISK_KIB} && dd if=/dev/zero of=/dev/ram0 bs=1M 2>/dev/null; sync", 120, check=False)
        c.put_config(node)
        node.adm("create-md --force r0")
        node.adm("up r0")
    c.wait(connection="Connected")


def mirrored(c):
    """Both UpToDate without a sync, and the first node Primary."""
    fresh(c)
    c.a.setup("new-current-uuid --clear-bitmap 0")
    c.wait(disk="UpToDate", peer_disk="UpToDate")
    c.a.adm("primary r0")


def mirrored_still(c):
    """As the row before left it."""
    c.a.wait(connection="Connected", role="Primary", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)


def disconnected(c):
    """The Primary alone."""
    mirrored_still(c)
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")


def initial_sync(c):
    """MB/s of the first full sync, from its first to its last line in the kernel log of the source."""
    c.a.begin()
    c.a.adm("primary --force r0")
    c.a.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", limit=600)
    c.a.guest.wait_until("dmesg | grep 'drbd0: Resync done' >/dev/null")
    first = re.search(r"^\[ *(\d+\.\d+)\].*Began resync as SyncSource \(will sync (\d+) KB", c.a.log(), re.MULTILINE)
    last = re.search(r"^\[ *(\d+\.\d+)\].*Resync done", c.a.log(), re.MULTILINE)
    expect(int(first[2]) * 1024, c.a.size(), "bytes of the sync")
    return int(first[2]) * 1024 / 1e6 / (float(last[1]) - float(first[1]))


def rows(seconds):
    """In the order in which they build on each other."""

    def load(unit, *options):
        return lambda c: fio(c.a, unit, seconds, *options)

    return [
        Row("4 KiB random write, depth 1", "IOPS", mirrored, load("IOPS", "--rw=randwrite", "--bs=4k", "--iodepth=1")),
        Row("4 KiB random write, depth 32", "IOPS", mirrored_still, load("IOPS", "--rw=randwrite", "--bs=4k", "--iodepth=32")),
        Row("1 MiB sequential write", "MB/s", mirrored_still, load("MB/s", "--rw=write", "--bs=1m", "--iodepth=4")),
        Row("disconnected, 4 KiB random write, depth 32", "IOPS", disconnected, load("IOPS", "--rw=randwrite", "--bs=4k", "--iodepth=32")),
        Row("initial sync, 256 MiB", "MB/s", fresh, initial_sync),
    ]  # fmt: skip
