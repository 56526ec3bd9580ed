# SPDX-License-Identifier: GPL-2.0-only
"""Several volumes, several resources, the kinds of metadata, IPv6."""

import os

from .. import backing
from ..config import Resource, Volume
from ..scenario import expect, expect_in, expect_that, scenario

TWO_VOLUMES = (Volume(0, 0, "/dev/vdb"), Volume(1, 1, "/dev/vdc"))


@scenario()
def two_volumes(c):
    """Two volumes share a connection: both are synced, written to at once, and lose the peer together."""
    c.ready(Resource(volumes=TWO_VOLUMES))
    c.a.adm("primary r0")
    c.a.wait(0, role="Primary")
    c.a.wait(1, role="Primary")
    loads = [c.a.spawn(f"fio --name=load --filename=/dev/drbd{minor} --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --size=8m --iodepth=8") for minor in (0, 1)]
    for load in loads:
        expect(load.wait(300).code, 0, "exit code of the load")
    c.expect_equal()
    c.b.adm("disconnect r0")
    c.a.wait(0, connection="WFConnection")
    c.a.wait(1, connection="WFConnection")
    c.a.write(1 << 20, os.urandom(8192), minor=0)
    c.a.write(2 << 20, os.urandom(4096), minor=1)
    c.b.adm("connect r0")
    c.expect_equal()
    expect_in("(will sync 8 KB [2 bits set])", c.a.log(), "log of volume 0")
    expect_in("(will sync 4 KB [1 bits set])", c.a.log(), "log of volume 1")
    expect_in("r0/1 drbd1: ", c.a.log(), "the log names resource, volume and minor")


@scenario()
def one_volume_detaches(c):
    """One volume loses its disk, the other does not notice."""
    c.ready(Resource(volumes=TWO_VOLUMES))
    c.a.adm("primary r0")
    c.b.adm("detach r0/1")
    c.a.wait(1, peer_disk="Diskless")
    c.a.wait(0, peer_disk="UpToDate")
    for minor in (0, 1):
        c.a.write(3 << 20, os.urandom(16384), minor=minor)
    c.b.adm("attach r0/1")
    c.expect_equal()


def used_with_one_volume(c):
    """Connected, the first node Primary with its one volume; both know of a second one, with other data on each disk, from now on."""
    c.ready()
    c.a.adm("primary r0")
    c.resources = (Resource(volumes=TWO_VOLUMES),)
    for node in c.nodes:
        backing.fill(c.backing(node, "/dev/vdc"), node.name)
        c.put_config(node)
        node.adm("create-md --force r0/1")


@scenario()
def added_while_connected(c):
    """A volume is added to a resource in use, on either node first: it is nobody's Primary, is connected, promoted by force and synced."""
    for first, second in ((c.a, c.b), (c.b, c.a)):
        used_with_one_volume(c)
        first.adm("adjust r0")
        first.wait(1, connection="WFReportParams", disk="Inconsistent", role="Secondary")
        second.adm("adjust r0")
        for node, role in ((c.a, "Primary"), (c.b, "Secondary")):
            node.wait(1, connection="Connected", role="Secondary", peer="Secondary", disk="Inconsistent", peer_disk="Inconsistent")
            expect(node.device(0).role, role, f"role of {node.name} with the first volume")
        c.a.adm("primary --force r0/1")
        c.a.wait(1, role="Primary", disk="UpToDate")
        c.a.write(1 << 20, os.urandom(1 << 20), minor=1)
        c.expect_equal()
        c.a.adm("secondary r0")
        for node in c.nodes:
            node.adm("down r0")
            node.begin()


@scenario()
def added_with_data(c):
    """The first node to have a new volume writes to it before the other one has it: the other one gets what was written."""
    for first, second in ((c.a, c.b), (c.b, c.a)):
        used_with_one_volume(c)
        # No other node than the Primary of one volume may be that of another.
        c.a.setup("secondary 0")
        first.adm("adjust r0")
        first.adm("primary --force r0/1")
        data = os.urandom(1 << 20)
        first.write(3 << 20, data, minor=1)
        first.wait(1, connection="WFReportParams", disk="UpToDate", role="Primary")
        if not all(node.driver == "c" for node in c.nodes):
            # The second disk is attached before a word of the first one is there. By the rules of the kernel's own driver nobody compares them then.
            c.link.delay(1000)
        second.adm("adjust r0")
        c.link.delay(0)
        c.expect_equal()
        expect_that(first.read(3 << 20, len(data), minor=1) == data, "what was written")
        for node in (second, first):
            node.adm("down r0")
            node.begin()


@scenario()
def two_resources(c):
    """Two resources, each with its Primary on the other node."""
    c.ready(Resource("r0"), Resource("r1", port=7789, volumes=(Volume(0, 1, "/dev/vdc"),)))
    c.a.adm("primary r0")
    c.b.adm("primary r1")
    c.a.wait(0, role="Primary")
    c.b.wait(1, role="Primary", peer="Secondary")
    c.a.write(1 << 20, os.urandom(65536), minor=0)
    c.b.write(1 << 20, os.urandom(65536), minor=1)
    c.b.adm("disconnect r0")
    c.a.wait(0, connection="WFConnection")
    c.a.wait(1, connection="Connected")
    c.b.adm("connect r0")
    c.expect_equal()
    c.b.adm("down r0")
    c.a.wait(0, connection="WFConnection")
    c.b.wait(1, connection="Connected", role="Primary")


@scenario()
def ipv6(c):
    """The connection over IPv6."""
    c.up(Resource(family="ipv6"))
    c.a.adm("primary --force r0")
    c.expect_equal()
    expect_in("ipv6 [fd83::1]:7788", c.a.text("drbdsetup show r0"), "drbdsetup show")
    c.link.cut()
    c.a.wait(connection="WFConnection")
    c.link.heal()
    c.expect_equal()


def external_metadata(c, meta, limit):
    """The usual life of a resource with its metadata elsewhere."""
    c.ready(Resource(volumes=(Volume(meta=meta),)))
    expect(c.a.size(), 64 << 20, "the whole disk is data")
    c.a.adm("primary r0")
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    c.a.write((64 << 20) - 4096, os.urandom(4096))
    c.a.write(0, os.urandom(4096))
    c.b.adm("down r0")
    c.b.adm("up r0")
    c.expect_equal()
    expect_in("(will sync 8 KB [2 bits set])", c.a.log(), "log")
    c.a.adm("secondary r0")
    c.a.adm("down r0")
    c.a.adm("apply-al r0", check=False)
    dump = c.a.adm("dump-md r0").text
    expect_in(f"la-size-sect {limit};", dump, "dump-md")
    expect_in("# bits-set 0;", dump, "dump-md")


@scenario()
def flexible_external_metadata(c):
    """Metadata on a device of its own."""
    external_metadata(c, "/dev/vdd", 131072)


@scenario()
def indexed_external_metadata(c):
    """Metadata in the second slot of a device."""
    external_metadata(c, "/dev/vdd [1]", 131072)


@scenario()
def shared_metadata_device(c):
    """Two volumes have their metadata in two slots of one device; our driver refuses the slot of the other one."""
    volumes = (Volume(0, 0, "/dev/vdb", "/dev/vdd [0]"), Volume(1, 1, "/dev/vdc", "/dev/vdd [1]"))
    c.ready(Resource(volumes=volumes))
    c.a.adm("primary r0")
    for minor in (0, 1):
        c.a.write(1 << 20, os.urandom(65536), minor=minor)
    c.expect_equal()
    c.a.adm("secondary r0")
    for node in c.nodes:
        node.adm("detach r0/1")
        if node.driver == "rust":
            attach = "drbdsetup attach 1 /dev/vdc /dev/vdd 0"
            node.refuses(attach, 10, "index 0 of this meta-disk is in use by another volume")
        node.adm("attach r0/1")
        c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate")
    for node in c.nodes:
        node.adm("down r0")
        node.adm("up r0")
    c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)
    c.expect_equal()


@scenario()
def sizes_are_agreed(c):
    """The smaller disk decides; a disk limited by configuration too."""
    c.configure(Resource(volumes=(Volume(meta="/dev/vdd"),)))
    c.resources = (Resource(volumes=(Volume(meta="/dev/vdd"),), disk={"size": "40M"}),)
    c.put_config(c.b)
    for node in c.nodes:
        node.adm("up r0")
    c.wait(connection="Connected")
    expect((c.a.size(), c.b.size()), (40 << 20, 40 << 20), "sizes of both")
    c.a.adm("primary --force r0")
    c.expect_equal()


@scenario()
def striped_activity_log(c):
    """An activity log of four stripes of 64 KiB."""
    c.prepare()
    for node in c.nodes:
        node.run("drbdmeta --force 0 v08 /dev/vdb internal create-md --al-stripes 4 --al-stripe-size-kB 64")
        node.adm("up r0")
    c.wait(connection="Connected")
    c.a.adm("primary --force r0")
    c.a.fio("--rw=randwrite", "--bs=4k", "--size=32m", "--io_size=4m", "--iodepth=8")
    c.expect_equal()
    expect(c.b.size() % 4096, 0, "size")
    c.a.guest.power_cut()
    c.returned(c.a)
    c.a.adm("up r0")
    c.expect_equal()
    expect_that("bad" not in c.a.log().lower(), "the activity log is read without complaint")
