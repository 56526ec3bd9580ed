# SPDX-License-Identifier: GPL-2.0-only
"""Disks that a driver of the kernel simulates (scsi_debug), and that fail or take long when they are told so."""

import os

from .config import Resource, Volume

DRIVER = "/sys/bus/pseudo/drivers/scsi_debug"
BEHAVE = f"echo 0 > {DRIVER}/opts; echo 0 > {DRIVER}/delay"
FOUND = "for n in $(seq 50); do test -b /dev/sda && break; sleep 0.1; done"


def ready(c, length, primary=None, **disk):
    """Both nodes UpToDate on simulated disks with these options, the first one (or `primary`) Primary; answers what their first
    bytes are."""
    primary = primary or c.a
    for node in c.nodes:
        node.run(f"modprobe sd_mod; modprobe scsi_debug dev_size_mb=32 delay=0; {FOUND}")
    c.ready(Resource(volumes=(Volume(disk="/dev/sda"),), disk=disk))
    primary.adm("primary r0")
    data = os.urandom(length)
    primary.write(0, data)
    return data


def fail_reads(node):
    """From now on ten sectors from 0x1234 cannot be read."""
    node.run(f"echo 2 > {DRIVER}/opts")


def take_long(node, seconds=15):
    """From now on everything takes so many seconds."""
    node.run(f"echo {seconds * 250} > {DRIVER}/delay")  # ticks of four milliseconds


def behave(node):
    """The disk is as any other."""
    node.run(BEHAVE)


def put_away(c):
    """Takes the simulated disks down again; a Primary first, which may have no other disk than that of its peer."""
    for node in sorted(c.nodes, key=lambda node: node.device().role != "Primary"):
        node.run(f"{BEHAVE}; drbdadm down r0; rmmod scsi_debug")
