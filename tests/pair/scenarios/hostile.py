# SPDX-License-Identifier: GPL-2.0-only
"""Programs that are no drbdsetup, and peers that are no DRBD: they are turned away, and nothing is lost."""

import os
import pathlib

from ..config import Resource
from ..scenario import expect, expect_in, scenario

INSIDE = pathlib.Path(__file__).parents[1] / "inside"
LIES = ("no-features", "short-features", "unknown-packet", "endless-packet", "data-too-early", "bitmap-too-early",
        "state-too-early", "short-protocol", "noise")  # fmt: skip


def put(node, program):
    """A program of tests/pair/inside, in the guest."""
    node.guest.put((INSIDE / program).read_text(), f"/tmp/{program}")


@scenario(nodes=1, both_drivers=True)
def netlink_attributes(c):
    """Messages with unknown, missing, cut and oversized attributes: both drivers answer the same, and nothing is made."""
    put(c.a, "netlink_probe.py")
    answers = {}
    try:
        for driver in ("c", "rust"):
            c.a.unload()
            c.a.driver = driver
            c.a.load()
            answers[driver] = c.a.text("python3 /tmp/netlink_probe.py").splitlines()
            expect(c.a.text("drbdsetup status; drbdsetup show"), "", "what was made")
    finally:
        c.restore_drivers()
    expect(answers["rust"], answers["c"], "answers of ours, and of the kernel's own driver")


@scenario()
def peer_of_another_protocol(c):
    """A peer whose versions have nothing in common with ours: the connection is given up, with a line that says why."""
    c.configure()
    put(c.b, "fake_peer.py")
    c.a.adm("up r0")
    c.a.wait(connection="WFConnection")
    expect(c.b.text(f"python3 /tmp/fake_peer.py another-protocol {' '.join(c.addresses(c.b))} 7788"), "another-protocol: hung up", "the other side")
    c.a.wait(connection="StandAlone", role="Secondary", disk="Inconsistent")
    expect_in("incompatible DRBD dialects: I support 86-101, peer supports 200-210", c.a.log(), "log")


@scenario(limit=600)
def peers_that_lie(c):
    """A peer's first packets are wrong in many ways: each costs it the connection, and none the node; then a real one comes.
    With the kernel's own driver on one side, ours is lied to: the other one looks past the end of a table for an unknown packet."""
    node, other = c.ours_first()
    addresses = " ".join(c.addresses(other))
    c.configure(Resource(net={"connect-int": 3}), equal=True)
    put(other, "fake_peer.py")
    node.adm("up r0")
    for lie in LIES:
        node.wait(connection={"WFConnection", "StandAlone"})
        if node.device().connection == "StandAlone":
            node.adm("connect r0")
            node.wait(connection="WFConnection")
        answer = other.text(f"python3 /tmp/fake_peer.py {lie} {addresses} 7788", 200)
        expect(answer, f"{lie}: hung up", "the other side")
    if node.device().connection == "StandAlone":
        node.adm("connect r0")
    other.adm("up r0")
    c.wait(connection="Connected", disk="Inconsistent")
    node.adm("primary --force r0")
    c.wait(disk="UpToDate")
    node.write(1 << 20, os.urandom(1 << 20))
    c.expect_equal()
