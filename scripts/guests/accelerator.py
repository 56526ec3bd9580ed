# SPDX-License-Identifier: GPL-2.0-only
"""Which accelerator qemu can use here.

/dev/kvm may exist, open, create a machine, and still never run its first instruction. It is believed only when a guest
has printed something; else the processor is emulated. The answer holds until the host boots again.
"""

import os
import pathlib
import select
import subprocess
import time

PROBE_SECONDS = 8


def accelerator(lab):
    """`kvm` or `tcg`, for the lab folder `lab`. DRBD_ACCELERATOR overrides it."""
    if chosen := os.environ.get("DRBD_ACCELERATOR"):
        return chosen
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    memory = lab / "accelerator"
    if memory.exists():
        known, _, name = memory.read_text(encoding="ascii").strip().partition(" ")
        if known == boot:
            return name
    name = "kvm" if _kvm_runs(lab) else "tcg"
    memory.write_text(f"{boot} {name}\n", encoding="ascii")
    return name


def _kvm_runs(lab):
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    command = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", "512M", "-nodefaults", "-display", "none"]
    command += ["-no-user-config", "-serial", "stdio", "-kernel", str(lab / "guest/vmlinuz")]
    command += ["-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1", "-no-reboot"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as qemu:
        printed = b""
        deadline = time.monotonic() + PROBE_SECONDS
        while b"Linux version" not in printed and time.monotonic() < deadline:
            if select.select([qemu.stdout], [], [], 0.2)[0]:
                piece = os.read(qemu.stdout.fileno(), 4096)
                if not piece:
                    break
                printed += piece
        qemu.kill()
    return b"Linux version" in printed
