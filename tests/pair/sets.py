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
    # Six storms, ten minutes each (LOAD_SECONDS says otherwise). Not in what is run when nothing is named.
    "long": ["load.ext4_a", "load.ext4_b", "load.ext4_c", "load.xfs_a", "load.xfs_b", "load.xfs_c"],
    # What every change has to pass with the kernel's own driver on one side.
    "interop": [
        "sync.first_full_sync",
        "resync.only_changed_blocks",
        "resync.detach_and_attach",
        "failover.switch_over",
        "failover.primary_is_killed",
        "split_brain.is_resolved",
    ],
    # The rest of the data path.
    "data_path": ["protocols.acknowledgements", "protocols.changed_under_load", "protocols.write_ordering", "load.short"],
}
