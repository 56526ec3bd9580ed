# SPDX-License-Identifier: GPL-2.0-only
"""File systems under load while links are cut, nodes killed and roles changed. LOAD_SECONDS says for how long, each.

Three writers at once: one that makes each file stable and then tells its checksum (fsync-heavy), and two fio jobs that
read back and verify what they wrote, one past the page cache, one mixed and through it. What was told must be there afterwards,
on whichever node; both file systems must be whole; nobody may stand still for longer than the timeouts explain.
"""

import os
import random
import time

from guests import TimeLimit

from ..config import Resource, Volume
from ..scenario import Failed, expect, scenario

DISK = "/dev/vdd"  # the big one
STANDSTILL = 90  # seconds; the time limits of the connection are five, here, and a host may be busy
MAKE = {"ext4": "mkfs.ext4 -q -E nodiscard", "xfs": "mkfs.xfs -q -f -K --unsupported"}
CHECK = {"ext4": "fsck.ext4 -fn", "xfs": "xfs_repair -n"}

# Writes files of random size and content, makes each stable, and only then says so, with its checksum.
WRITER = """\
import hashlib, os, random, sys
first = int(sys.argv[1])
os.makedirs("/mnt/stable", exist_ok=True)
folder = os.open("/mnt/stable", os.O_RDONLY)
for number in range(first, first + 100000):
    name = f"/mnt/stable/{number:07}"
    data = os.urandom(random.choice([100, 4096, 5000, 40000, 200000]))
    with open(name, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.fsync(folder)
    print(hashlib.sha256(data).hexdigest() + "  " + name, flush=True)
    if number >= first + 100:
        os.unlink(f"/mnt/stable/{number - 100:07}")
"""

# Loops, each with its own verification: with a time limit fio would write blocks again before it verified them. They end where
# it finds other data than it wrote, and only there. Threads: a kill ends all of it.
FIO = "exec fio --thread --output-format=terse --ioengine=libaio --randrepeat=0 --loops=100000 --verify=crc32c --verify_fatal=1 --directory=/mnt"
DIRECT = f"{FIO} --name=direct --direct=1 --rw=randwrite --bsrange=4k-64k --size=12m --iodepth=8"
MIXED = f"{FIO} --name=mixed --rw=randrw --rwmixread=50 --bs=8k --size=6m --iodepth=4 --fsync=32"


class Storm:
    """A file system on the Primary with its load, and what happens to it."""

    def __init__(self, c, protocol, kind, seed):
        self.c = c
        self.kind = kind
        self.protocol = protocol
        self.chance = random.Random(seed)
        self.primary, self.secondary = c.a, c.b
        self.first = 0
        self.promised = {}
        self.jobs = []
        self.story = []

    # The load

    def start(self):
        """Mounts, checks what was promised, and starts the writers."""
        node = self.primary
        node.run("mount /dev/drbd0 /mnt", 120)
        self.check_promises()
        node.run("rm -rf /mnt/direct* /mnt/mixed* /mnt/stable", 120)
        node.guest.put(WRITER, "/tmp/writer.py")
        self.promised = {}
        self.writer = node.spawn(f"exec python3 /tmp/writer.py {self.first}")
        self.jobs = [node.spawn(DIRECT), node.spawn(MIXED)]
        self.progress()

    def lines(self):
        """What the writer has told, whole lines only."""
        return [line for line in self.writer.output_so_far().decode().splitlines(keepends=True) if line.endswith("\n")]

    def progress(self, files=2):
        """The writer goes on, and no fio job has found an error."""
        before, started = len(self.lines()), time.monotonic()
        while len(self.lines()) < before + files:
            if time.monotonic() > started + STANDSTILL:
                raise TimeLimit(f"no write became stable for {STANDSTILL} s after: {self.told()}; {self.primary.device()}")
            if self.writer.ended:
                raise Failed(f"the writer ended after: {self.told()}: {self.writer.wait(1)}")
            time.sleep(0.2)
        self.verified()

    def verified(self):
        """No fio job has found an error."""
        for job in self.jobs:
            if job.ended:
                result = job.wait(1)
                raise Failed(f"fio ended with {result.code} after: {self.told()}\n{(result.stdout + result.stderr).decode(errors='replace')[-2000:]}")

    def remember(self):
        """What the writer has promised, and not removed since."""
        lines = self.lines()
        self.promised = dict(reversed(line.strip().split("  ")) for line in lines[-90:])
        self.first += len(lines) + 1000

    def stop(self):
        """Ends the writers and unmounts."""
        self.verified()
        # Asked nicely, fio may go on for ever. Killed, it ends when what it has under way does.
        for job in self.jobs:
            job.kill()
            job.wait(STANDSTILL)
        self.writer.kill()
        self.writer.wait(STANDSTILL)
        self.remember()
        self.primary.run("umount /mnt", STANDSTILL * 2)

    def check_promises(self):
        """Every promised file is there and whole."""
        if not self.promised:
            return
        names = "".join(f"{checksum}  {name}\n" for name, checksum in self.promised.items())
        self.primary.guest.put(names, "/tmp/sums")
        result = self.primary.run("sha256sum --quiet -c /tmp/sums", 120, check=False)
        expect(result.code, 0, f"promised files after: {self.told()}\n{(result.stdout + result.stderr).decode(errors='replace')[-2000:]}")

    def check_file_system(self):
        """As it was left. The journal of one that was not unmounted has to be played first: in its blocks, some changes are newer
        than others."""
        self.primary.run("mount /dev/drbd0 /mnt && umount /mnt", 120)
        self.primary.run(f"{CHECK[self.kind]} /dev/drbd0", 200)

    # What happens

    def told(self):
        return ", ".join(self.story) or "the beginning"

    def link_cut(self):
        """The cable loses frames for a moment, or until both have noticed."""
        self.c.link.cut()
        if self.chance.random() < 0.5:
            self.primary.run("sleep 1")
        else:
            self.primary.wait(connection={"WFConnection", "Unconnected", "NetworkFailure", "Timeout", "BrokenPipe", "TearDown"}, limit=STANDSTILL)
            self.progress()
        self.c.link.heal()

    def disconnect(self):
        """An administrator takes the connection down and up."""
        self.secondary.adm("disconnect r0")
        self.progress()
        self.secondary.adm("connect r0")

    def peer_killed(self):
        """The Secondary loses power and comes back."""
        self.secondary.guest.power_cut()
        self.progress()
        self.c.returned(self.secondary)
        self.secondary.adm("up r0")

    def together(self):
        """Both have all data. What is asked of a Secondary that takes over."""
        self.primary.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0, limit=STANDSTILL * 2)

    def primary_killed(self):
        """The Primary loses power; the other takes over, and finds what was promised."""
        self.together()
        self.progress()
        self.primary.guest.power_cut()
        self.remember()
        if self.protocol == "A":
            # What was on its way is gone with the node that died. It was the last; what was written before must be there.
            self.promised = dict(list(self.promised.items())[:-30])
        dead, self.primary, self.secondary = self.primary, self.secondary, self.primary
        self.primary.wait(connection="WFConnection", disk="UpToDate", limit=STANDSTILL)
        self.primary.adm("primary r0")
        self.check_file_system()
        self.start()
        self.c.returned(dead)
        dead.adm("up r0")

    def roles_change(self):
        """Both nodes agree that the other one is Primary now."""
        self.stop()
        self.together()
        self.primary.adm("secondary r0")
        self.primary, self.secondary = self.secondary, self.primary
        self.primary.adm("primary r0")
        self.check_file_system()
        self.start()


def play(c, protocol, kind, seconds):
    """A storm of so many seconds."""
    seed = int(os.environ.get("LOAD_SEED", random.randrange(1 << 32)))
    print(f"       protocol {protocol}, {kind}: LOAD_SEED={seed} LOAD_SECONDS={seconds}", flush=True)
    # Several changes of direction are nothing that a pair without fencing forgives by itself: the storm never writes on both sides.
    c.ready(Resource(volumes=(Volume(disk=DISK),), net={"protocol": protocol}, disk={"c-min-rate": "4M"}))
    c.a.adm("primary r0")
    c.a.run(f"{MAKE[kind]} /dev/drbd0", 200)
    storm = Storm(c, protocol, kind, seed)
    storm.start()
    end = time.monotonic() + seconds
    events = [storm.link_cut, storm.disconnect, storm.peer_killed, storm.primary_killed, storm.roles_change]
    storm.chance.shuffle(events)
    # Each once, in some order, before chance alone decides.
    while time.monotonic() < end:
        event = events.pop() if events else getattr(storm, storm.chance.choice(["link_cut", "disconnect", "peer_killed", "primary_killed", "roles_change"]))
        storm.story.append(event.__name__)
        event()
        storm.progress(storm.chance.randrange(2, 20))
    storm.stop()
    storm.together()
    storm.check_file_system()
    storm.primary.run("mount /dev/drbd0 /mnt", 120)
    storm.check_promises()
    storm.primary.run("umount /mnt")
    print(f"       {storm.told()}", flush=True)
    c.expect_equal()


@scenario(limit=900)
def short(c):
    """A minute of it: protocol C, ext4."""
    play(c, "C", "ext4", int(os.environ.get("LOAD_SECONDS", 45)))


@scenario(limit=900)
def short_xfs(c):
    """A minute of it: protocol A, xfs."""
    play(c, "A", "xfs", int(os.environ.get("LOAD_SECONDS", 45)))


@scenario(limit=900)
def short_b(c):
    """A minute of it: protocol B, ext4."""
    play(c, "B", "ext4", int(os.environ.get("LOAD_SECONDS", 45)))


def _long(protocol, kind):
    """Registers a long storm."""

    def storm(c):
        play(c, protocol, kind, int(os.environ.get("LOAD_SECONDS", 600)))

    storm.__doc__ = f"Ten minutes of it, or LOAD_SECONDS: protocol {protocol}, {kind}."
    storm.__name__ = f"{kind}_{protocol.lower()}"
    scenario(limit=7200)(storm)


for _kind in MAKE:
    for _protocol in "ABC":
        _long(_protocol, _kind)
