# SPDX-License-Identifier: GPL-2.0-only
"""One virtual machine: the stock kernel, disks that outlive a power cut, a console log, and an agent that runs commands."""

import pathlib
import re
import subprocess
import time

from .archive import archive
from .channel import Channel, GuestLost, TimeLimit

INSIDE = pathlib.Path(__file__).parent / "inside"
START_SECONDS = 120


class Guest:
    """Made by Lab.guest(). The disks are /dev/vdb, /dev/vdc, ... ; the links eth0, eth1, ...

    `number` makes its addresses: 10.83.LINK.NUMBER and fd83:0:0:LINK::NUMBER.
    """

    def __init__(self, lab, name, number, *, module, links, disks, disk_size, cpus, memory, kernel_options):
        self.name = name
        self.number = number
        self.folder = lab.folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.console_path = self.folder / "console.log"
        self._lab = lab
        self._module = module
        self._links = [link.take_end() for link in links]
        self._cpus = cpus
        self._memory = memory
        self._kernel_options = kernel_options
        self._qemu = None
        self._channel = None
        self._disks = [self.folder / f"disk{index}.raw" for index in range(disks)]
        for disk in self._disks:
            with open(disk, "ab") as file:
                file.truncate(disk_size)

    # Power

    def power_on(self):
        """Starts the machine and does not wait for it."""
        if self.is_on:
            raise RuntimeError(f"{self.name} runs already")
        socket_path = self.folder / "agent.sock"
        socket_path.unlink(missing_ok=True)
        self._channel = Channel(self.name, socket_path)
        initramfs = self.folder / "initramfs"
        initramfs.write_bytes((self._lab.kernel_folder / "initramfs.cpio").read_bytes() + self._own_archive())
        with open(self.folder / "qemu.log", "ab") as log:
            self._qemu = self._lab.spawn(
                self._command(socket_path, initramfs),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._channel.accept(20)
        except TimeoutError:
            self.power_cut()
            text = (self.folder / "qemu.log").read_text(errors="replace")
            raise GuestLost(f"{self.name}: qemu did not start\n{text[-2000:]}") from None

    def wait_ready(self, timeout=START_SECONDS):
        """Waits until the machine takes commands, and starts it again where its clock is wrong."""
        self._wait_ready(timeout)
        for _ in range(3):
            if self._clock_is_right():
                return
            self.power_cut()
            self.power_on()
            self._wait_ready(timeout)

    def _clock_is_right(self):
        """An emulated kernel on a busy host may measure its time stamp counter wrong, and then all its time limits are, by ten times."""
        if self._lab.accelerator != "tcg":
            return True
        begin, first, after = self._uptime()
        time.sleep(0.7)
        before, second, end = self._uptime()
        return 0.7 * (before - after) < second - first < 1.4 * (end - begin)

    def _uptime(self):
        """What the guest calls its age, between two looks at the clock of the host."""
        return time.monotonic(), float(self.get("/proc/uptime").split()[0]), time.monotonic()

    def _wait_ready(self, timeout):
        timeout *= self._lab.patience
        try:
            if self._channel.wait_ready(timeout):
                return
        except GuestLost as error:
            raise GuestLost(f"{error}\n{self.console_tail()}") from None
        raise TimeLimit(f"{self.name} did not start within {timeout} s\n{self.console_tail()}")

    def start(self, timeout=START_SECONDS):
        """Starts the machine and waits until it takes commands."""
        self.power_on()
        self.wait_ready(timeout)

    def power_cut(self):
        """Takes the power away, at once. The disks keep what they had acknowledged."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None
        if self._channel is not None:
            self._channel.close()

    @property
    def patience(self):
        """How many times longer than usual something may take."""
        return self._lab.patience

    @property
    def is_on(self):
        """Whether the machine runs."""
        return self._qemu is not None and self._qemu.poll() is None

    # Commands

    def spawn(self, command, terminal=False, on_output=None):
        """Starts a command (a line for the shell, or a list of words) and answers its Running."""
        if self._channel is None:
            raise GuestLost(f"{self.name} was never started")
        return self._channel.start(command, terminal, on_output)

    def run(self, command, timeout=30, input=b"", check=True):
        """Runs a command to its end. Raises CommandFailed on a code other than 0, unless `check` is false."""
        running = self.spawn(command)
        running.write(input, end=True)
        result = running.wait(timeout * self._lab.patience)
        return result.check() if check else result

    def text(self, command, timeout=30):
        """Runs a command; answers its standard output as text."""
        return self.run(command, timeout).text

    def put(self, source, path, mode=0o644, timeout=60):
        """Writes bytes, text or the file at a pathlib.Path to `path` in the guest."""
        if isinstance(source, pathlib.Path):
            source = source.read_bytes()
        if isinstance(source, str):
            source = source.encode()
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"'
        self.run(["/bin/sh", "-c", script, "put", path, f"{mode:o}"], timeout, input=source)

    def get(self, path, timeout=60):
        """The bytes of a file in the guest, which must not let one wait."""
        if self._channel is None:
            raise GuestLost(f"{self.name} was never started")
        return self._channel.read(path).wait(timeout * self._lab.patience).check().stdout

    def wait_until(self, command, timeout=30, interval=0.3):
        """Runs a command again and again until its code is 0; TimeLimit with its last output when it never is."""
        timeout *= self._lab.patience
        deadline = time.monotonic() + timeout
        while True:
            result = self.run(command, max(1, deadline - time.monotonic()), check=False)
            if result.code == 0:
                return result
            if time.monotonic() > deadline:
                output = (result.stdout + result.stderr).decode(errors="replace")
                raise TimeLimit(f"{self.name}: not true after {timeout} s: {command}\n{output}")
            time.sleep(interval)

    # Console

    def console(self):
        """All that the machine has printed since it was made, over all its starts."""
        try:
            return self.console_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def console_tail(self, lines=30):
        """The last lines of the console."""
        return "\n".join(self.console().splitlines()[-lines:])

    def kernel_complaints(self):
        """Lines of the console that a healthy kernel does not print."""
        return re.findall(r"^.*(?:\bBUG:|\bOops\b|\bWARNING:|Kernel panic|hung_task|blocked for more than|stall).*$",
                          self.console(), re.MULTILINE)

    def _own_archive(self):
        """What only this guest gets, on top of the initramfs of the lab."""
        settings = f"NAME={self.name}\nNUMBER={self.number}\nLINKS={len(self._links)}\n"
        files = [
            ("init", 0o100755, (INSIDE / "init").read_bytes()),
            ("guest", 0o040755, b""),
            ("guest/settings", 0o100644, settings.encode()),
            ("guest/start", 0o100644, (INSIDE / "start").read_bytes()),
            ("guest/agent.py", 0o100644, (INSIDE / "agent.py").read_bytes()),
        ]
        if self._module is not None:
            files.append(("guest/drbd.ko", 0o100644, pathlib.Path(self._module).read_bytes()))
        return archive(files)

    def _command(self, socket_path, initramfs):
        home = self._lab.home
        accelerator = self._lab.accelerator
        options = f"console=ttyS0 panic=-1 quiet random.trust_cpu=on mitigations=off {self._lab.kernel_options} {self._kernel_options}"
        kernel, processor = self._lab.kernel_folder / "vmlinuz", "host"
        if accelerator == "tcg":
            # What costs an emulated processor seconds, and tells nothing about DRBD.
            accelerator, processor = "tcg,thread=multi", "Nehalem"
            options += " nokaslr no_timer_check tsc=reliable lpj=4000000 cryptomgr.notests audit=0 nopti lsm="
        unpacked = self._lab.kernel_folder / "vmlinux"
        if unpacked.exists() and (accelerator != "kvm" or not kernel.exists()):
            kernel = unpacked
        command = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", "q35,usb=off,vmport=off,smbus=off,sata=off", "-accel", accelerator, "-cpu", processor,
            "-smp", str(self._cpus), "-m", self._memory, "-name", self.name,
            "-kernel", kernel, "-initrd", initramfs, "-append", options,
            "-chardev", f"file,id=console,path={self.console_path},append=on", "-serial", "chardev:console",
            "-device", "virtio-rng-pci",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,path={socket_path}",
            "-device", "virtserialport,chardev=agent,name=agent",
            "-drive", f"if=none,id=root,file={home / 'guest/root.erofs'},format=raw,readonly=on",
            "-device", "virtio-blk-pci,drive=root",
        ]  # fmt: skip
        for index, disk in enumerate(self._disks):
            command += ["-drive", f"if=none,id=disk{index},file={disk},format=raw,cache=writeback,discard=unmap"]
            command += ["-device", f"virtio-blk-pci,drive=disk{index},serial=disk{index}"]
        for index, end in enumerate(self._links):
            command += ["-netdev", f"{end},id=link{index}"]
            command += ["-device", f"virtio-net-pci,netdev=link{index},mac=52:54:00:83:{index:02x}:{self.number:02x}"]
        return [str(word) for word in command]
