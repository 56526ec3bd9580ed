# SPDX-License-Identifier: GPL-2.0-only
"""One node without its peer: everything that an administrator does before a second machine exists."""

import os

from ..config import Resource, Volume
from ..scenario import expect, expect_in, expect_that, scenario


@scenario(nodes=1)
def load_and_unload(c):
    """The driver shows itself in /proc, in the list of block majors and in the log, and leaves without a trace."""
    expect(c.a.text("cat /proc/drbd").splitlines()[0], "version: 8.4.11 (api:1/proto:86-101)", "first line of /proc/drbd")
    expect(c.a.text("grep drbd /proc/devices").split(), ["147", "drbd"], "block major")
    expect_in("drbd: initialized. Version: 8.4.11 (api:1/proto:86-101)", c.a.log(), "log")
    expect(c.a.text("cat /sys/module/drbd/parameters/usermode_helper"), "/bin/true", "module parameter")
    expect(c.a.text("cat /sys/module/drbd/parameters/minor_count"), "32", "module parameter")
    c.a.unload()
    c.a.refuses("cat /proc/drbd", 1, "No such file")
    c.a.run("! grep drbd /proc/devices")


@scenario(nodes=1)
def load_again_and_again(c):
    """Twenty times in and out, with a device in between."""
    c.configure()
    for _ in range(20):
        c.a.unload()
        c.a.load()
        c.a.setup("new-resource r0")
        c.a.setup("new-minor r0 0 0")
        c.a.setup("down r0")


@scenario(nodes=1)
def attach_and_detach(c):
    """A fresh disk attaches as Inconsistent, with the whole bitmap set, detaches and attaches again."""
    c.configure()
    c.a.setup("new-resource r0")
    c.a.setup("new-minor r0 0 0")
    expect(c.a.device().connection, "Unconfigured", "before it has a disk")
    c.a.adm("attach r0")
    device = c.a.wait(connection="StandAlone", role="Secondary", peer="Unknown", disk="Inconsistent", peer_disk="DUnknown")
    expect(c.a.size(), 65496 << 10, "size of the device on a disk of 64 MiB")
    expect(device.out_of_sync, 65496, "out of sync in KiB")
    c.a.adm("detach r0")
    expect(c.a.device().connection, "Unconfigured", "without its disk")
    c.a.adm("attach r0")
    c.a.wait(disk="Inconsistent")
    c.a.adm("down r0")
    expect(c.a.text("drbdsetup status; drbdsetup show"), "", "status and show without a resource")


@scenario(nodes=1)
def disks_below(c):
    """sysfs, and so lsblk, shows what a volume lies on: its disk, and the device with its metadata where that is another."""
    c.configure(Resource(volumes=(Volume(), Volume(1, 1, "/dev/vdc", "/dev/vdd"))))

    def links():
        below = [c.a.text(f"ls /sys/block/drbd{minor}/slaves").split() for minor in (0, 1)]
        return below, [c.a.text(f"ls /sys/block/{disk}/holders").split() for disk in ("vdb", "vdc", "vdd")]

    c.a.setup("new-resource r0")
    for minor in (0, 1):
        c.a.setup(f"new-minor r0 {minor} {minor}")
    nothing = ([[], []], [[], [], []])
    expect(links(), nothing, "links without disks")
    for _ in range(2):
        c.a.adm("attach r0")
        expect(links(), ([["vdb"], ["vdc", "vdd"]], [["drbd0"], ["drbd1"], ["drbd1"]]), "links with disks")
        c.a.adm("detach r0")
        expect(links(), nothing, "links without disks again")
    c.a.run("dd if=/dev/zero of=/dev/vdd bs=4k count=1 oflag=direct status=none")
    c.a.refuses("drbdsetup attach 1 /dev/vdc /dev/vdd flexible", 10, "1: Failure: (119) No valid meta-data signature found.")
    expect(links(), nothing, "links of a disk that could not be attached")
    c.a.adm("down r0")


@scenario(nodes=1)
def stable_pages(c):
    """A page stays as it is while it is written, for the disk and the peer each read it, whatever the disk asks for."""
    c.configure()
    c.a.setup("new-resource r0")
    c.a.setup("new-minor r0 0 0")
    stable = "/sys/block/drbd0/queue/stable_writes"
    if c.a.driver == "rust":
        # With C it begins with the first disk.
        expect(c.a.file(stable), "1\n", "before there is a disk")
    c.a.adm("attach r0")
    expect(c.a.file("/sys/block/vdb/queue/stable_writes"), "0\n", "what the disk asks for")
    expect(c.a.file(stable), "1\n", "with a disk")
    c.a.adm("detach r0")
    expect(c.a.file(stable), "1\n", "without the disk again")
    c.a.adm("down r0")


@scenario(nodes=1)
def up_alone(c):
    """`up` without a peer waits for the connection; `disconnect` and `connect` leave and enter that."""
    c.configure()
    c.a.adm("up r0")
    c.a.wait(connection="WFConnection", role="Secondary", peer="Unknown", disk="Inconsistent", peer_disk="DUnknown")
    c.a.adm("disconnect r0")
    c.a.wait(connection="StandAlone")
    c.a.adm("connect r0")
    c.a.wait(connection="WFConnection")
    c.a.adm("down r0")


@scenario(nodes=1)
def roles(c):
    """Inconsistent data is promoted by force only; from then on it is UpToDate, also after detach and attach."""
    c.configure()
    c.a.adm("up r0")
    c.a.refuses("drbdadm primary r0", 17, "0: State change failed: (-2) Need access to UpToDate data")
    c.a.adm("primary --force r0")
    c.a.wait(role="Primary", disk="UpToDate")
    c.a.adm("primary r0")
    c.a.refuses("drbdadm detach r0", 17, "0: State change failed: (-2) Need access to UpToDate data")
    c.a.adm("secondary r0")
    c.a.wait(role="Secondary", disk="UpToDate")
    c.a.adm("detach r0")
    c.a.adm("attach r0")
    c.a.wait(role="Secondary", disk="UpToDate")
    c.a.adm("primary r0")
    expect(c.a.adm("role r0").text, "Primary/Unknown", "drbdadm role")
    expect(c.a.adm("cstate r0").text, "WFConnection", "drbdadm cstate")
    expect(c.a.adm("dstate r0").text, "UpToDate/DUnknown", "drbdadm dstate")


@scenario(nodes=1)
def write_and_read(c):
    """What is written is read again, also below the device; it is still there after down and up."""
    c.configure()
    c.a.adm("up r0")
    c.a.adm("primary --force r0")
    size = c.a.size()
    pieces = {0: os.urandom(4096), 65536: os.urandom(1 << 20), (5 << 20) + 512: os.urandom(512), size - 8192: os.urandom(8192)}
    for offset, data in pieces.items():
        c.a.write(offset, data)
    for offset, data in pieces.items():
        expect_that(c.a.read(offset, len(data)) == data, f"read at {offset}")
        expect_that(c.a.read(offset, len(data), minor="0 if=/dev/vdb") == data, f"read below the device at {offset}")
    c.a.adm("down r0")
    c.a.adm("up r0")
    c.a.adm("primary r0")
    for offset, data in pieces.items():
        expect_that(c.a.read(offset, len(data)) == data, f"read at {offset} after down and up")


@scenario(nodes=1)
def fio_verifies(c):
    """Random writes of all sizes at depth 16, each read back and compared."""
    c.configure()
    c.a.adm("up r0")
    c.a.adm("primary --force r0")
    c.a.fio("--rw=randwrite", "--bsrange=512-256k", "--blockalign=512", "--size=32m", "--iodepth=16", "--verify=crc32c", "--verify_fatal=1")
    c.a.fio("--rw=randrw", "--bs=4k", "--size=8m", "--iodepth=32", "--fsync=16", "--verify=crc32c", "--verify_fatal=1")


@scenario(nodes=1)
def file_system(c):
    """ext4 is made, used, unmounted, checked, and mounted again; discards go through."""
    c.configure()
    c.a.adm("up r0")
    c.a.adm("primary --force r0")
    c.a.run("mkfs.ext4 -q /dev/drbd0 && mount /dev/drbd0 /mnt", 300)
    c.a.run("find /usr/bin -name 'd*' -type f -size -2000k -exec cp -t /mnt {} + && cd /mnt && find . -type f -exec sha256sum {} + >/tmp/sums && cp /tmp/sums sums", 300)
    c.a.refuses("drbdadm secondary r0", 11, "0: State change failed: (-12) Device is held open by someone")
    c.a.run("umount /mnt")
    c.a.adm("secondary r0")
    c.a.adm("down r0")
    c.a.adm("up r0")
    c.a.adm("primary r0")
    c.a.run("fsck.ext4 -fn /dev/drbd0 && mount /dev/drbd0 /mnt && cd /mnt && sha256sum --quiet -c sums", 300)
    c.a.run("rm -r /mnt/d* && sync && fstrim -v /mnt && umount /mnt && fsck.ext4 -fn /dev/drbd0", 300)


@scenario(nodes=1)
def secondary_is_closed(c):
    """A Secondary is opened neither for writing nor for reading."""
    c.configure()
    c.a.adm("up r0")
    c.a.adm("primary --force r0")
    c.a.adm("secondary r0")
    c.a.refuses("dd if=/dev/drbd0 of=/dev/null bs=4k count=1", 1, "Wrong medium type")
    c.a.refuses("dd if=/dev/zero of=/dev/drbd0 bs=4k count=1 conv=notrunc", 1, "Read-only file system")


@scenario(nodes=1)
def show_and_status(c):
    """`show`, `status` and `events2` tell what was configured and what is."""
    c.configure(Resource(net={"max-buffers": 4000, "verify-alg": "crc32c"}, disk={"resync-rate": "10M", "on-io-error": "pass_on"}))
    c.a.adm("up r0")
    c.a.adm("primary --force r0")
    shown = c.a.text("drbdsetup show r0").split()
    for words in ("max-buffers 4000;", 'verify-alg "crc32c";', "resync-rate 10240k; # bytes/second", "on-io-error pass_on;",
                  'disk "/dev/vdb";', "meta-disk internal;", "ping-int 5; # seconds", "address ipv4 10.83.0.1:7788;"):  # fmt: skip
        expect_in(f" {words} ", f" {' '.join(shown)} ", "drbdsetup show")
    shown = " ".join(c.a.text("drbdsetup show --show-defaults r0").split())
    for words in ("protocol C;", "max-epoch-size 2048;", "al-extents 1237;", "after-sb-0pri disconnect;", "use-rle yes;", "al-updates yes;"):
        expect_in(words, shown, "drbdsetup show --show-defaults")
    status = " ".join(c.a.text("drbdsetup status r0 --verbose --statistics").split())
    for words in ("r0 role:Primary suspended:no", "write-ordering:flush", "volume:0 minor:0 disk:UpToDate", "size:65496 read:", "al-writes:",
                  "bm-writes:", "upper-pending:0 lower-pending:0 al-suspended:yes blocked:no", "connection:Connecting", "congested:no"):  # fmt: skip
        expect_in(words, status, "drbdsetup status")
    events = c.a.text("drbdsetup events2 --now r0").splitlines()
    expect(events[0], "exists resource name:r0 role:Primary suspended:no", "events2, first line")
    expect_in("exists device name:r0 volume:0 minor:0 disk:UpToDate", events, "events2")
    expect_in("connection:Connecting role:Unknown", "\n".join(events), "events2")
    expect(events[-1], "exists -", "events2, last line")


@scenario(nodes=1)
def events_are_told(c):
    """events2 follows an attach, a promotion, a demotion and the end, in that order."""
    c.configure()
    watch = c.a.spawn("drbdsetup events2")
    c.a.run("until drbdsetup events2 --now | grep -q 'exists -'; do sleep 0.1; done")
    c.a.adm("up r0")
    c.a.adm("primary --force r0")
    c.a.adm("secondary r0")
    c.a.adm("down r0")
    for _ in range(100):
        told = watch.output_so_far().decode()
        if "destroy resource name:r0" in told:
            break
        c.a.run("sleep 0.2")
    position = 0
    for line in ("exists -", "create resource name:r0 role:Secondary", "create device name:r0 volume:0 minor:0 disk:Diskless",
                 "change device name:r0 volume:0 minor:0 disk:Attaching", "change device name:r0 volume:0 minor:0 disk:Inconsistent",
                 "create connection name:r0", "connection:Connecting", "change resource name:r0 role:Primary", "disk:UpToDate",
                 "change resource name:r0 role:Secondary", "disk:Diskless", "destroy device name:r0 volume:0 minor:0",
                 "destroy resource name:r0"):  # fmt: skip
        found = told.find(line, position)
        expect_that(found >= 0, f"events2 does not tell {line!r} after what came before it:\n{told}")
        position = found


@scenario(nodes=1)
def metadata_agrees(c):
    """drbdmeta reads what the driver left on the disk: flags, identifiers, a bitmap with the blocks that were written."""
    c.configure()
    c.a.adm("up r0")
    c.a.adm("primary --force r0")
    first = c.a.uuids()
    c.a.write(8 << 20, os.urandom(4096))
    c.a.adm("down r0")
    c.a.refuses("drbdadm dump-md r0", 1, 'Found meta data is "unclean", please apply-al first')
    c.a.adm("apply-al r0")
    dump = c.a.adm("dump-md r0").text
    for words in ('version "v08";', "la-size-sect 130992;", "bm-byte-per-bit 4096;", "al-stripes 1;", "al-stripe-size-4k 8;", "# md_size_sect 80", "# bits-set 16374;"):
        expect_in(words, dump, "drbdadm dump-md")
    expect_in(f"0x{first[0]:016X}"[:-1], dump, "the current identifier in the metadata")
    c.a.adm("up r0")
    expect(c.a.uuids(), first, "identifiers after down and up")
    c.a.wait(disk="UpToDate", out_of_sync=65496)


@scenario(nodes=1)
def more_writes_than_fit(c):
    """More writes at once than the driver has room for, over more extents than the activity log has: all of them end."""
    c.configure(Resource(disk={"al-extents": 7}))
    c.a.adm("up r0")
    c.a.adm("primary --force r0")
    options = "--rw=randwrite --bs=4k --size=60m --iodepth=400 --iodepth_batch=100 --numjobs=8 --thread --group_reporting --runtime=10 --time_based"
    c.a.fio(*options.split())
