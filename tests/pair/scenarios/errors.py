# SPDX-License-Identifier: GPL-2.0-only
"""What is refused: the exit code and the words of drbd-utils, as they are with the kernel's own driver."""

import os

from .. import backing
from ..config import Resource
from ..scenario import expect, expect_in, expect_that, scenario

SUPERBLOCK = (64 << 20) - 4096  # internal metadata: the last 4 KiB of /dev/vdb
ATTACH = "drbdsetup attach 0 /dev/vdb /dev/vdb internal"
NO_SIGNATURE = "0: Failure: (119) No valid meta-data signature found."
UNKNOWN_MINOR = "7: Failure: (127) Device minor not allocated\nadditional info from kernel:\nunknown minor"
LOCAL, REMOTE = "ipv4:10.83.0.1:{}", "ipv4:10.83.0.2:{}"


@scenario(nodes=1)
def names_and_numbers(c):
    """Resources, volumes and minors that do not exist, exist already, or cannot exist."""
    c.a.refuses("drbdsetup new-resource a/b", 10, "a/b: Failure: (162) Invalid configuration request\nadditional info from kernel:\ninvalid resource name")
    c.a.setup("new-resource x")
    c.a.setup("new-resource x")
    c.a.refuses("drbdsetup new-minor nope 0 0", 10, "??: Failure: (158) Unknown resource\nadditional info from kernel:\nunknown resource")
    c.a.setup("new-minor x 0 0")
    c.a.setup("new-minor x 0 0")
    c.a.refuses("drbdsetup new-minor x 0 1", 10, "(162) Invalid configuration request\nadditional info from kernel:\nminor exists as different volume")
    c.a.refuses("drbdsetup new-minor x 1 0", 10, "??: Failure: (161) Minor or volume exists already (delete it first)")
    c.a.refuses("drbdsetup new-minor x 1048576 3", 10, "(162) Invalid configuration request\nadditional info from kernel:\nrequested minor out of range")
    c.a.refuses("drbdsetup new-minor x 5 65535", 10, "(162) Invalid configuration request\nadditional info from kernel:\nrequested volume id out of range")
    for command in ("attach 7 /dev/vdb /dev/vdb internal", "primary 7", "secondary 7", "detach 7", "role 7", "cstate 7", "del-minor 7"):
        c.a.refuses(f"drbdsetup {command}", 10, UNKNOWN_MINOR)
    c.a.refuses("drbdsetup del-resource nope", 10, "nope: Failure: (158) Unknown resource\nadditional info from kernel:\nunknown resource")
    c.a.refuses("drbdsetup status nope", 10, "nope: No such resource")
    c.a.refuses("drbdsetup del-resource x", 10, "x: Failure: (159) Resource still in use (delete all minors first)")
    c.a.setup("del-minor 0")
    c.a.setup("del-resource x")
    expect(c.a.text("drbdsetup show; drbdsetup status"), "", "what is left")


@scenario(nodes=1)
def addresses(c):
    """An address that another connection has, and connections that do not exist."""
    c.a.setup("new-resource x")
    c.a.setup("new-resource y")
    c.a.setup(f"connect x {LOCAL.format(7000)} {REMOTE.format(7000)}")
    c.a.refuses(f"drbdsetup connect y {LOCAL.format(7000)} ipv4:10.83.0.3:7000", 10, "y: Failure: (102) Local address(port) already in use.")
    c.a.refuses(f"drbdsetup connect y {LOCAL.format(7001)} {REMOTE.format(7000)}", 10, "y: Failure: (103) Remote address(port) already in use.")
    c.a.refuses(f"drbdsetup connect x {LOCAL.format(7000)} {REMOTE.format(7000)}", 10, "x: Failure: (102) Local address(port) already in use.")
    c.a.refuses(f"drbdsetup connect nope {LOCAL.format(7005)} {REMOTE.format(7005)}", 10, "nope: Failure: (158) Unknown resource")
    c.a.refuses(f"drbdsetup disconnect {LOCAL.format(1)} {REMOTE.format(1)}", 10,
                "??: Failure: (162) Invalid configuration request\nadditional info from kernel:\nunknown connection")  # fmt: skip
    c.a.refuses("drbdsetup del-resource x", 10, "x: Failure: (125) Device has a net-config (use disconnect first)")
    c.a.refuses("rmmod drbd", 1, "Module drbd is in use")
    c.a.setup(f"disconnect {LOCAL.format(7000)} {REMOTE.format(7000)}")
    c.a.setup("del-resource x")
    c.a.setup("del-resource y")


@scenario(nodes=1)
def already_so(c):
    """A second attach, the end of a minor with a disk, unloading a driver in use."""
    c.configure()
    c.a.adm("up r0")
    c.a.refuses(ATTACH, 10, "0: Failure: (124) Device is attached to a disk (use detach first)")
    c.a.refuses("drbdsetup del-minor 0", 10, "0: Failure: (160) Minor still configured (down it first)")
    c.a.refuses("rmmod drbd", 1, "Module drbd is in use")
    c.a.wait(connection="WFConnection", disk="Inconsistent")
    c.a.adm("down r0")
    c.a.adm("down r0")
    c.a.refuses("drbdadm status r0", 10, "r0: No such resource")


@scenario(nodes=1)
def alone(c):
    """What needs a peer or UpToDate data is refused without it."""
    c.configure()
    c.a.adm("up r0")
    need_connection = "0: State change failed: (-15) Need a connection to start verify or resync"
    for role in ("secondary", "primary --force"):
        c.a.adm(f"{role} r0")
        for command in ("invalidate", "invalidate-remote", "verify"):
            c.a.refuses(f"drbdadm {command} r0", 11, need_connection)
    c.a.refuses("drbdsetup new-current-uuid 0", 10, "0: Failure: (151) Need to be StandAlone")
    c.a.refuses("drbdsetup new-current-uuid --clear-bitmap 0", 10, "0: Failure: (151) Need to be StandAlone")
    c.a.refuses("drbdadm outdate r0", 17, "")
    c.a.refuses("drbdadm detach r0", 17, "0: State change failed: (-2) Need access to UpToDate data")
    c.a.refuses("drbdadm resume-sync r0", 10, "0: Failure: (135) Sync-pause flag is already cleared")
    c.a.adm("pause-sync r0")
    c.a.refuses("drbdadm pause-sync r0", 10, "0: Failure: (134) Sync-pause flag is already set")


@scenario(nodes=1)
def no_metadata(c):
    """A disk that was never given metadata, and devices that are none."""
    c.configure()
    c.a.setup("new-resource r0")
    c.a.setup("new-minor r0 0 0")
    c.a.refuses("drbdsetup attach 0 /dev/nope /dev/nope internal", 20, "Can not open device '/dev/nope': No such file or directory")
    c.a.refuses("drbdsetup attach 0 /dev/null /dev/null internal", 20, "/dev/null is not a block device!")
    c.a.refuses("drbdsetup attach 0 /dev/vdc /dev/vdc internal", 10, NO_SIGNATURE)
    c.a.refuses("drbdsetup attach 0 /dev/vdb /dev/vdd flexible", 10, NO_SIGNATURE)
    c.a.refuses("drbdsetup attach 0 /dev/vdb /dev/vdd 0", 10, NO_SIGNATURE)
    c.a.refuses("drbdsetup attach 0 /dev/vdb /dev/vdd 1", 10, NO_SIGNATURE)
    expect_in('Meta data magic not found. Did you "drbdadm create-md"?', c.a.log(), "log")
    expect(c.a.device().connection, "Unconfigured", "the device")
    c.a.setup("attach 0 /dev/vdb /dev/vdb internal")


def damaged(c, offset, data, code_and_text, logged):
    """Fresh metadata, some bytes of its superblock changed: how attach refuses it, and what the log says."""
    c.configure()
    disk = c.backing(c.a, "/dev/vdb")
    backing.write(disk, SUPERBLOCK + offset, bytes.fromhex(data))
    before = disk.read_bytes()
    c.a.setup("new-resource r0")
    c.a.setup("new-minor r0 0 0")
    seen = len(c.a.log())
    c.a.refuses(ATTACH, 10, code_and_text)
    c.a.run("sleep 0.3")
    expect_in(logged, c.a.log()[seen:], f"log with {data} at {offset} of the superblock")
    expect_that(disk.read_bytes() == before, "nothing was written to a disk that was refused")
    expect(c.a.device().connection, "Unconfigured", "the device")
    c.a.setup("down r0")


@scenario(nodes=1)
def unclean_metadata(c):
    """A superblock that drbdmeta has to clean up first."""
    damaged(c, 60, "8374026c", "0: Failure: (165) Unclean meta-data found.\nYou need to 'drbdadm apply-al res'",
            'Found unclean meta data. Did you "drbdadm apply-al"?')  # fmt: skip
    c.a.adm("up r0")
    c.a.wait(disk="Inconsistent")


@scenario(nodes=1)
def foreign_metadata(c):
    """No magic, or that of DRBD 0.7."""
    damaged(c, 60, "00000000", NO_SIGNATURE, 'Meta data magic not found. Did you "drbdadm create-md"?')
    damaged(c, 60, "8374026a", NO_SIGNATURE, 'Found old (0.7) meta data magic. Did you "drbdadm create-md"?')
    c.a.refuses("drbdadm up r0", 1, "No valid meta data found")


@scenario(nodes=1)
def damaged_metadata(c):
    """Offsets and sizes that cannot be."""
    nonsense = "meta data offsets don't make sense: idx=-3 al_s=1"
    damaged(c, 68, "00000040", NO_SIGNATURE, f"{nonsense}, al_sz4k=8, al_offset=64, bm_offset=-72, md_size_sect=80, la_size=0, md_capacity=131072")
    damaged(c, 64, "00000060", NO_SIGNATURE, f"{nonsense}, al_sz4k=8, al_offset=-64, bm_offset=-72, md_size_sect=96, la_size=0, md_capacity=131072")
    damaged(c, 76, "00000100", NO_SIGNATURE, f"{nonsense}, al_sz4k=8, al_offset=-64, bm_offset=256, md_size_sect=80, la_size=0, md_capacity=131072")
    damaged(c, 92, "00000800", NO_SIGNATURE, f"{nonsense}, al_sz4k=2048, al_offset=-64, bm_offset=-72, md_size_sect=80, la_size=0, md_capacity=131072")
    damaged(c, 92, "00000000", NO_SIGNATURE, "invalid activity log striping: al_stripes=1, al_stripe_size_4k=0")
    damaged(c, 80, "00002000", NO_SIGNATURE, "unexpected bm_bytes_per_bit: 8192 (expected 4096)")


@scenario(nodes=1)
def disk_in_use(c):
    """A disk that is mounted, or below another DRBD device."""
    c.configure()
    c.a.run("mkfs.ext4 -q /dev/vdc && mount /dev/vdc /mnt")
    c.a.setup("new-resource r0")
    c.a.setup("new-minor r0 0 0")
    c.a.refuses("drbdsetup attach 0 /dev/vdc /dev/vdc internal", 10, "0: Failure: (104) Can not open backing device.")
    c.a.refuses("drbdsetup attach 0 /dev/vdb /dev/vdc flexible", 10, "0: Failure: (105) Can not open meta device.")
    expect_in('open("/dev/vdc") failed with -16', c.a.log(), "log")
    c.a.run("umount /mnt")
    c.a.setup("attach 0 /dev/vdb /dev/vdb internal")
    c.a.setup("new-resource r1")
    c.a.setup("new-minor r1 1 0")
    c.a.refuses("drbdsetup attach 1 /dev/vdb /dev/vdb internal", 10, "1: Failure: (104) Can not open backing device.")
    c.a.wait(disk="Inconsistent")


@scenario(nodes=1)
def disk_shrank(c):
    """Metadata of a bigger disk with valid data, moved to a smaller one."""
    c.configure()
    c.a.adm("up r0")
    c.a.adm("primary --force r0")
    c.a.adm("down r0")
    c.a.adm("apply-al r0")
    backing.write(c.backing(c.a, "/dev/vdb"), SUPERBLOCK, (130992 + 800).to_bytes(8, "big"))
    c.a.setup("new-resource r0")
    c.a.setup("new-minor r0 0 0")
    c.a.refuses(ATTACH, 10, 
                "To-be-attached device has last effective > current size, and is consistent\n(131792 > 130992 sectors). Refusing to attach.")
    c.a.refuses(ATTACH, 10, "0: Failure: (170) Implicit device shrinking not allowed. See kernel log.")
    expect(c.a.device().connection, "Unconfigured", "the device")


@scenario(nodes=1)
def options_that_cannot_be(c):
    """Options of a running connection and disk that contradict each other, or name what is not there."""
    c.configure()
    c.a.adm("up r0")
    net = f"drbdsetup net-options {LOCAL.format(7788)} {REMOTE.format(7788)}"
    c.a.refuses(f"{net} --verify-alg=nope", 10, "??: Failure: (146) VERIFYAlgNotAvail")
    c.a.refuses(f"{net} --protocol=A --allow-two-primaries", 10, "??: Failure: (139) Protocol C required")
    c.a.refuses(f"{net} --on-congestion=pull-ahead", 10, "??: Failure: (155) on-congestion policy pull-ahead only with prot A allowed")
    c.a.refuses("drbdsetup disk-options 0 --resync-after=0", 10, "0: Failure: (133) This would cause a resync-after dependency cycle")
    c.a.setup("resource-options r0 --on-no-data-accessible=suspend-io --cpu-mask=1")
    shown = c.a.text("drbdsetup show r0")
    for words in ('cpu-mask        \t"1";', "on-no-data-accessible\tsuspend-io;"):
        expect_in(words, shown, "drbdsetup show")
    expect_that("verify-alg" not in shown and "allow-two" not in shown and "protocol" not in shown, "nothing is half configured")


@scenario(nodes=1)
def without_privileges(c):
    """An ordinary user sees the state and changes nothing."""
    c.configure()
    c.a.adm("up r0")
    c.a.run("chmod 1777 /run/lock")
    user = "setpriv --reuid=65534 --clear-groups"
    expect(c.a.text(f"{user} drbdsetup role 0"), "Secondary/Unknown", "drbdsetup role")
    expect_in("disk:Inconsistent", c.a.text(f"{user} drbdsetup status r0"), "drbdsetup status")
    expect_in("exists device name:r0", c.a.text(f"{user} drbdsetup events2 --now"), "drbdsetup events2")
    for command in ("primary --force 0", "detach 0", "down r0", "new-resource other", "pause-sync 0"):
        c.a.run(f"! {user} drbdsetup {command}")
    c.a.wait(role="Secondary", disk="Inconsistent", connection="WFConnection", flags="r----s")
    expect_that("other" not in c.a.text("drbdsetup status"), "no new resource")


@scenario(nodes=1)
def garbage_on_the_port(c):
    """Somebody who does not speak DRBD connects: nothing happens to the resource."""
    c.configure(Resource(net={"connect-int": 3}))
    c.a.adm("up r0")
    c.a.wait(connection="WFConnection")
    noise = "import os, socket\nfor _ in range(8):\n try:\n  s = socket.create_connection(('10.83.0.1', 7788), 5, ('10.83.0.1', 0))\n  s.sendall(os.urandom(5000))\n  s.settimeout(3)\n  s.recv(100)\n except OSError:\n  pass\n"
    c.a.guest.put(noise, "/tmp/noise.py")
    c.a.run("python3 /tmp/noise.py", 200)
    c.a.wait(connection={"WFConnection", "Unconnected"}, role="Secondary", disk="Inconsistent")
    c.a.adm("disconnect r0")
    c.a.wait(connection="StandAlone")


@scenario()
def promotion(c):
    """Outdated and Inconsistent disks are promoted by force only."""
    c.ready()
    c.a.adm("primary r0")
    c.b.adm("disconnect r0")
    c.b.adm("outdate r0")
    c.b.wait(disk="Outdated", connection="StandAlone")
    output = c.b.refuses("drbdadm primary r0", 17, "0: State change failed: (-2) Need access to UpToDate data")
    expect_that("Failure" not in output, output)
    c.a.write(1 << 20, os.urandom(4096))
    c.b.adm("connect r0")
    c.expect_equal()
    c.b.refuses("drbdadm primary r0", 11, "0: State change failed: (-1) Multiple primaries not allowed by config")


@scenario(nodes=1)
def killed_on_the_way(c):
    """drbdsetup is killed while it makes a resource, at many moments, for memory is refused to who is being killed: it is there as
    a whole, or not at all."""
    c.a.run("time -p drbdsetup new-resource r0 2>/dev/null; drbdsetup down r0")
    whole = "drbdsetup new-resource r0 && drbdsetup del-resource r0"
    cut = "timeout -s KILL $(awk -v n=$i 'BEGIN { print 0.002 + n * 0.001 }') drbdsetup new-resource r0"
    c.a.run(f"for i in $(seq 100); do {cut} 2>/dev/null; drbdsetup del-resource r0 2>/dev/null; done; {whole}", 300)
