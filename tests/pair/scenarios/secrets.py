# SPDX-License-Identifier: GPL-2.0-only
"""cram-hmac-alg and shared-secret: who may connect, and who may see the secret."""

import os

from .. import agreement
from ..config import Resource
from ..scenario import expect_in, expect_that, scenario

SECRET = "open sesame"


def with_secret(algorithm, secret=SECRET):
    return Resource(net={"cram-hmac-alg": algorithm, "shared-secret": secret})


@scenario()
def the_same(c):
    """Peers with the same secret connect, sync, and connect again after a disconnect and with another algorithm."""
    c.ready(with_secret("sha256"))
    c.wait_log("Peer authenticated using 32 bytes HMAC")
    c.a.adm("primary r0")
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    c.a.write(1 << 20, os.urandom(65536))
    c.b.adm("connect r0")
    c.expect_equal()
    for node in c.nodes:
        agreement.other_conf(c, node, with_secret("sha1", "x" * 63))
        node.adm("adjust r0")
        node.wait(connection="Connected")
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    c.b.adm("connect r0")
    c.wait_log("Peer authenticated using 20 bytes HMAC")
    c.expect_equal()


@scenario()
def another(c):
    """A peer with another secret is refused, and the node that notices is StandAlone; with the right one it connects."""
    c.ready(with_secret("sha256"))
    agreement.disagree(c, with_secret("sha256", "open barley"))
    c.wait_log("Authentication of peer failed")
    c.wait_log("Discarding network configuration.")
    c.wait(connection={"StandAlone", "WFConnection", "Unconnected"})
    # Both look at the same time: who is first hangs up, and the other one may never know why.
    noticed = [node for node in c.nodes if "Discarding network configuration." in node.log()]
    for node in noticed:
        node.wait(connection="StandAlone")
    agreement.agree_again(c)
    for node in c.nodes:
        expect_that("barley" not in node.log() and "sesame" not in node.log(), f"{node.name}: no secret in the log")
    c.expect_equal()


@scenario()
def only_one(c):
    """A node that asks for a proof is StandAlone when the peer knows of none; the peer goes on trying."""
    c.ready(with_secret("sha1"))
    agreement.disagree(c, Resource())
    c.a.wait(connection="StandAlone")
    expect_in("expected AuthChallenge packet, received: ReportProtocol (0x000b)", c.a.log(), "log")
    expect_in("Authentication of peer failed", c.a.log(), "log")
    c.b.wait(connection={"WFConnection", "Unconnected", "BrokenPipe", "ProtocolError"})
    agreement.agree_again(c)
    c.expect_equal()


@scenario()
def unknown_algorithm(c):
    """A digest that the kernel does not have is refused, before and while the node is connected."""
    agreement.unknown_algorithm(c, "cram-hmac-alg", "(120)", **{"shared-secret": SECRET})


@scenario()
def hidden(c):
    """drbdsetup shows the secret to the privileged, and to nobody else."""
    c.configure(with_secret("sha256", "hushhush"))
    c.a.adm("up r0")
    expect_in("hushhush", c.a.text("drbdsetup show r0"), "drbdsetup show")
    plain = c.a.text("setpriv --reuid=65534 --clear-groups drbdsetup show r0 2>&1 || true")
    expect_that("hushhush" not in plain, f"an unprivileged process does not see the secret\n{plain}")
    events = c.a.text("drbdsetup events2 --now --statistics r0")
    expect_that("hushhush" not in events, f"events2 does not tell the secret\n{events}")
