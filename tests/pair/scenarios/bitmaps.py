# SPDX-License-Identifier: GPL-2.0-only
"""Bitmaps that take several packets, as runs and as they are."""

import os

from .. import wire
from ..cluster import META_DISK
from ..config import Resource, Volume
from ..scenario import expect, expect_in, expect_that, scenario

# 272 MiB are 69600 bits: three packets of bits, and with runs of four bits, of which each takes three, two of runs.
RESOURCE = Resource(volumes=(Volume(disk=META_DISK),))
BLOCK = 4096


def packets_of(seen, address):
    """How many packets of runs and of bits came from this address."""
    return [sum(packet.command == kind and packet.source == address for packet in seen) for kind in (wire.COMPRESSED_BITMAP, wire.BITMAP)]


def outage(c, node, other, use_rle, blocks):
    """The peer misses every other run of so many blocks, to the end of the device. Answers the packets of the bitmaps that `node`
    and its peer sent, none of them while anything is copied."""
    for each in c.nodes:
        each.setup(f"net-options {' '.join(f'{address}:7788' for address in c.addresses(each))} --use-rle={use_rle}")
    node.adm("primary r0")
    other.adm("disconnect r0")
    node.wait(connection="WFConnection")
    step = blocks * BLOCK
    size = node.size() // (2 * step) * 2 * step
    # Other data each time: what is not copied shows.
    seed = int.from_bytes(os.urandom(4), "big")
    node.fio(f"--rw=write:{step}", f"--bs={step}", f"--size={size}", f"--io_size={size // 2}", "--iodepth=16", "--refill_buffers", f"--randseed={seed}")
    bits = size // 2 // BLOCK
    node.wait(out_of_sync=bits * 4)
    node.adm("pause-sync r0")
    capture = wire.Capture(node)
    other.adm("connect r0")
    node.wait(connection="PausedSyncS")
    other.wait(connection="PausedSyncT", out_of_sync=bits * 4)
    seen = capture.stop()
    node.adm("resume-sync r0")
    c.expect_equal()
    expect_in(f"(will sync {bits * 4} KB [{bits} bits set])", other.log(), "log of the target")
    node.adm("secondary r0")
    return [packets_of(seen, address) for address in c.addresses(node)]


@scenario(limit=900)
def several_packets(c):
    """Every other block is marked, or every other run of four: with use-rle, runs that save nothing go as bits; either node is the source."""
    c.ready(RESOURCE)
    for node, other in ((c.a, c.b), (c.b, c.a)):
        (runs, bits), (runs_back, bits_back) = outage(c, node, other, "yes", 4)
        expect_that(runs >= 2 and bits == 0, f"{node.name}, runs of four: {runs} packets of runs, {bits} of bits")
        expect_that(runs_back >= 1 and bits_back == 0, f"{other.name}, which may have merged them: {runs_back} packets of runs, {bits_back} of bits")
        (runs, bits), _ = outage(c, node, other, "yes", 1)
        expect([runs, bits > 2], [0, True], f"{node.name}, every other block: packets of runs, and more than two of bits ({bits})")


@scenario(limit=900)
def without_runs(c):
    """use-rle no: bits from both nodes, however many; either node is the source."""
    c.ready(RESOURCE)
    for node, other in ((c.a, c.b), (c.b, c.a)):
        for runs, bits in outage(c, node, other, "no", 1):
            expect([runs, bits > 2], [0, True], f"source {node.name}: packets of runs, and more than two of bits ({bits})")
