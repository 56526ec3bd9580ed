# SPDX-License-Identifier: GPL-2.0-only
"""Options that change while the resource runs, handlers, and what they ask for."""

import os

from ..config import Resource
from ..scenario import expect, expect_in, expect_that, scenario


def changed(c, resource):
    """Puts another drbd.conf in place and lets drbdadm find what differs."""
    c.resources = (resource,)
    for node in c.nodes:
        c.put_config(node)
        node.adm("adjust r0")


@scenario()
def adjust(c):
    """`drbdadm adjust` changes disk and net options of a connected Primary and its peer; data and state stay."""
    c.ready()
    c.a.adm("primary r0")
    changed(c, Resource(net={"max-buffers": 4000, "ping-int": 7, "after-sb-0pri": "discard-zero-changes"},
                        disk={"resync-rate": "20M", "al-extents": 257, "c-max-rate": "50M"}))  # fmt: skip
    for node in c.nodes:
        shown = " ".join(node.text("drbdsetup show r0").split())
        for words in ("max-buffers 4000;", "ping-int 7; # seconds", "after-sb-0pri discard-zero-changes;", "resync-rate 20480k;", "al-extents 257;", "c-max-rate 51200k;"):
            expect_in(words, shown, f"{node.name}: drbdsetup show")
    c.a.wait(connection="Connected", role="Primary", disk="UpToDate")
    c.a.write(1 << 20, os.urandom(65536))
    c.expect_equal()
    changed(c, Resource())
    for node in c.nodes:
        shown = node.text("drbdsetup show r0")
        expect_that("max-buffers" not in shown and "al-extents" not in shown, f"{node.name}: options are back at their defaults\n{shown}")
    c.a.adm("adjust r0")
    c.expect_equal()


@scenario()
def adjust_from_nothing(c):
    """`adjust` brings a resource up that is not there, and its disk back that was taken away."""
    c.configure()
    for node in c.nodes:
        node.adm("adjust r0")
    c.wait(connection="Connected", disk="Inconsistent")
    c.a.adm("primary --force r0")
    c.expect_equal()
    c.b.adm("detach r0")
    c.b.adm("disconnect r0")
    c.b.adm("adjust r0")
    c.expect_equal()


@scenario()
def suspend_and_resume(c):
    """suspend-io stops writes until resume-io."""
    c.ready()
    c.a.adm("primary r0")
    c.a.adm("suspend-io r0")
    c.a.wait(flags="s-----")
    write = c.a.spawn("dd if=/dev/urandom of=/dev/drbd0 bs=64k count=1 oflag=direct conv=notrunc status=none")
    c.a.run("sleep 2")
    expect_that(not write.ended, "the write waits")
    c.a.adm("resume-io r0")
    expect(write.wait(60).code, 0, "exit code of the write")
    c.expect_equal()


HANDLER = """\
#!/bin/sh
echo "$0 resource=$DRBD_RESOURCE minor=$DRBD_MINOR peer=$DRBD_PEER_AF/$DRBD_PEER_ADDRESS" >>/tmp/handlers
exit 0
"""


@scenario()
def handlers_run(c):
    """The driver calls drbdadm, and drbdadm the handlers of drbd.conf, around a resync, with what it works on in the environment."""
    handlers = {name: f"/tmp/{name}" for name in ("before-resync-target", "after-resync-target")}
    for node in c.nodes:
        node.unload()
        node.load("")
        for path in handlers.values():
            node.guest.put(HANDLER, path, mode=0o755)
        node.run("rm -f /tmp/handlers")
    c.ready(Resource(handlers=handlers))
    c.a.adm("primary r0")
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    c.a.write(1 << 20, os.urandom(4096))
    c.b.adm("connect r0")
    c.expect_equal()
    c.b.guest.wait_until("test $(wc -l </tmp/handlers) -ge 2", 60)
    told = c.b.text("cat /tmp/handlers")
    expect(told.splitlines(), [f"/tmp/{name} resource=r0 minor=0 peer=ipv4/10.83.0.1" for name in handlers], "what the handlers were told")
    expect_in("helper command: /sbin/drbdadm before-resync-target minor-0 exit code 0 (0x0)", c.b.log(), "log")
    expect_in("helper command: /sbin/drbdadm after-resync-target minor-0 exit code 0 (0x0)", c.b.log(), "log")


@scenario()
def handler_takes_its_time(c):
    """While a handler of ours runs, the peer comes, goes, and is replicated to; a handler may disconnect its own resource."""
    node, peer = c.ours_first()
    node.unload()
    connection = " ".join(f"ipv4:{address}:7788" for address in c.addresses(node))
    script = f"""#!/bin/sh
case "$*" in
after-resync-target*) [ -e /tmp/done ] && exit; until [ -e /tmp/go ]; do sleep 1; done; drbdsetup disconnect {connection} && touch /tmp/done;;
esac
"""
    node.guest.put(script, "/tmp/slow", mode=0o755)
    node.run("rm -f /tmp/go /tmp/done")
    node.load("usermode_helper=/tmp/slow")
    c.ready()
    peer.adm("primary r0")
    node.adm("disconnect r0")
    peer.wait(connection="WFConnection")
    peer.write(1 << 20, os.urandom(4096))
    node.adm("connect r0")
    node.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate")
    c.link.cut()
    node.wait(connection={"WFConnection", "Unconnected"})
    c.link.heal()
    # What it missed has to wait for the next handler.
    node.wait(connection="WFSyncUUID")
    peer.write(2 << 20, os.urandom(4096))
    peer.adm("secondary r0")
    node.wait(peer="Secondary")
    expect_that("after-resync-target minor-0 exit code" not in node.log(), "the handler still runs")
    node.run("touch /tmp/go")
    node.wait(connection="StandAlone")
    node.guest.wait_until("test -e /tmp/done", 60)
    node.adm("connect r0")
    c.expect_equal()


@scenario()
def handler_takes_its_resource_down(c):
    """A handler of ours takes its own resource down, at once and step by step; it comes up again while that handler still runs."""
    node, peer = c.ours_first()
    connection = " ".join(f"ipv4:{address}:7788" for address in c.addresses(node))
    steps = f"drbdsetup disconnect {connection} && drbdsetup detach 0 && drbdsetup del-minor 0 && drbdsetup del-resource r0"
    c.ready()
    peer.adm("primary r0")
    node.adm("down r0")
    for down in ("drbdsetup down r0", steps):
        node.unload()
        script = f"""#!/bin/sh
case "$*" in
after-resync-target*) [ -e /tmp/done ] && exit; {down} && touch /tmp/done; until [ -e /tmp/go ]; do sleep 1; done;;
esac
"""
        node.guest.put(script, "/tmp/slow", mode=0o755)
        node.run("rm -f /tmp/go /tmp/done")
        node.load("usermode_helper=/tmp/slow")
        peer.write(1 << 20, os.urandom(4096))
        node.adm("up r0")
        node.guest.wait_until("test -e /tmp/done", 60)
        expect(node.text("drbdsetup show"), "", "what is left")
        expect_that("after-resync-target minor-0 exit code" not in node.log().split("initialized")[-1], "the handler still runs")
        node.adm("up r0")
        c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate")
        node.adm("down r0")
        node.run("touch /tmp/go")
    node.unload()
    node.load()
    node.adm("up r0")
    c.expect_equal()


@scenario()
def wait_for_connection_and_sync(c):
    """drbdadm wait-connect and drbdsetup wait-sync return when it is so."""
    c.configure()
    c.a.adm("up r0")
    waiting = c.a.spawn("drbdsetup wait-connect 0")
    c.a.run("sleep 1")
    expect_that(not waiting.ended, "wait-connect waits")
    c.b.adm("up r0")
    expect(waiting.wait(120).code, 0, "exit code of wait-connect")
    c.a.adm("primary --force r0")
    c.a.wait(connection="SyncSource")
    c.a.setup("wait-sync 0", limit=240)
    c.expect_equal()


@scenario()
def events_of_a_pair(c):
    """events2 on the Secondary tells of the peer's promotion, of a sync from its start to its end, and of the peer's leaving."""
    c.up()
    watch = c.b.spawn("drbdsetup events2")
    c.b.run("sleep 1")
    c.a.adm("primary --force r0")
    c.expect_equal()
    c.a.adm("secondary r0")
    c.a.adm("down r0")
    c.b.wait(connection="WFConnection")
    c.b.run("sleep 1")
    told = watch.output_so_far().decode()
    position = 0
    for line in ("exists -", "change connection name:r0 peer-node-id:0 conn-name:peer role:Primary", "peer-disk:UpToDate",
                 "replication:SyncTarget", "disk:UpToDate", "replication:Established", "role:Secondary", "connection:TearDown",
                 "connection:Connecting"):  # fmt: skip
        found = told.find(line, position)
        expect_that(found >= 0, f"events2 does not tell {line!r} after what came before it:\n{told}")
        position = found
