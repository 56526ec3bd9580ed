# SPDX-License-Identifier: GPL-2.0-only
"""data-integrity-alg: a digest in front of the data in each packet."""

import os

from .. import agreement
from ..config import Resource
from ..scenario import expect, expect_that, scenario


def with_digest(algorithm, **net):
    return Resource(net={"data-integrity-alg": algorithm, **net})


def uses_everything(c):
    """Writes small and large, a resync, and reads of a Primary without disk."""
    c.a.adm("primary r0")
    c.a.write(1 << 20, os.urandom(4096))
    large = os.urandom(1 << 20)
    c.a.write(2 << 20, large)
    c.a.fio("--rw=randwrite", "--bsrange=4k-256k", "--size=8m", "--offset=8m", "--iodepth=16", "--verify=crc32c", "--verify_fatal=1")
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    c.a.write(5 << 20, os.urandom(1 << 20))
    c.b.adm("connect r0")
    c.expect_equal()
    c.a.adm("detach r0")
    c.a.wait(disk="Diskless", connection="Connected")
    expect_that(c.a.read(2 << 20, 1 << 20) == large, "a Primary without disk reads what was written")
    c.a.adm("attach r0")
    c.expect_equal()
    c.a.adm("secondary r0")


def never_failed(c):
    for node in c.nodes:
        expect_that("Digest integrity check FAILED" not in node.log(), f"{node.name}: all digests are right")


@scenario()
def crc32c(c):
    """Writes, a resync and reads at the peer, with four bytes of digest."""
    c.ready(with_digest("crc32c"))
    uses_everything(c)
    never_failed(c)


@scenario()
def sha256(c):
    """The same with sha256, and protocol A."""
    c.ready(with_digest("sha256", protocol="A"))
    uses_everything(c)
    never_failed(c)


@scenario()
def sha512(c):
    """The same with the longest digest there is, and a secret."""
    c.ready(with_digest("sha512", **{"cram-hmac-alg": "sha512", "shared-secret": "x"}))
    uses_everything(c)
    never_failed(c)


@scenario()
def changed(c):
    """The digest is changed, taken away and put back on connected nodes, under writes; the data stays the same."""
    c.ready(with_digest("sha1"))
    c.a.adm("primary r0")
    load = c.a.spawn("fio --name=load --filename=/dev/drbd0 --rw=randwrite --bs=16k --size=16m --ioengine=libaio --iodepth=8 --direct=1 --time_based --runtime=15")
    for algorithm in ("md5", "crc32c", None, "sha256", "sha1"):
        resource = with_digest(algorithm) if algorithm else Resource()
        for node in c.nodes:
            agreement.other_conf(c, node, resource)
            node.adm("adjust r0")
            node.wait(connection="Connected")
    expect(load.wait(120).code, 0, "exit code of fio")
    c.wait_log("peer data-integrity-alg: (none)")
    c.wait_log("peer data-integrity-alg: sha256")
    c.expect_equal()
    never_failed(c)


@scenario()
def different(c):
    """Nodes with different digests do not connect."""
    c.ready(with_digest("sha1"))
    agreement.disagree(c, with_digest("md5"))
    c.wait_log("incompatible data-integrity-alg settings")
    c.wait(connection={"StandAlone", "WFConnection", "Unconnected"})
    agreement.agree_again(c)
    c.expect_equal()


@scenario()
def unknown(c):
    """A digest that the kernel does not have is refused, before and while the node is connected."""
    agreement.unknown_algorithm(c, "data-integrity-alg", "(141)")


@scenario()
def zeroes(c):
    """Zeroing a range does not cost a connection with digests, unless both nodes have the kernel's own driver."""
    c.ready(with_digest("sha1"))
    c.a.adm("primary r0")
    c.a.write(4 << 20, os.urandom(1 << 20))
    c.a.run("blkdiscard --zeroout --offset 4194304 --length 1048576 /dev/drbd0")
    if all(node.driver == "c" for node in c.nodes):
        c.wait_log("ProtocolError")
        return
    c.expect_equal()
    expect_that(c.a.read(4 << 20, 1 << 20) == bytes(1 << 20), "the range is zero")
    for node in c.nodes:
        expect_that("ProtocolError" not in node.log(), f"{node.name}: the connection was not lost")
