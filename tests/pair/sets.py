# SPDX-License-Identifier: GPL-2.0-only
"""Selections of scenarios that have a name."""

SETS = {
    # What every change has to pass with our driver alone: administration, and what goes wrong there.
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
        "volumes.flexible_external_metadata",
        "options.adjust",
        "options.handlers_run",
    ],
    # What every change has to pass in each role before anything else, with the kernel's own driver as the peer and without:
    # something of each part of the data path.
    "matrix": [
        "protocols",
        "discard.ranges",
        "discard.thin_resync",
        "reads.every_method",
        "reads.local_error",
        "sync.first_full_sync",
        "sync.pause_and_resume",
        "resync.only_changed_blocks",
        "resync.cable_is_cut",
        "resync.detach_and_attach",
        "checksums.changed_blocks_are_sent",
        "verify.finds_what_changed",
        "verify.start_and_stop",
        "pace.fixed_rate",
        "dependency.one_after_the_other",
        "congestion.pull_ahead_and_back",
        "integrity.crc32c",
        "secrets.the_same",
        "secrets.another",
        "failover.switch_over",
        "failover.primary_is_killed",
        "failover.target_is_killed",
        "split_brain.is_resolved",
        "disk_errors.write_fails_on_the_primary",
        "volumes.two_volumes",
        "load.short",
    ],
    # Minutes each, or half an hour: only `make matrix` has them.
    "slow": ["old_peers.every_age", "same_disk.same_history"],
    # The same nodes, or disks, under one driver after the other.
    "handover": ["upgrade.one_node_at_a_time", "same_disk.internal", "same_disk.middle_of_a_resync"],
    # Six storms, ten minutes each (LOAD_SECONDS says otherwise). Not in what is run when nothing is named.
    "long": ["load.ext4_a", "load.ext4_b", "load.ext4_c", "load.xfs_a", "load.xfs_b", "load.xfs_c"],
}

# The set `rest` is what these leave out of the scenarios for two nodes. Each change has to pass it in each role, as far as there
# is time, in three parts that take turns in being first.
ELSEWHERE = [title for name in ("matrix", "handover", "slow", "long") for title in SETS[name]]
