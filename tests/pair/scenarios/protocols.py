# SPDX-License-Identifier: GPL-2.0-only
"""Protocols A, B and C, epochs and barriers, and the options that go with them."""

import collections
import re

from .. import agreement, wire
from ..config import Resource
from ..scenario import expect, expect_that, scenario

WRITES = 20


def use_protocol(c, node, letter):
    """Changes the protocol of a connected pair on one node; both know."""
    node.setup(f"net-options {agreement.addresses(c, node)} --protocol={letter}")
    for each in c.nodes:
        each.wait(connection="Connected", protocol=letter)


def net_options(c, *options):
    """Changes network options of the first node."""
    c.a.setup(f"net-options {agreement.addresses(c, c.a)} {' '.join(options)}")


def load(node, *options):
    """A small load; answers when it is done."""
    node.fio("--rw=randwrite", "--bs=4k", "--offset=8m", "--size=2m", *options)


def all_confirmed(node):
    """Waits until the peer has confirmed all writes and their barriers, the last of which a sender makes when it finds nothing else to do."""
    for pause in (1, 0):
        node.guest.wait_until("grep -q ' pe:0 .* ap:0 ep:[01] ' /proc/drbd", 60)
        node.run(f"sleep {pause}")


def epochs(seen):
    """How many writes each barrier of this capture stands for, by what its acknowledgement says."""
    sent = {packet.numbers("I") for packet in seen if packet.command == wire.BARRIER}
    return [packet.numbers("II")[1] for packet in seen if packet.command == wire.BARRIER_ACK and packet.numbers("I") in sent]


@scenario()
def acknowledgements(c):
    """A, B, C, changed while connected: on the cable, each write asks for and gets the answer of its protocol, and barriers count all."""
    c.ready()
    c.a.adm("primary r0")
    for letter, flag, answer in (("A", 0, None), ("B", wire.SEND_RECEIVE_ACK, wire.RECV_ACK), ("C", wire.SEND_WRITE_ACK, wire.WRITE_ACK)):
        use_protocol(c, c.b if letter == "B" else c.a, letter)
        load(c.a, "--io_size=4k")
        all_confirmed(c.a)
        capture = wire.Capture(c.b)
        load(c.a, f"--io_size={4 * WRITES}k", "--iodepth=4")
        all_confirmed(c.a)
        seen = capture.stop()
        writes = [packet for packet in seen if packet.command == wire.DATA]
        expect(len(writes), WRITES, f"writes on the cable, protocol {letter}")
        asked = {packet.numbers("QQII")[3] & (wire.SEND_RECEIVE_ACK | wire.SEND_WRITE_ACK) for packet in writes}
        expect(asked, {flag}, f"answers that writes ask for, protocol {letter}")
        answers = collections.Counter(packet.command for packet in seen if packet.command in (wire.RECV_ACK, wire.WRITE_ACK, wire.NEG_ACK))
        expect(dict(answers), {answer: WRITES} if answer else {}, f"answers, protocol {letter}")
        expect(sum(epochs(seen)), WRITES, f"writes that barriers acknowledged, protocol {letter}")
        c.expect_equal()


@scenario()
def epoch_size(c):
    """No epoch has more writes than max-epoch-size, also when that changes while connected."""
    c.ready(Resource(net={"max-epoch-size": 7}))
    c.a.adm("primary r0")
    for limit in (7, 1, 20000):
        net_options(c, f"--max-epoch-size={limit}")
        load(c.a, "--io_size=4k")
        all_confirmed(c.a)
        capture = wire.Capture(c.b)
        load(c.a, "--io_size=400k", "--iodepth=16")
        all_confirmed(c.a)
        sizes = epochs(capture.stop())
        expect(sum(sizes), 100, "writes that barriers acknowledged")
        expect_that(max(sizes) <= limit, f"epochs of at most {limit} writes: {sizes}")
        expect_that(limit != 20000 or max(sizes) > 7, f"epochs are as large as they may be: {sizes}")
    c.expect_equal()


@scenario()
def changed_under_load(c):
    """The protocol changes again and again, on either node, while the Primary is written to and a file system's flushes pass."""
    c.ready()
    c.a.adm("primary r0")
    running = c.a.spawn("fio --name=load --filename=/dev/drbd0 --direct=1 --ioengine=libaio --rw=randwrite --bsrange=4k-64k --size=6m --iodepth=8"
                        " --fsync=16 --runtime=20 --loops=1000 --verify=crc32c --verify_fatal=1")  # fmt: skip
    for round_number, letter in enumerate("ABCBACAC"):
        use_protocol(c, c.nodes[round_number % 2], letter)
        c.a.run("sleep 1")
    expect(running.wait(240).code, 0, "exit code of the load")
    for node in c.nodes:
        expect(node.log().count("Handshake successful"), 1, f"{node.name}: handshakes")
    c.expect_equal()


def flushes(node):
    """Flushes that the backing disk has completed."""
    return int(node.file("/sys/block/vdb/stat").split()[15])


@scenario(limit=400)
def write_ordering(c):
    """Every combination of disk-flushes, disk-drain and md-flushes, changed while connected: /proc/drbd names the method, and
    the peer's disk is flushed after an epoch, the Primary's with a transaction of the log, where they are on and only there."""
    c.ready()
    c.a.adm("primary r0")
    extent = 0
    for disk_flushes in ("yes", "no"):
        for disk_drain in ("yes", "no"):
            for metadata in ("yes", "no"):
                for node in c.nodes:
                    node.setup(f"disk-options 0 --disk-flushes={disk_flushes} --disk-drain={disk_drain} --md-flushes={metadata}")
                what = f"disk-flushes {disk_flushes}, disk-drain {disk_drain}, md-flushes {metadata}"
                letter = "f" if disk_flushes == "yes" else "d" if disk_drain == "yes" else "n"
                extent += 1
                before = {node.name: flushes(node) for node in c.nodes}
                # Direct, without a flush of its own, to an extent that is not hot yet.
                c.a.run(f"dd if=/dev/urandom of=/dev/drbd0 bs=4k count=8 seek={extent * 1024 + 4} oflag=direct conv=notrunc status=none")
                for node in c.nodes:
                    expect(node.device().write_ordering, letter, f"{node.name}: write ordering with {what}")
                all_confirmed(c.a)
                c.a.run("sleep 1")
                done = {node.name: flushes(node) - before[node.name] for node in c.nodes}
                expect(done["beta"] > 0, disk_flushes == "yes", f"flushes of the peer's disk with {what}: {done}")
                expect(done["alpha"] > 0, metadata == "yes", f"flushes of the Primary's disk with {what}: {done}")
                c.a.fio("--rw=randwrite", "--bs=4k", "--size=3m", "--io_size=256k", "--iodepth=8", "--fsync=8")
    c.expect_equal()


def socket_buffers(node):
    """(send, receive) buffer sizes of the established sockets, as the kernel counts them."""
    lines = node.text("ss -tmnH state established '( sport = :7788 or dport = :7788 )'")
    return [(int(send), int(receive)) for receive, send in re.findall(r"skmem:\(r\d+,rb(\d+),t\d+,tb(\d+)", lines)]


@scenario(limit=400)
def buffers(c):
    """sndbuf-size and rcvbuf-size reach the sockets; with the smallest that make sense, large writes and a full sync still pass."""
    c.ready(Resource(net={"sndbuf-size": "1M", "rcvbuf-size": "2M", "max-buffers": 8000}))
    c.a.adm("primary r0")
    c.a.fio("--rw=write", "--bs=1m", "--size=8m", "--iodepth=4")
    for node in c.nodes:
        found = socket_buffers(node)
        expect_that(len(found) == 2 and all(send >= 1 << 20 and receive >= 2 << 20 for send, receive in found), f"{node.name}: buffers of the sockets: {found}")
    # The manual has 32k for it. With less, chance may let TCP measure so small a window from the first segments that it is
    # never as large as a segment: each then waits for a window probe, five in a second.
    c.resources = (Resource(net={"sndbuf-size": "4k", "rcvbuf-size": "32k", "max-buffers": 32, "max-epoch-size": 1}),)
    for node in c.nodes:
        node.adm("disconnect r0")
        c.put_config(node)
    # While nobody is there: four MiB, for a resync in the smallest steps.
    c.a.fio("--rw=write", "--bs=1m", "--size=4m", "--offset=16m", "--iodepth=2")
    for node in c.nodes:
        node.adm("adjust r0")
    c.expect_equal()
    c.a.fio("--rw=randwrite", "--bs=1m", "--size=3m", "--iodepth=3", "--verify=crc32c", "--verify_fatal=1")
    c.a.fio("--rw=randwrite", "--bsrange=4k-256k", "--size=3m", "--iodepth=16", "--fsync=4")
    c.expect_equal()


@scenario()
def cork(c):
    """With tcp-cork what waits together is sent together, without it each packet for itself, also when that changes while connected."""
    c.ready()
    c.a.adm("primary r0")
    # How much waits together is for the scheduler to say: where the host is busy, a write may leave before the next one is there.
    for _ in range(5):
        pieces = {setting: pieces_of_a_load(c, setting) for setting in ("yes", "no")}
        if pieces["yes"] < pieces["no"]:
            break
    expect_that(pieces["yes"] < pieces["no"], f"corked, it goes in fewer pieces: {pieces}")
    c.expect_equal()


def pieces_of_a_load(c, setting):
    """How many segments the Primary sends for it."""
    net_options(c, f"--tcp-cork={setting}")
    load(c.a, "--io_size=4k")
    # Seen where it is sent: on its way the network may join it again.
    capture = wire.Capture(c.a)
    load(c.a, "--io_size=1m", "--iodepth=32", "--iodepth_batch=32")
    all_confirmed(c.a)
    return capture.segments(c.addresses(c.a)[0])
