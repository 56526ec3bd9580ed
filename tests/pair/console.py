# SPDX-License-Identifier: GPL-2.0-only
"""What a healthy kernel does not print. One such line fails the scenario that it was printed in."""

import re

COMPLAINT = re.compile(
    r"\bBUG:|\bOops\b|\bWARNING:|Kernel panic|Call Trace|general protection|possible (?:circular|recursive) locking"
    r"|possible irq lock inversion|inconsistent lock state|blocked for more than|hung_task|detected stalls?|self-detected stall"
    r"|refcount_t:|UBSAN|KASAN|list_(?:add|del) corruption|sleeping function called|scheduling while atomic|soft lockup"
    r"|register non-static key|\bBUG \S+ \(|pagealloc: |Objects remaining|new suspected memory leaks|held lock freed|LOCKS_WARN"
    r"|were not given back|was not lent here|unable to handle|still has (?:locks|objects)|ODEBUG|bad: scheduling|panicked at"
)


def complaints(text):
    """The lines of `text` that a healthy kernel does not print."""
    return [line for line in text.splitlines() if COMPLAINT.search(line)]
