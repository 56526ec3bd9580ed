# SPDX-License-Identifier: GPL-2.0-only
"""Both nodes were written to while they did not see each other."""

import os

from ..config import Resource
from ..scenario import expect, expect_in, expect_that, scenario


def diverge(c, **options):
    """Both sides Primary one after the other, each without the other, each with a write of its own; left disconnected."""
    c.ready(Resource(**options))
    c.a.adm("primary r0")
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    c.a.adm("disconnect r0")
    c.a.write(4 << 20, os.urandom(8192))
    c.b.adm("primary r0")
    c.b.write(12 << 20, os.urandom(4096))
    c.b.adm("secondary r0")
    c.a.adm("secondary r0")


def settled(c):
    """One side has given up, the other waits or has given up too."""
    c.wait(connection={"StandAlone", "WFConnection"})
    expect_that("StandAlone" in {node.device().connection for node in c.nodes}, "a side is StandAlone")


@scenario()
def is_found(c):
    """They do not connect; the log says why; nothing is changed on either side."""
    diverge(c)
    c.a.adm("connect r0")
    c.b.adm("connect r0")
    c.wait_log("Split-Brain detected but unresolved, dropping connection!")
    settled(c)
    expect(c.a.device().disk, "UpToDate", "disk of a")
    expect(c.b.device().disk, "UpToDate", "disk of b")
    expect_that(c.differences() == 3, "the disks differ as they did")


@scenario()
def is_resolved(c):
    """--discard-my-data gives one side up: it gets both its own changes and the other's blocks overwritten."""
    diverge(c)
    c.b.adm("-- --discard-my-data connect r0")
    c.a.adm("connect r0")
    kept = c.backing(c.a, "/dev/vdb").read_bytes()[: c.a.size()]
    c.expect_equal()
    expect_in("(will sync 12 KB [3 bits set])", c.a.log(), "log")
    expect_that(c.backing(c.a, "/dev/vdb").read_bytes()[: len(kept)] == kept, "the data of a was kept")


@scenario()
def primary_wins_by_policy(c):
    """after-sb-1pri discard-secondary: the Primary's data is taken without a question."""
    diverge(c, net={"after-sb-0pri": "discard-zero-changes", "after-sb-1pri": "discard-secondary"})
    c.a.adm("primary r0")
    c.a.adm("connect r0")
    c.b.adm("connect r0")
    c.expect_equal()
    expect_in("Began resync as SyncSource", c.a.log(), "log of the Primary")


@scenario()
def unrelated_data(c):
    """Two disks that were never one do not connect."""
    c.configure()
    for node, identifiers in zip(c.nodes, ("AAAAAAAAAAAAAAAA:A0:A1:A2", "BBBBBBBBBBBBBBBA:B0:B1:B2")):
        node.run(f"drbdmeta --force 0 v08 /dev/vdb internal set-gi {identifiers}:1:1")
    for node in c.nodes:
        node.adm("up r0")
    c.wait_log("Unrelated data, aborting!")
    settled(c)
    expect_that(not any("(will sync" in node.log() for node in c.nodes), "nothing is synced")
