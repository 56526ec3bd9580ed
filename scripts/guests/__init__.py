# SPDX-License-Identifier: GPL-2.0-only
"""Guests: virtual machines that run the stock kernel, with disks that outlive a power cut and links that can be cut.

    with Lab("/tmp/run") as lab:
        link = lab.link()
        alpha = lab.guest("alpha", links=[link])
        beta = lab.guest("beta", links=[link])
        lab.start(alpha, beta)
        alpha.run("modprobe drbd")
        link.cut()
        beta.power_cut()
        beta.start()

Everything that a Lab started ends with it, also on Ctrl-C.
"""

from .channel import CommandFailed, GuestLost, Result, TimeLimit
from .guest import Guest
from .lab import Lab
from .link import Link

__all__ = ["CommandFailed", "Guest", "GuestLost", "Lab", "Link", "Result", "TimeLimit"]
