# SPDX-License-Identifier: GPL-2.0-only
"""A backing disk goes from the kernel's own driver to ours and back in every state: what the one wrote the other accepts, and
the resync that follows moves only what must be moved. Each scenario does both directions itself."""

import difflib
import os
import re

from ..config import Resource, Volume
from ..scenario import expect, expect_that, scenario

DIRECTIONS = (("c", "rust"), ("rust", "c"))
EXTENT_BITS = 1024  # an extent of the activity log is 4 MiB, a bit 4 KiB
KINDS = {"internal": "internal", "flexible": "/dev/vdd", "indexed": "/dev/vdd [1]"}


def change(node, driver):
    """Another driver; nothing is configured."""
    node.unload()
    node.driver = driver
    node.load()


def dump(node):
    """The metadata of r0, as drbdmeta prints it, without comments, and without the lowest bit of the current UUID: it says that
    the node was Primary when the superblock was written, and 8.4 writes none for a demotion alone."""
    node.adm("apply-al r0", check=False)
    text = re.sub(r"(uuid {\n +0x[0-9A-F]{15})([0-9A-F])", lambda found: f"{found[1]}{int(found[2], 16) & ~1:X}", node.adm("dump-md r0").text)
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def bits_set(node):
    """What drbdmeta counts in the bitmap of r0, after it applied the activity log."""
    node.adm("apply-al r0", check=False)
    return int(re.search(r"# bits-set (\d+);", node.adm("dump-md r0").text)[1])


def synced_bits(text):
    """Bits of the resyncs that a log tells of."""
    return [int(number) for number in re.findall(r"Began resync as Sync\w+ \(will sync \d+ KB \[(\d+) bits set\]\)", text)]


def fresh(c, first, resource, stripes):
    """Both nodes with the driver `first`, equal disks, UpToDate, and the first node Primary."""
    for node in c.nodes:
        node.run("drbdsetup down r0 2>/dev/null", check=False)
        change(node, first)
    c.prepare(resource, equal=True)
    for node in c.nodes:
        if stripes:
            node.run(f"drbdmeta --force 0 v08 /dev/vdb internal create-md {stripes}")
        else:
            node.adm("create-md --force r0")
        node.adm("up r0")
    c.wait(connection="Connected")
    c.a.setup("new-current-uuid --clear-bitmap 0")
    c.wait(disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)
    c.a.adm("primary r0")


def cleanly(c, second):
    """Down after an outage with five blocks written: the other driver writes the same superblock and bitmap, and syncs them."""
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    for block in range(5):
        c.a.write((3 + 9 * block) << 20, os.urandom(8192))
    c.a.adm("secondary r0")
    c.a.adm("down r0")
    before = dump(c.a)
    expect(bits_set(c.a), 10, "bits that the first driver wrote")
    change(c.a, second)
    c.a.adm("up r0")
    c.a.wait(disk="UpToDate", out_of_sync=40)
    c.a.adm("down r0")
    expect(dump(c.a), before, f"metadata that {second} wrote, after it had the disk")
    seen = len(c.a.log())
    c.a.adm("up r0")
    c.b.adm("connect r0")
    c.expect_equal()
    expect(synced_bits(c.a.log()[seen:]), [10], "bits that were synced")


def after_a_crash(c, second):
    """Power cut of the Primary while three extents are hot: `drbdmeta apply-al` marks them, and they alone are synced."""
    seen = len(c.b.log())
    for extent in (2, 5, 11):
        c.a.write((extent << 22) + (1 << 20), os.urandom(65536))
    c.a.guest.power_cut()
    c.b.wait(connection="WFConnection", disk="UpToDate")
    c.a.driver = second
    c.returned(c.a)
    marked = bits_set(c.a)
    expect(marked, 3 * EXTENT_BITS, "bits that apply-al set")
    c.a.adm("up r0")
    c.expect_equal()
    expect(synced_bits(c.b.log()[seen:]), [marked], "bits that were synced")


def in_the_middle(c, second, node, power_cut):
    """A slow full sync stops half way, with `node` gone; it comes back with the other driver, and the rest is synced."""
    c.a.adm("secondary r0")
    seen = len(c.a.log())
    c.a.adm("invalidate-remote r0")
    c.b.wait(connection="SyncTarget", out_of_sync=set(range(1, 48000)))
    other = c.b if node is c.a else c.a
    if power_cut:
        node.guest.power_cut()
    else:
        node.adm("down r0")
    other.wait(connection="WFConnection")
    node.driver = second
    if power_cut:
        c.returned(node)
    else:
        change(node, second)
    marked = bits_set(node)
    # What the bitmap on the disk has not been told of yet when the power goes is synced once more.
    expect_that(0 < marked < (16375 if power_cut else 15000), f"{node.name}: bits that are left: {marked}")
    node.adm("up r0")
    c.expect_equal()
    rest = synced_bits(c.a.log()[seen:])[-1]
    # The node that stayed may know of less that is in sync: what was on its way when the other left.
    expect_that(marked <= rest <= marked + 2048, f"bits that were synced at last: {rest}, left on {node.name}: {marked}")


def play(c, meta, stripes, states):
    """The states one after the other, in both directions."""
    resource = Resource(volumes=(Volume(meta=meta),), disk={"c-max-rate": "8M", "c-plan-ahead": 0, "resync-rate": "8M"})
    try:
        for first, second in DIRECTIONS:
            fresh(c, first, resource, stripes)
            for state, *details in states:
                state(c, second, *details)
                for node in c.nodes:
                    if node.driver != first:
                        node.adm("secondary r0", check=False)
                        node.adm("down r0")
                        change(node, first)
                        node.adm("up r0")
                c.expect_equal()
                c.a.adm("primary r0")
    finally:
        c.restore_drivers()


@scenario(limit=900, both_drivers=True)
def internal(c):
    """Internal metadata: cleanly detached, and after a crash with a hot activity log."""
    play(c, KINDS["internal"], "", [(cleanly,), (after_a_crash,)])


@scenario(limit=900, both_drivers=True)
def flexible(c):
    """External metadata of flexible size: cleanly detached, and after a crash with a hot activity log."""
    play(c, KINDS["flexible"], "", [(cleanly,), (after_a_crash,)])


@scenario(limit=900, both_drivers=True)
def indexed(c):
    """Metadata in the second slot of a shared device: cleanly detached, and after a crash with a hot activity log."""
    play(c, KINDS["indexed"], "", [(cleanly,), (after_a_crash,)])


@scenario(limit=900, both_drivers=True)
def striped(c):
    """An activity log of four stripes of 64 KiB: cleanly detached, and after a crash with a hot activity log."""
    play(c, KINDS["internal"], "--al-stripes 4 --al-stripe-size-kB 64", [(cleanly,), (after_a_crash,)])


@scenario(limit=1200, both_drivers=True)
def middle_of_a_resync(c):
    """In the middle of a resync, as target and as source, taken down and after a power cut."""
    target, source = c.b, c.a
    play(c, KINDS["internal"], "", [(in_the_middle, target, False), (in_the_middle, source, False), (in_the_middle, target, True), (in_the_middle, source, True)])


# The same history under both drivers.


class Records:
    """Dumps of both nodes, with a name for each number that chance made: one name for the whole history."""

    def __init__(self, c):
        self.c = c
        self.names = {}
        self.dumps = []

    def down(self, moment, first, bitmap=True):
        """Takes both nodes down, `first` before the other, and keeps what is on their disks (`bitmap`: that too)."""
        other = self.c.a if first is self.c.b else self.c.b
        for node in (first, other):
            node.adm("secondary r0", check=False)
            node.adm("down r0")
            if node is first and other.device().connection != "Unconfigured":
                other.wait(connection={"WFConnection", "StandAlone"})
        self.keep(moment, bitmap)

    def keep(self, moment, bitmap=True):
        """Keeps what is on the disks. Nobody uses them."""
        for node in self.c.nodes:
            lines = dump(node)
            start = lines.index("bm {")
            self.dumps.append((f"{moment}, {node.name}", [self._named(line) for line in lines[:start]] + (lines[start:] if bitmap else [])))

    def up(self):
        """Both up, connected and in sync."""
        for node in self.c.nodes:
            node.adm("up r0")
        self.c.expect_equal()

    def _named(self, line):
        def name(found):
            number = int(found[0], 16) & ~1
            # None at all, and what a disk without data begins with.
            return f"{number}" if number in (0, 4) else self.names.setdefault(number, f"number {len(self.names) + 1}")

        return re.sub("0x[0-9A-F]{16}", name, line)


def history(c, drivers):
    """What becomes of two disks under these drivers."""
    for node, driver in zip(c.nodes, drivers):
        node.run("drbdsetup down r0 2>/dev/null", check=False)
        change(node, driver)
    records = Records(c)
    c.prepare(Resource(disk={"c-max-rate": "8M", "c-plan-ahead": 0, "resync-rate": "8M"}), equal=True)
    for node in c.nodes:
        node.adm("create-md --force r0")
        node.adm("up r0")
    c.wait(connection="Connected")
    records.down("connected without data", c.b)
    for node in c.nodes:
        node.adm("up r0")
    c.wait(connection="Connected")
    c.a.setup("new-current-uuid --clear-bitmap 0")
    c.expect_equal()
    records.down("first sync skipped", c.a)
    records.up()
    c.a.adm("primary r0")
    c.a.write(1 << 20, os.urandom(1 << 20))
    c.a.adm("secondary r0")
    records.down("written", c.b)
    records.up()
    c.a.adm("primary r0")
    c.b.adm("down r0")
    c.a.wait(connection="WFConnection")
    for block in range(5):
        c.a.write((3 + 9 * block) << 20, os.urandom(8192))
    records.down("written without the peer", c.a)
    records.up()
    records.down("synced", c.b)
    records.up()
    c.b.adm("primary r0")
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection", peer="Unknown")
    c.b.write(5 << 20, os.urandom(8192))
    records.down("the other one written", c.b)
    records.up()
    c.b.adm("invalidate r0")
    c.b.wait(connection="SyncTarget", out_of_sync=set(range(1, 60000)))
    records.down("in the middle of a full sync", c.b, bitmap=False)
    records.up()
    records.down("fully synced", c.b)
    records.up()
    c.a.adm("primary r0")
    c.b.adm("detach r0")
    c.a.wait(peer_disk="Diskless")
    c.a.write(7 << 20, os.urandom(8192))
    records.down("written while the peer had no disk", c.b)
    records.up()
    c.a.adm("primary r0")
    for extent in (2, 5, 11):
        c.a.write((extent << 22) + (1 << 20), os.urandom(65536))
    c.a.guest.power_cut()
    c.b.wait(connection="WFConnection", disk="UpToDate")
    c.b.adm("down r0")
    c.returned(c.a)
    records.keep("after a crash of the Primary")
    records.up()
    records.down("synced after the crash", c.b)
    return records.dumps


@scenario(limit=1800, both_drivers=True)
def same_history(c):
    """Two nodes with C, with ours, with one of each live through the same: their metadata is the same after each step, but for
    what chance makes."""
    try:
        expected = history(c, ("c", "c"))
        for drivers in (("rust", "rust"), ("rust", "c"), ("c", "rust")):
            for (moment, was), (_, now) in zip(expected, history(c, drivers), strict=True):
                difference = [line for line in difflib.ndiff(was, now) if line[0] in "+-"]
                expect_that(not difference, f"metadata with {' and '.join(drivers)} ({moment}), against c and c:\n" + "\n".join(difference))
    finally:
        c.restore_drivers()
