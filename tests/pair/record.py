# SPDX-License-Identifier: GPL-2.0-only
"""python3 -m tests.pair.record FOLDER [STEP...]: what two nodes with the kernel's own driver say to each other, and what they leave
on their disks, as text files for tests/fuzz/captures."""

import pathlib
import sys
import tempfile

from . import pcap
from .cluster import DISKS, Cluster
from .config import Resource, Volume

SMALL = {"size": "8M"}
HEAD = "# SPDX-License-Identifier: GPL-2.0-only\n"


class Recorder:
    """Listens on the cable while something happens."""

    def __init__(self, cluster, folder):
        self.c = cluster
        self.folder = folder

    def during(self, name, why, action):
        """Records `action` in the file `name`."""
        command = "exec tcpdump -i eth0 -s 0 -B 16384 -U -w /tmp/capture tcp port 7788"
        listener = self.c.a.guest.spawn(command)
        self.c.a.run("sleep 1; while ! [ -s /tmp/capture ]; do sleep 0.2; done")
        action()
        self.c.a.run("sleep 1; pkill tcpdump; while pgrep tcpdump; do sleep 0.2; done")
        listener.wait(30)
        lines = pcap.lines(self.c.a.guest.get("/tmp/capture"))
        # Of what comes again and again, some is enough.
        seen, kept = {}, []
        for line in lines:
            sender, socket, _, name, volume = line.split()[:5]
            kind = (sender, socket, name, volume)
            seen[kind] = seen.get(kind, 0) + 1
            if seen[kind] <= 16 or name in ("CBitmap", "ReportBitMap"):
                kept.append(line)
        text = HEAD + f"# {why}\n" + "".join(line + "\n" for line in kept)
        (self.folder / f"{name}.packets").write_text(text)
        print(f"{name}: {len(lines)} packets, {len(kept)} kept", flush=True)

    def metadata(self, name, why, node, dump=True):
        """Keeps the internal metadata of a disk that nobody uses now: the last 4 KiB, and the activity log before it;
        with it, what drbdmeta says of the superblock."""
        disk = self.c.backing(node, DISKS[0]).read_bytes()
        superblock, log = len(disk) - 4096, len(disk) - 4096 - 32768
        lines = [HEAD + f"# {why}"]
        if dump:
            said = node.text("drbdmeta --force 0 v08 /dev/vdb internal dump-md")
            said = said.split("bm {")[0].split("bm-bytes")[0]
            lines += [f"drbdmeta {' '.join(line.split())}" for line in said.splitlines() if line.strip() and line[0] != "#"]
        for part, start, length in [("superblock", superblock, 4096), ("log", log, 32768)]:
            for at in range(0, length, 64):
                row = disk[start + at : start + at + 64]
                if any(row):
                    lines.append(f"{part} {at:x} {'ff' if row == 64 * bytes([255]) else row.hex()}")
        (self.folder / f"{name}.metadata").write_text("\n".join(lines) + "\n")
        print(f"{name}: metadata", flush=True)


def handshakes(c, recorder):
    """Connect and disconnect, with each option that the handshake speaks of."""
    options = {
        "protocol-c": {},
        "protocol-a": {"protocol": "A"},
        "protocol-b": {"protocol": "B"},
        "secret": {"cram-hmac-alg": "sha256", "shared-secret": "a secret"},
        "integrity": {"data-integrity-alg": "crc32c"},
        "verify-and-csums": {"verify-alg": "sha256", "csums-alg": "crc32c"},
        "two-primaries": {"allow-two-primaries": "yes", "after-sb-0pri": "discard-zero-changes",
                          "after-sb-1pri": "discard-secondary", "after-sb-2pri": "disconnect"},
    }  # fmt: skip
    for name, net in options.items():
        resource = Resource(net=net, disk=SMALL)

        def meet(resource=resource):
            c.up(resource)
            for node in c.nodes:
                node.adm("down r0")

        recorder.during(f"handshake-{name}", f"Two fresh disks meet, and part again; net options {net or 'of the default'}.", meet)


def write_all(node, minor=0):
    """Writes of all sizes and kinds."""
    for number, size in enumerate([512, 4096, 65536, 1 << 20]):
        node.write(number << 20, bytes([number + 1]) * size, minor=minor)
    node.run(f"blkdiscard -o 1048576 -l 65536 /dev/drbd{minor}", check=False)
    node.run(f"blkdiscard -z -o 2097152 -l 65536 /dev/drbd{minor}", check=False)
    node.run(f"sync; blockdev --flushbufs /dev/drbd{minor}")


def writes(c, recorder):
    """What replication says, with each protocol."""
    for protocol in "CBA":
        c.ready(Resource(net={"protocol": protocol}, disk=SMALL))
        c.a.adm("primary r0")

        def work():
            c.a.adm("disconnect r0")
            c.a.adm("connect r0")
            c.wait(connection="Connected", disk="UpToDate")
            write_all(c.a)

        recorder.during(f"writes-protocol-{protocol.lower()}", "Writes of 512 bytes to 1 MiB, a discard, zeroes, flushes.", work)
        c.clean()


def outage(c, recorder, name, why, **options):
    """Blocks change while the peer is away, and are resynced."""
    c.ready(Resource(disk=SMALL, **options))
    c.a.adm("primary r0")
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    for block in range(10):
        c.a.write(block * 700 * 1024, bytes([block + 1]) * 8192)

    def meet():
        c.b.adm("connect r0")
        c.expect_equal()

    recorder.during(name, why, meet)
    c.clean()


def verify(c, recorder):
    """Online verify, with blocks that differ."""
    c.ready(Resource(net={"verify-alg": "sha256"}, disk=SMALL))
    c.a.adm("primary r0")
    c.b.run("dd if=/dev/urandom of=/dev/vdb bs=4096 count=2 seek=300 oflag=direct conv=notrunc status=none")

    def work():
        c.a.adm("disconnect r0")
        c.a.adm("connect r0")
        c.wait(connection="Connected", disk="UpToDate")
        c.a.adm("verify r0")
        c.a.run("sleep 2")
        c.wait(connection="Connected")

    recorder.during("verify", "An online verify that finds two blocks.", work)
    c.clean()


def diskless(c, recorder):
    """A Primary without a disk, requests to change states, pauses."""
    c.ready(Resource(disk=SMALL))
    c.a.adm("primary r0")
    c.a.write(0, b"x" * 65536)

    def work():
        c.a.adm("disconnect r0")
        c.a.adm("connect r0")
        c.wait(connection="Connected", disk="UpToDate")
        c.a.adm("detach r0")
        c.a.wait(disk="Diskless")
        c.a.read(0, 65536)
        write_all(c.a)
        c.a.adm("attach r0")
        c.expect_equal()
        c.b.adm("pause-sync r0")
        c.b.adm("invalidate r0", check=False)
        c.b.run("sleep 1")
        c.b.adm("resume-sync r0")
        c.expect_equal()
        c.a.adm("invalidate-remote r0")
        c.a.run("sleep 1")
        c.expect_equal()

    recorder.during("diskless-and-invalidate", "A Primary without a disk; pauses; resyncs that an administrator asks for.", work)
    c.clean()


def volumes(c, recorder):
    """Two volumes."""
    both = (Volume(), Volume(number=1, minor=1, disk="/dev/vdc"))
    resource = Resource(volumes=both, disk=SMALL)

    def work():
        c.ready(resource)
        c.a.adm("primary r0")
        for minor in (0, 1):
            write_all(c.a, minor)

    recorder.during("two-volumes", "Two volumes meet, and are written to.", work)
    c.clean()


def metadata(c, recorder):
    """What lies on a disk at several moments."""
    c.configure(Resource(disk=SMALL))
    recorder.metadata("fresh", "As create-md leaves it.", c.a)
    c.clean()
    c.ready(Resource())
    c.a.adm("primary r0")
    for block in range(12):
        c.a.write(block * 5 << 20, bytes([block + 1]) * 8192)
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    for block in range(4):
        c.a.write(block * 9 << 20, bytes([block + 101]) * 8192)
    c.a.run("sleep 1")
    c.a.guest.power_cut()
    recorder.metadata("primary-without-power", "A Primary, alone, that lost power.", c.a, dump=False)
    c.b.adm("down r0")
    recorder.metadata("secondary-down", "Its peer: Outdated or not, and down.", c.b)
    c.returned(c.a)
    c.a.adm("up r0")
    c.a.wait(disk="UpToDate")
    c.a.adm("down r0")
    recorder.metadata("down", "The former Primary, attached again, and down.", c.a)


STEPS = {
    "handshakes": handshakes,
    "writes": writes,
    "runs": lambda c, r: outage(c, r, "resync-with-runs", "A resync after an outage; bitmaps as runs.", net={"use-rle": "yes"}),
    "plain": lambda c, r: outage(c, r, "resync-plain", "A resync after an outage; plain bitmaps.", net={"use-rle": "no"}),
    "checksums": lambda c, r: outage(c, r, "resync-checksums", "A resync by checksums.", net={"csums-alg": "sha256"}),
    "verify": verify,
    "diskless": diskless,
    "volumes": volumes,
    "metadata": metadata,
}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, Cluster(pathlib.Path(scratch), ("c", "c")) as c:
        recorder = Recorder(c, folder)
        for name in sys.argv[2:] or STEPS:
            try:
                c.begin(2)
                STEPS[name](c, recorder)
            except Exception as problem:  # the others are worth having
                print(f"{name} FAILED: {problem}", flush=True)
            c.clean()


if __name__ == "__main__":
    main()
