# SPDX-License-Identifier: GPL-2.0-only
"""How two nodes find each other when others are in the way."""

import os

from ..config import Resource, Volume
from ..scenario import expect, expect_that, scenario

# Comes to a port again and again: silent, with noise, with first packets that promise a peer, and gone again.
STRANGER = """\
import os, socket, struct, sys, time
target, end, kept = (sys.argv[1], 7788), time.time() + float(sys.argv[2]), []
first = [struct.pack(">IHH", 0x83740267, number, 0) for number in (0xfff1, 0xfff2, 0xfffe)]
words = [b"", os.urandom(100), first[0], first[1], first[0] + first[2], first[1] + os.urandom(4096), b"GET / HTTP/1.0\\r\\n\\r\\n"]
count = 0
while time.time() < end:
    try:
        connection = socket.create_connection(target, 2)
        connection.sendall(words[count % len(words)])
        count += 1
        kept.append(connection)
        if len(kept) > 3:
            kept.pop(0).close()
    except OSError:
        pass
    time.sleep(0.3)
print(count)
"""

# Hands everything that comes to one address on to another: to a node that dials, its peer seems to be somewhere else.
RELAY = """\
import socket, sys, threading
here, there = sys.argv[1], sys.argv[2]
door = socket.create_server((here, 7788))
def pump(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    for end in one, other:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
while True:
    near, _ = door.accept()
    try:
        far = socket.create_connection((there, 7788), 3)
    except OSError:
        near.close()
        continue
    far.settimeout(None)
    for pair in (near, far), (far, near):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


@scenario()
def both_at_once(c):
    """Both nodes connect at the same moment, over a slow cable on which their attempts cross: they meet each time."""
    c.ready()
    c.link.delay(40)
    for _ in range(4):
        for node in c.nodes:
            node.adm("disconnect r0")
        c.wait(connection="StandAlone")
        started = [node.spawn("drbdadm connect r0") for node in c.nodes]
        for running in started:
            expect(running.wait(60).code, 0, "exit code of drbdadm connect")
        c.wait(connection="Connected", disk="UpToDate", peer_disk="UpToDate")
    c.link.delay(0)
    c.a.adm("primary r0")
    c.a.write(1 << 20, os.urandom(65536))
    c.expect_equal()


@scenario()
def strangers(c):
    """Strangers keep connecting to the port of both nodes, silent, with noise, with the first packets of a peer: the pair still
    finds each other, and nobody's data changes."""
    c.ready()
    c.a.adm("primary r0")
    c.a.write(1 << 20, os.urandom(65536))
    for node in c.nodes:
        node.guest.put(STRANGER, "/tmp/stranger.py")
    for node in c.nodes:
        node.adm("disconnect r0")
    c.wait(connection="StandAlone")
    strange = [node.spawn(f"exec python3 /tmp/stranger.py {c.addresses(node)[1]} 25") for node in c.nodes]
    c.b.adm("connect r0")
    c.a.run("sleep 5")
    c.a.adm("connect r0")
    for running in strange:
        expect_that(int(running.wait(120).stdout) >= 3, "strangers got to the port")
    c.expect_equal()
    expect(c.a.device().role, "Primary", "role of the first node")


@scenario()
def two_peers_one_port(c):
    """Two resources of one node want the same port of the other: one gets it, the other waits; when the first leaves, it connects."""
    resource = Resource()
    c.configure(resource, equal=True)
    # The rival: beta's other resource has another port and another disk, and finds alpha under another address.
    rival = Resource("rival", port=7790, volumes=(Volume(0, 1, "/dev/vdc"),), addresses=(("alpha", "10.83.0.11:7788"), ("beta", "10.83.0.2:7790")))
    c.a.run("ip link set lo up; ip address replace 10.83.0.11/24 dev eth0")
    c.a.guest.put(RELAY, "/tmp/relay.py")
    c.a.spawn("exec python3 /tmp/relay.py 10.83.0.11 10.83.0.1")
    c.b.adm("up r0")
    c.b.guest.put("global { usage-count no; }\n" + rival.text(c.hosts), "/etc/rival.conf")
    c.b.run("drbdadm -c /etc/rival.conf create-md --force rival && drbdadm -c /etc/rival.conf up rival")
    c.b.run("sleep 2")
    c.a.adm("up r0")
    c.a.wait(connection="Connected")
    c.a.run("sleep 12")
    c.a.wait(connection="Connected")
    states = [c.b.device(minor).connection for minor in (0, 1)]
    expect(states.count("Connected"), 1, f"rivals that are connected: {states}")
    winner = states.index("Connected")
    c.b.run(["drbdadm down r0", "drbdadm -c /etc/rival.conf down rival"][winner])
    c.a.wait(connection="Connected")
    c.b.wait(1 - winner, connection="Connected")
    c.b.run("drbdadm -c /etc/rival.conf down rival; drbdadm adjust r0", 60)
    c.wait(connection="Connected")
    c.a.adm("primary --force r0")
    c.expect_equal()
    c.a.run("ip address del 10.83.0.11/24 dev eth0")
