# SPDX-License-Identifier: GPL-2.0-only
"""One guest with a DRBD driver: the tools on it, and what it says about its devices."""

import shlex
import time

from guests import TimeLimit

from . import console, proc
from .scenario import Failed, expect

COMMAND_SECONDS = 120
WAIT_SECONDS = 240


class Node:
    """`driver` is `rust` or `c`. Times are limits, never expectations."""

    def __init__(self, guest, driver):
        self.guest = guest
        self.driver = driver
        self.name = guest.name
        self._mark = 0
        self._started = []
        self._code = set()  # where drivers were loaded

    # Commands

    def run(self, command, limit=COMMAND_SECONDS, check=True, input=b""):
        """Runs a command (a line for the shell, or a list of words)."""
        return self.guest.run(command, limit, input=input, check=check)

    def text(self, command, limit=COMMAND_SECONDS):
        """Standard output of a command."""
        return self.run(command, limit).text

    def file(self, path, limit=COMMAND_SECONDS):
        """The text of a file that answers at once, as those of /proc and /sys do."""
        return self.guest.get(path, limit).decode(errors="replace")

    def spawn(self, command):
        """Starts a command; it is killed at the end of the scenario."""
        running = self.guest.spawn(command)
        self._started.append(running)
        return running

    def adm(self, command, limit=COMMAND_SECONDS, check=True):
        """drbdadm."""
        return self.run(["drbdadm", *shlex.split(command)], limit, check)

    def setup(self, command, limit=COMMAND_SECONDS, check=True):
        """drbdsetup."""
        return self.run(["drbdsetup", *shlex.split(command)], limit, check)

    def refuses(self, command, code, text):
        """A command must end with this exit code and this text in its output; answers the whole output."""
        result = self.run(command, check=False)
        output = (result.stdout + result.stderr).decode(errors="replace").strip()
        if result.code != code or text not in output:
            raise Failed(f"{self.name}: {command}: expected exit code {code} and {text!r},\ngot {result.code} and {output!r}")
        return output

    # Driver

    def load(self, parameters="usermode_helper=/bin/true"):
        """modprobe, and that it is the driver that was asked for. The kernel's own one is the one that modprobe finds
        when it ignores what is installed beside it."""
        self.run(f"modprobe {'' if self.driver == 'rust' else '--ignore-install'} drbd {parameters}")
        start = int(self.file("/sys/module/drbd/sections/.text"), 16)
        (size,) = (int(line.split()[1]) for line in self.file("/proc/modules").splitlines() if line.startswith("drbd "))
        self._code.add(range(start, start + size))
        out_of_tree = "O" in self.file("/sys/module/drbd/taint")
        expect(out_of_tree, self.driver == "rust", f"{self.name}: the driver is not the kernel's own")

    def unload(self):
        """rmmod; fails where something is left."""
        self.run("if [ -e /proc/drbd ]; then rmmod drbd; fi")

    # State

    def devices(self):
        """All minors of /proc/drbd."""
        return proc.parse(self.file("/proc/drbd"))

    def device(self, minor=0):
        """One minor of /proc/drbd."""
        return self.devices().get(minor) or proc.Device(minor, "Unconfigured")

    def wait(self, minor=0, limit=WAIT_SECONDS, **wanted):
        """Waits until connection, role, peer, disk, peer_disk, out_of_sync, ... are as wanted (a value or a set of values)."""
        wanted = {key: value if isinstance(value, (set, frozenset)) else {value} for key, value in wanted.items()}
        limit *= self.guest.patience
        deadline = time.monotonic() + limit
        while True:
            device = self.device(minor)
            if all(getattr(device, key) in values for key, values in wanted.items()):
                return device
            if time.monotonic() > deadline:
                goal = ", ".join(f"{key} {'|'.join(map(str, values))}" for key, values in wanted.items())
                raise TimeLimit(f"{self.name}: waited {limit} s for {goal}; {device}")
            time.sleep(0.2)

    def size(self, minor=0):
        """Bytes of /dev/drbdN."""
        return 512 * int(self.file(f"/sys/block/drbd{minor}/size"))

    def uuids(self, minor=0):
        """Generation identifiers: current, bitmap, two of history; the lowest bit, which marks a Primary, taken away."""
        words = self.text(f"drbdsetup get-gi {minor}").split(":")
        return [int(word, 16) & ~1 for word in words[:4]]

    # Data

    def write(self, offset, data, minor=0, limit=COMMAND_SECONDS):
        """Writes bytes (whole sectors) to the device and waits until they are stable."""
        command = f"dd of=/dev/drbd{minor} bs=1M iflag=fullblock oflag=direct,seek_bytes seek={offset} conv=notrunc,fsync status=none"
        self.run(command, limit, input=data)

    def read(self, offset, length, minor=0, limit=COMMAND_SECONDS):
        """Reads bytes of the device, past the page cache."""
        command = f"dd if=/dev/drbd{minor} bs=1M iflag=direct,skip_bytes,count_bytes skip={offset} count={length} status=none"
        return self.run(command, limit).stdout

    def fio(self, *options, minor=0, limit=300):
        """fio on the device, past the page cache; fails when it found an error."""
        common = f"fio --name=load --filename=/dev/drbd{minor} --direct=1 --ioengine=libaio --randrepeat=1 --output-format=terse"
        return self.run([*common.split(), *options], limit)

    # Kernel log

    def log(self):
        """What the kernel of this node has printed since the scenario started."""
        return self.guest.console()[self._mark :]

    def complaints(self):
        """Lines of it that a healthy kernel does not print."""
        return console.complaints(self.log())

    def all_complaints(self):
        """The same over everything that this node has printed since it was made."""
        return console.complaints(self.guest.console())

    def begin(self):
        """A scenario starts: what the kernel prints from here on is its own."""
        self._mark = len(self.guest.console())

    def leaks(self):
        """What the drivers that were unloaded asked for and left in memory: one text for each place in their code, with who
        called that. The kernel knows no names for code that is gone, only addresses. Empty where it does not remember
        who asked for memory; what others asked for on behalf of a driver is not counted."""
        slabs = self.text("cat /sys/kernel/debug/slab/kmalloc-*/alloc_traces 2>/dev/null || true", 300)
        areas = self.text("cat /proc/vmallocinfo")
        uses = [(use.split(), use) for use in [*slabs.split("\n\n"), *areas.splitlines()]]
        places = [(words[2 if words[0].startswith("0x") else 1], use) for words, use in uses if len(words) > 2]
        return [use for place, use in places if place.startswith("0x") and any(int(place, 16) in code for code in self._code)]

    def locks_are_watched(self):
        """Whether lockdep still looks; None on kernels without. It ends when it has reported something, or is full."""
        looks = self.text("sed -n 's/.*debug_locks: *//p' /proc/lockdep_stats 2>/dev/null || true").strip()
        return looks == "1" if looks else None

    def clean(self):
        """Takes away what a scenario left: processes, mounts, resources, the driver."""
        for running in self._started:
            if not running.ended:
                running.kill()
        self._started.clear()
        self.run("for m in $(grep -o '^/dev/drbd[^ ]* [^ ]*' /proc/mounts | cut -d' ' -f2); do umount $m; done", 60)
        self.run("for name in $(drbdsetup status 2>/dev/null | sed -n 's/^\\([^ #]*\\) role:.*/\\1/p'); do drbdsetup down $name; done", 60)
        self.unload()
