# SPDX-License-Identifier: GPL-2.0-only
"""Scenarios on guests with the stock kernel and unmodified drbd-utils.

    python3 -m tests.pair --a rust --b c              every scenario, alpha on our driver, beta on the kernel's own
    python3 -m tests.pair --a c admin loop            two groups, and only the guests that they need
"""

import pathlib
import sys

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "scripts"))
