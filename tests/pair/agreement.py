# SPDX-License-Identifier: GPL-2.0-only
"""Options of a connection that both nodes have to agree on: given to one of them, taken back, and unknown to the kernel."""

from .config import Resource


def other_conf(c, node, resource):
    """This node alone reads another drbd.conf from now on."""
    before, c.resources = c.resources, (resource,)
    c.put_config(node)
    c.resources = before


def disagree(c, resource):
    """The second node, from connected, tries it again with this drbd.conf."""
    c.b.adm("disconnect r0")
    c.a.wait(connection="WFConnection")
    other_conf(c, c.b, resource)
    c.b.adm("connect r0")


def agree_again(c):
    """Both connect with the drbd.conf of before, wherever the connection was."""
    c.put_config(c.b)
    # First both let go: a node that was adjusted already must not meet the other one as it was before.
    for node in c.nodes:
        node.adm("disconnect r0", check=False)
    for node in c.nodes:
        node.adm("adjust r0")
    c.wait(connection="Connected")


def unknown_algorithm(c, option, code, **net):
    """A digest that the kernel does not have is refused, before and while the node is connected."""
    c.configure(Resource(net={option: "mumble", **net}))
    for node in c.nodes:
        node.refuses("drbdadm up r0", 1, code)
        node.wait(connection="StandAlone")
        node.adm("down r0")
    c.ready()
    for node in c.nodes:
        node.refuses(f"drbdsetup net-options {addresses(c, node)} --{option}=mumble", 10, code)
        node.wait(connection="Connected")
    c.expect_equal()


def addresses(c, node):
    """The local and the remote address of the connection, as drbdsetup wants them."""
    own, other = c.addresses(node)
    port = c.resources[0].port
    return f"{own}:{port} {other}:{port}"
