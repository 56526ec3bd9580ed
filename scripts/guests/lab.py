# SPDX-License-Identifier: GPL-2.0-only
"""A run folder, the guests and links in it, and their end."""

import concurrent.futures
import ctypes
import os
import pathlib
import signal
import subprocess

from .accelerator import accelerator
from .guest import START_SECONDS, Guest
from .link import DirectLink, Link

TREE = pathlib.Path(__file__).resolve().parents[2]
# The kernels that guests can start: the folder of the lab, how many times longer than usual something may take, and words
# for the command line.
KERNELS = {
    "stock": ("guest", 1, ""),
    # The same with what it can watch by itself: every object of a slab and every page is checked when it is given out and
    # given back, and whoever asked for it is remembered; tasks are preempted wherever that is possible.
    "watched": ("guest", 2, "slub_debug=FZPU page_poison=1 kfence.sample_interval=100 preempt=full"),
    # That of `make lab-debug`.
    "debug": ("guest-debug", 4, "page_poison=1 no_hash_pointers"),
}
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Lab:
    """Use it in a `with`: what it started is gone after that. Where the host process is killed, it is gone too."""

    def __init__(self, folder, kernel="stock"):
        """`kernel` is one of KERNELS."""
        self.folder = pathlib.Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.home = pathlib.Path(os.environ.get("DRBD_LAB") or pathlib.Path.home() / ".cache/drbd-lab")
        if not (self.home / "guest/root.erofs").exists():
            raise SystemExit(f"there is no lab in {self.home}; make it with: make lab")
        folder, self.patience, options = KERNELS[kernel]
        self.kernel_folder = self.home / folder
        if not (self.kernel_folder / "initramfs.cpio").exists():
            raise SystemExit(f"there is no {self.kernel_folder}; make it with: make lab-debug")
        self.kernel_options = f"{options} {os.environ.get('DRBD_KERNEL_OPTIONS', '')}".strip()
        self.accelerator = accelerator(self.home)
        self._guests = []
        self._links = []
        # Children die with the thread that started them, so one thread that lasts starts them all.
        self._starter = concurrent.futures.ThreadPoolExecutor(1)

    def __enter__(self):
        # A plain end by SIGTERM cleans up as Ctrl-C does.
        self._previous = signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit(143)))
        return self

    def __exit__(self, *_):
        for guest in self._guests:
            guest.power_cut()
        for link in self._links:
            link.close()
        self._starter.shutdown()
        signal.signal(signal.SIGTERM, self._previous)

    def spawn(self, command, **options):
        """Starts a process that ends at the latest with this one."""
        start = lambda: subprocess.Popen(command, preexec_fn=_die_with_parent, **options)
        return self._starter.submit(start).result()

    def link(self, direct=False):
        """A cable for two guests; a direct one is faster and cannot be cut."""
        name = f"link{len(self._links)}"
        for old in self.folder.glob(f"{name}*.sock"):
            old.unlink()
        link = DirectLink(self.folder, name) if direct else Link(self.folder, name, self.spawn)
        self._links.append(link)
        return link

    def guest(self, name, *, number=None, module=TREE / "drbd.ko", links=(), disks=2, disk_size=256 << 20, cpus=1,
              memory="1G", kernel_options=""):  # fmt: skip
        """A guest that is not started yet. `module` is the drbd.ko that modprobe finds; None: the kernel's own driver."""
        guest = Guest(self, name, number or len(self._guests) + 1, module=module, links=links, disks=disks,
                      disk_size=disk_size, cpus=cpus, memory=memory, kernel_options=kernel_options)  # fmt: skip
        self._guests.append(guest)
        return guest

    def start(self, *guests, timeout=START_SECONDS):
        """Starts guests side by side and waits until all take commands."""
        for guest in guests:
            guest.power_on()
        for guest in guests:
            guest.wait_ready(timeout)
