# SPDX-License-Identifier: GPL-2.0-only
"""One guest or two with a DRBD driver each, a cable between them, and disks that the host can look at."""

import os
import time

from guests import Lab, TimeLimit

from . import TREE, backing
from .config import Resource, drbd_conf
from .node import WAIT_SECONDS, Node
from .scenario import Failed, expect

DISK_SIZE = 64 << 20
META_DISK_SIZE = 272 << 20  # two slots of indexed metadata and some
DISKS = ["/dev/vdb", "/dev/vdc", "/dev/vdd"]
META_DISK = "/dev/vdd"


class Cluster:
    """Use it in a `with`. `a` and `b` are the nodes; b is there when a scenario needs it."""

    def __init__(self, folder, drivers, module=TREE / "drbd.ko", kernel="stock", cpus=1):
        """`drivers` are those of the nodes, `rust` or `c`. Where `module` exists, either can be loaded on each."""
        self.folder = folder
        self._drivers = drivers
        self._module = module if module.exists() else None
        self._lab = Lab(folder, kernel)
        self._cpus = cpus
        self.resources = (Resource(),)
        self.hosts = []
        self.link = None
        self.nodes = []

    def __enter__(self):
        self._lab.__enter__()
        self.link = self._lab.link()
        for name, driver in zip(("alpha", "beta"), self._drivers):
            number = len(self.nodes) + 1
            guest = self._lab.guest(name, module=self._module, links=[self.link], disks=len(DISKS), disk_size=DISK_SIZE,
                                    cpus=self._cpus)  # fmt: skip
            os.truncate(guest.folder / f"disk{len(DISKS) - 1}.raw", META_DISK_SIZE)
            self.nodes.append(Node(guest, driver))
            self.hosts.append((name, f"10.83.0.{number}", f"fd83::{number}"))
        return self

    def __exit__(self, *details):
        self._lab.__exit__(*details)

    @property
    def patience(self):
        """How many times longer than usual something may take."""
        return self._lab.patience

    @property
    def a(self):
        """The first node."""
        return self.nodes[0]

    @property
    def b(self):
        """The second node."""
        return self.nodes[1]

    def ours_first(self):
        """Both nodes, first one with our driver; the first node, if both have it."""
        return (self.a, self.b) if self.a.driver == "rust" else (self.b, self.a)

    def addresses(self, node):
        """The IPv4 address of this node, and that of the other one."""
        own, other = (address for _, address, _ in (self.hosts if node is self.a else reversed(self.hosts)))
        return own, other

    # Guests

    def running(self):
        """The nodes whose guest runs."""
        return [node for node in self.nodes if node.guest.is_on]

    def start(self, count):
        """Sees to it that the first `count` guests run."""
        self._lab.start(*[node.guest for node in self.nodes[:count] if not node.guest.is_on])

    def power_cut(self):
        """Everything off."""
        for node in self.nodes:
            node.guest.power_cut()

    def begin(self, count):
        """What every scenario starts from: guests that run, the driver loaded, nothing configured."""
        self.link.heal()
        self.link.delay(0)
        self.start(count)
        for node in self.nodes[:count]:
            node.begin()
            node.load()

    def restore_drivers(self):
        """After a scenario that changed them: those that were asked for."""
        for node, driver in zip(self.nodes, self._drivers):
            node.driver = driver

    def clean(self):
        """Takes away what a scenario left; fails where the driver does not let go."""
        self.link.heal()
        self.link.delay(0)
        for node in self.running():
            node.clean()

    def returned(self, node):
        """A node whose power was cut starts again, with driver and configuration, as a real one would boot."""
        node.guest.start()
        node.load()
        self.put_config(node)

    # Configuration

    def put_config(self, node):
        """Writes drbd.conf."""
        node.guest.put(drbd_conf(self.resources, self.hosts_of_conf()), "/etc/drbd.conf")

    def hosts_of_conf(self):
        """The hosts that drbd.conf names: drbdadm wants two of them, also where only one runs."""
        return self.hosts if len(self.hosts) > 1 else [*self.hosts, ("beta", "10.83.0.2", "fd83::2")]

    def prepare(self, *resources, equal=False):
        """drbd.conf, and new content on the disks: other on each node (unless `equal`) where data lies, zeros elsewhere."""
        self.resources = resources or (Resource(),)
        used = {volume.disk for volume in self.volumes()}
        for node in self.running():
            for disk in DISKS:
                if disk in used:
                    backing.fill(self.backing(node, disk), "both" if equal else node.name)
                else:
                    backing.erase(self.backing(node, disk))
            self.put_config(node)

    def configure(self, *resources, equal=False):
        """prepare(), and fresh metadata."""
        self.prepare(*resources, equal=equal)
        for node in self.running():
            for resource in self.resources:
                node.adm(f"create-md --force {resource.name}")

    def up(self, *resources, **conditions):
        """configure(), `up` on both, and Connected."""
        self.configure(*resources, **conditions)
        for node in self.running():
            for resource in self.resources:
                node.adm(f"up {resource.name}")
        self.wait(connection="Connected")

    def ready(self, *resources):
        """up() on equal disks, with the initial sync skipped: both UpToDate at once, both Secondary."""
        self.up(*resources, equal=True)
        self.skip_first_sync()

    def skip_first_sync(self):
        """Both nodes are connected, with new metadata: their disks are equal, and declared to be."""
        # The peer's word that it is connected, with a disk that is still Inconsistent, must not come behind the command.
        time.sleep(self.patience)
        for volume in self.volumes():
            self.a.setup(f"new-current-uuid --clear-bitmap {volume.minor}")
        self.wait(disk="UpToDate", peer_disk="UpToDate", connection="Connected", out_of_sync=0)

    def volumes(self):
        """All volumes of all resources."""
        return [volume for resource in self.resources for volume in resource.volumes]

    def wait(self, **wanted):
        """Waits on all running nodes, for all volumes."""
        for node in self.running():
            for volume in self.volumes():
                node.wait(volume.minor, **wanted)

    def wait_log(self, text, limit=WAIT_SECONDS):
        """Waits until a node has logged this since the scenario started: often the one that notices tells it alone."""
        deadline = time.monotonic() + limit * self.patience
        while not any(text in node.log() for node in self.nodes):
            if time.monotonic() > deadline:
                raise TimeLimit(f"waited {limit} s for {text!r} in a kernel log")
            time.sleep(0.2)

    # Disks

    def backing(self, node, disk):
        """The file on the host that is this disk of the guest."""
        return node.guest.folder / f"disk{DISKS.index(disk)}.raw"

    def differences(self):
        """How many blocks of 4 KiB differ between the two nodes, over the data of all volumes."""
        count = 0
        for volume in self.volumes():
            size = self.a.size(volume.minor)
            expect(self.b.size(volume.minor), size, f"size of minor {volume.minor} on both nodes")
            paths = [self.backing(node, volume.disk) for node in self.nodes]
            count += len(backing.differing_blocks(*paths, size))
        return count

    def expect_equal(self):
        """Both nodes UpToDate, nothing marked, and the disks equal byte by byte: at once with protocol C, with the others when the peer
        has written what it was sent."""
        self.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)
        later = any(self.a.device(volume.minor).protocol != "C" for volume in self.volumes())
        deadline = time.monotonic() + (30 * self.patience if later else 0)
        while (count := self.differences()) and time.monotonic() < deadline:
            time.sleep(1)
        if count:
            raise Failed(f"{count} blocks of 4 KiB differ, and none is marked out of sync")

    def expect_same_content(self, disk):
        """The same for disks that the host cannot look at: each node reads its own."""
        self.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)
        # Past the page cache, which may have what was there when somebody looked before.
        read = f"dd if={disk} bs=1M iflag=direct,count_bytes count={self.a.size()} status=none"
        sums = [node.text(f"{read} | sha256sum") for node in self.nodes]
        expect(sums[1], sums[0], "checksum of the second node's disk")
