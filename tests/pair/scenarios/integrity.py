# SPDX-License-Identifier: GPL-2.0-only
"""data-integrity-alg: a digest in front of the data in each packet."""

import os

from .. import agreement
from ..config import Resource
from ..scenario import expect, expect_in, expect_that, scenario
from .old_peers import PORT, use_detour


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


@scenario(limit=600)
def damaged_on_the_cable(c):
    """A bit changes on the way, of a write and of a resynced block, from either node: the receiver notices and takes neither, both
    connect again, and the block comes as it is."""
    c.configure(equal=True)
    use_detour(c, "damage.py", **{"data-integrity-alg": "sha1", "connect-int": 3})
    words = [f"damage{number}!" for number in range(4)]
    c.a.spawn(f"exec python3 /tmp/damage.py 10.83.0.1 {PORT} 10.83.0.2 7788 {' '.join(words)} >/tmp/damage.log 2>&1")
    c.a.guest.wait_until("grep -q ready /tmp/damage.log", 60)
    for node in c.nodes:
        node.adm("up r0")
    c.wait(connection="Connected")
    c.skip_first_sync()
    failed = "Digest integrity check FAILED"
    for number, (node, other) in enumerate(((c.a, c.b), (c.b, c.a))):
        node.adm("primary r0")
        written, resynced = (word.encode() * (4096 // len(word)) for word in words[2 * number : 2 * number + 2])
        counts = [each.log().count(failed) for each in (node, other)]
        node.write(8 << 20, written)
        c.expect_equal()
        expect(c.a.text("tail -n 1 /tmp/damage.log").strip(), f"damaged {words[2 * number]}", "what the program did")
        other.adm("disconnect r0")
        node.wait(connection="WFConnection")
        node.write(9 << 20, resynced)
        other.adm("connect r0")
        c.a.guest.wait_until(f"grep -q 'damaged {words[2 * number + 1]}' /tmp/damage.log", 120)
        c.expect_equal()
        seen = [each.log().count(failed) - count for each, count in zip((node, other), counts)]
        expect(seen, [0, 2], f"wrong digests that both noticed, {node.name} is the source")
        expect_in(f"{failed}: {(8 << 20) // 512}s +4096", other.log(), "log of the receiver")
        expect_in(f"{failed}: {(9 << 20) // 512}s +4096", other.log(), "log of the receiver")
        for place, data in ((8 << 20, written), (9 << 20, resynced)):
            expect_that(node.read(place, 4096) == data, "what was written")
        node.adm("secondary r0")


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
