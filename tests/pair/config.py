# SPDX-License-Identifier: GPL-2.0-only
"""drbd.conf from values: what a scenario varies, and nothing else."""

import dataclasses

# A busy host may not run a guest for seconds: pings get more time than the default of half a second, and a dead peer
# is noticed sooner than after the default of ten.
PATIENT = {"ping-int": 5, "ping-timeout": 40, "timeout": 45}


@dataclasses.dataclass
class Volume:
    """One replicated device. `meta` is `internal`, a device (flexible), or a device and an index: `/dev/vdd[1]`."""

    number: int = 0
    minor: int = 0
    disk: str = "/dev/vdb"
    meta: str = "internal"


@dataclasses.dataclass
class Resource:
    """A resource on two hosts, each a (name, IPv4 address, IPv6 address)."""

    name: str = "r0"
    port: int = 7788
    volumes: tuple = (Volume(),)
    family: str = "ipv4"
    net: dict = dataclasses.field(default_factory=dict)
    disk: dict = dataclasses.field(default_factory=dict)
    options: dict = dataclasses.field(default_factory=dict)
    handlers: dict = dataclasses.field(default_factory=dict)
    addresses: tuple = ()  # (host name, address with port) in the place of those of the hosts

    def text(self, hosts):
        """The `resource` section."""
        lines = [f"resource {self.name} {{"]
        for section, values in [("net", {"protocol": "C", **PATIENT, **self.net}), ("disk", self.disk),
                                ("options", self.options), ("handlers", self.handlers)]:  # fmt: skip
            lines += _section(section, values)
        for volume in self.volumes:
            lines.append(
                f"  volume {volume.number} {{ device /dev/drbd{volume.minor} minor {volume.minor};"
                f" disk {volume.disk}; meta-disk {volume.meta}; }}"
            )
        for name, address in self.addresses or [self._address(*host) for host in hosts]:
            lines.append(f"  on {name} {{ address {address}; }}")
        return "\n".join([*lines, "}", ""])

    def _address(self, name, ipv4, ipv6):
        return name, f"ipv6 [{ipv6}]:{self.port}" if self.family == "ipv6" else f"{ipv4}:{self.port}"


def drbd_conf(resources, hosts):
    """The whole file."""
    head = "# Written by tests/pair\nglobal { usage-count no; }\n"
    return head + "".join(resource.text(hosts) for resource in resources)


def _section(name, values):
    if not values:
        return []
    words = [f'    {key} "{value}";' if " " in str(value) else f"    {key} {value};" for key, value in values.items()]
    return [f"  {name} {{", *words, "  }"]
