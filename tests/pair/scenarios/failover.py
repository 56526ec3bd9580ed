# SPDX-License-Identifier: GPL-2.0-only
"""One node dies, the other takes over, and nothing that was promised is lost."""

import os

from ..config import Resource, Volume
from ..scenario import expect, expect_in, expect_that, scenario

BIG_DISK = "/dev/vdd"  # 272 MiB

# Writes files of random size and content, makes each stable, and only then says so, with its checksum.
WRITER = """\
import hashlib, os, random
folder = os.open("/mnt", os.O_RDONLY)
for number in range(100000):
    name = f"/mnt/file{number:05}"
    data = os.urandom(random.choice([100, 4096, 5000, 40000, 200000]))
    with open(name, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.fsync(folder)
    print(hashlib.sha256(data).hexdigest() + "  " + name, flush=True)
    if number >= 200:
        os.unlink(f"/mnt/file{number - 200:05}")
"""

COPY_PROGRAMS = "find /usr/bin -name '{}' -type f -size -2000k -exec cp -t /mnt {{}} +"
TAKE_SUMS = "find /mnt -type f -exec sha256sum {} + >/tmp/sums && cp /tmp/sums /mnt/sums && sync"
CHECK_SUMS = "grep -v /mnt/sums /mnt/sums | sha256sum --quiet -c"


def write_until(node, files):
    """Starts the writer on `node` and answers it once so many files are stable."""
    node.guest.put(WRITER, "/tmp/writer.py")
    writer = node.spawn("exec python3 /tmp/writer.py")
    node.guest.wait_until(f"test $(ls /mnt/file* 2>/dev/null | wc -l) -ge {min(files, 50)}", 240)
    return writer


def check_files(node, output):
    """Every file that was reported stable, and not meant to be removed, is there and whole."""
    whole = [line for line in output.decode().splitlines(keepends=True) if line.endswith("\n")]
    stable = whole[-100:]  # more may have been written than was told, and older ones removed
    expect_that(len(stable) >= 10, f"the writer got going: {len(whole)} files")
    node.guest.put("".join(stable), "/tmp/sums")
    node.run("sha256sum --quiet -c /tmp/sums", 300)
    return len(stable)


@scenario()
def switch_over(c):
    """A file system moves from one node to the other and back."""
    c.ready()
    c.a.adm("primary r0")
    c.a.run(f"mkfs.ext4 -q /dev/drbd0 && mount /dev/drbd0 /mnt && {COPY_PROGRAMS.format('d*')} && {TAKE_SUMS}", 300)
    c.b.refuses("drbdadm primary r0", 11, "0: State change failed: (-1) Multiple primaries not allowed by config")
    c.b.refuses("mount /dev/drbd0 /mnt", 32, "")
    c.a.refuses("drbdadm secondary r0", 11, "0: State change failed: (-12) Device is held open by someone")
    c.a.run("umount /mnt")
    c.a.adm("secondary r0")
    c.b.adm("primary r0")
    c.b.run(f"mount /dev/drbd0 /mnt && {CHECK_SUMS} && {COPY_PROGRAMS.format('f*')} && {TAKE_SUMS}", 300)
    c.b.run("umount /mnt && fsck.ext4 -fn /dev/drbd0", 300)
    c.b.adm("secondary r0")
    c.a.adm("primary r0")
    c.a.run(f"fsck.ext4 -fn /dev/drbd0 && mount /dev/drbd0 /mnt && {CHECK_SUMS}", 300)
    c.a.run("umount /mnt")
    c.expect_equal()


@scenario()
def demotion_waits_for_the_peer(c):
    """Protocol A on a slow link: who demotes a node, and parts it from its peer at once, has the same data on both. With
    the kernel's own driver that is luck."""
    c.ready(Resource(net={"protocol": "A", "ping-timeout": 50, "timeout": 60, "ping-int": 10}))
    node, other = c.ours_first()
    node.adm("primary r0")
    c.link.delay(1500)
    data = os.urandom(1 << 20)
    node.write(0, data)
    node.adm("secondary r0")
    c.link.cut()
    other.wait(connection={"WFConnection", "Unconnected"}, disk="UpToDate", limit=120)
    other.adm("primary r0")
    expect_that(other.read(0, 1 << 20) == data, "what was written before the demotion is at the peer")
    c.link.delay(0)
    c.link.heal()


@scenario(limit=600)
def primary_is_killed(c):
    """Power cut of the Primary under a load of fsyncs: the peer takes over with every promised file; the dead one returns."""
    c.ready(Resource(volumes=(Volume(disk=BIG_DISK),)))
    c.a.adm("primary r0")
    # Without the discard of the whole device, which would make all of it hot: what is hot at the crash is synced.
    c.a.run("mkfs.ext4 -q -E nodiscard /dev/drbd0 && mount /dev/drbd0 /mnt", 300)
    writer = write_until(c.a, 40)
    c.a.guest.power_cut()
    c.b.wait(connection="WFConnection", disk="UpToDate", peer_disk="DUnknown")
    c.b.adm("primary r0")
    c.b.run("mount /dev/drbd0 /mnt", 300)
    check_files(c.b, writer.output_so_far())
    c.b.run("umount /mnt && fsck.ext4 -fn /dev/drbd0", 300)
    c.b.run("mount /dev/drbd0 /mnt && dd if=/dev/urandom of=/mnt/after bs=64k count=20 conv=fsync status=none", 300)

    c.returned(c.a)
    c.a.adm("up r0")
    c.expect_equal()
    expect_in("Began resync as SyncTarget", c.a.log(), "log of the node that returned")
    synced = int(c.b.log().split("Began resync as SyncSource (will sync ")[1].split()[0])
    expect_that(synced < 100000, f"only a part is synced: {synced} KB")
    c.b.run("umount /mnt")
    c.b.adm("secondary r0")
    c.a.adm("primary r0")
    c.a.run("fsck.ext4 -fn /dev/drbd0", 300)


@scenario(limit=600)
def primary_is_killed_while_alone(c):
    """A Primary without its peer loses power: it comes back UpToDate, and what it had in flight is synced too."""
    c.ready()
    c.a.adm("primary r0")
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    c.a.run("mkfs.ext4 -q /dev/drbd0 && mount /dev/drbd0 /mnt", 300)
    writer = write_until(c.a, 30)
    c.a.guest.power_cut()
    c.returned(c.a)
    c.a.adm("up r0")
    c.a.wait(connection="WFConnection", disk="UpToDate")
    c.a.adm("primary r0")
    c.a.run("mount /dev/drbd0 /mnt", 300)
    check_files(c.a, writer.output_so_far())
    c.a.run("umount /mnt && fsck.ext4 -fn /dev/drbd0", 300)
    c.b.adm("connect r0")
    c.expect_equal()


@scenario(limit=600)
def power_goes_everywhere(c):
    """Both lose power at once; the former Primary's disk wins, and both become equal again."""
    c.ready()
    c.a.adm("primary r0")
    c.a.run("mkfs.ext4 -q /dev/drbd0 && mount /dev/drbd0 /mnt", 300)
    writer = write_until(c.a, 20)
    c.power_cut()
    for node in c.nodes:
        c.returned(node)
        node.adm("up r0")
    c.expect_equal()
    expect_in("Began resync as SyncSource", c.a.log(), "log of the former Primary")
    c.b.adm("primary r0")
    c.b.run("mount /dev/drbd0 /mnt", 300)
    check_files(c.b, writer.output_so_far())
    c.b.run("umount /mnt && fsck.ext4 -fn /dev/drbd0", 300)


@scenario(limit=600)
def target_is_killed(c):
    """The target of a full sync loses power: the sync goes on where it was."""
    c.up(Resource(disk={"c-max-rate": "6M"}))
    c.a.adm("primary --force r0")
    c.b.wait(connection="SyncTarget", out_of_sync=set(range(1, 35000)))
    c.b.guest.power_cut()
    c.a.wait(connection="WFConnection")
    c.returned(c.b)
    c.b.adm("up r0")
    c.expect_equal()
    expect(c.a.log().count("Began resync as SyncSource"), 2, "syncs")


@scenario(limit=600)
def source_is_killed(c):
    """The source of a full sync loses power: the target stays Inconsistent, and is not promoted, until it returns."""
    c.up(Resource(disk={"c-max-rate": "6M"}))
    c.a.adm("primary --force r0")
    data = os.urandom(65536)
    c.a.write(60 << 20, data)
    c.b.wait(connection="SyncTarget", out_of_sync=set(range(1, 50000)))
    c.a.guest.power_cut()
    c.b.wait(connection="WFConnection", disk="Inconsistent")
    c.b.refuses("drbdadm primary r0", 17, "0: State change failed: (-2) Need access to UpToDate data")
    c.returned(c.a)
    c.a.adm("up r0")
    c.expect_equal()
    c.b.adm("primary r0")
    expect_that(c.b.read(60 << 20, len(data)) == data, "what was written during the sync")
