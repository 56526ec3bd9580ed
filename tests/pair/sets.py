# SPDX-License-Identifier: GPL-2.0-only
"""Selections of scenarios that have a name."""

SETS = {
    # What every change has to pass with our driver on both sides.
    "short": [
        "admin",
        "loop",
        "errors.names_and_numbers",
        "errors.addresses",
        "errors.already_so",
        "errors.no_metadata",
        "errors.unclean_metadata",
        "errors.foreign_metadata",
        "errors.disk_in_use",
        "errors.promotion",
        "sync.first_full_sync",
        "resync.only_changed_blocks",
        "failover.switch_over",
        "failover.primary_is_killed",
        "split_brain.is_resolved",
        "volumes.two_volumes",
        "volumes.flexible_external_metadata",
        "options.adjust",
        "options.handlers_run",
    ],
    # What every change has to pass with the kernel's own driver on one side.
    "interop": [
        "sync.first_full_sync",
        "resync.only_changed_blocks",
        "resync.detach_and_attach",
        "failover.switch_over",
        "failover.primary_is_killed",
        "split_brain.is_resolved",
    ],
}
