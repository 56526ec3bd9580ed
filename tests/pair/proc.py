# SPDX-License-Identifier: GPL-2.0-only
"""What /proc/drbd says, read as strictly as a monitoring tool would."""

import dataclasses
import re

DEVICE = re.compile(
    r"^ ?(?P<minor>\d+): cs:(?P<connection>\w+)(?: ro:(?P<role>\w+)/(?P<peer>\w+)"
    r" ds:(?P<disk>\w+)/(?P<peer_disk>\w+) (?P<protocol>[ABC ]) (?P<flags>\S+))?\s*$"
)
COUNTERS = re.compile(
    r"^    ns:\d+ nr:\d+ dw:\d+ dr:\d+ al:\d+ bm:\d+ lo:-?\d+ pe:-?\d+ ua:-?\d+ ap:-?\d+ ep:\d+ wo:[nfdb] oos:\d+$"
)
PROGRESS = re.compile(r"^\t\[[=>.]+\] (?P<kind>sync'ed|verified|stalled): *(?P<percent>\d+\.\d)% \((?P<left>\d+)/(?P<total>\d+)\)(?P<unit>[KM])$")
SPEED = re.compile(r"^\tfinish: \d+:\d\d:\d\d speed: [\d,]+ \([\d,]+\)(?: want: [\d,]+)? K/sec(?: \(stalled\))?$")


@dataclasses.dataclass
class Device:
    """One minor. Words are `-` and numbers 0 where it is not configured."""

    minor: int
    connection: str
    role: str = "-"
    peer: str = "-"
    disk: str = "-"
    peer_disk: str = "-"
    protocol: str = "-"
    flags: str = "-"
    counters: dict = dataclasses.field(default_factory=dict)
    write_ordering: str = "-"
    progress: str = ""

    @property
    def out_of_sync(self):
        """KiB that the bitmap marks."""
        return self.counters.get("oos", 0)

    def __str__(self):
        words = f"{self.connection} {self.role}/{self.peer} {self.disk}/{self.peer_disk} {self.flags}"
        return f"minor {self.minor}: {words} oos:{self.out_of_sync} {self.progress}".rstrip()


def parse(text):
    """The devices by minor; ValueError on a line that 8.4 does not print."""
    lines = text.splitlines()
    if not lines or not re.match(r"^version: 8\.4\.\d+ \(api:1/proto:86-101\)$", lines[0]):
        raise ValueError(f"first line of /proc/drbd: {lines[:1]}")
    devices, device = {}, None
    for line in lines[1:]:
        if not line.strip() or re.match(r"^(GIT-hash|srcversion): ", line):
            continue
        if found := DEVICE.match(line):
            words = {key: value for key, value in found.groupdict().items() if value is not None}
            device = Device(int(words.pop("minor")), **words)
            devices[device.minor] = device
        elif device is not None and COUNTERS.match(line):
            pairs = dict(word.split(":") for word in line.split())
            device.write_ordering = pairs.pop("wo")
            device.counters = {key: int(value) for key, value in pairs.items()}
        elif device is not None and (PROGRESS.match(line) or SPEED.match(line)):
            device.progress = (device.progress + " " + line.strip()).strip()
        elif device is None or not re.match(r"^\t +\d+% sector pos: \d+/\d+$", line):
            raise ValueError(f"line of /proc/drbd: {line!r}")
    return devices
