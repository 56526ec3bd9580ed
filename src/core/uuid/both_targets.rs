// SPDX-License-Identifier: GPL-2.0-only

//! Two nodes, each of which finds the other's data to be the newer one.
//!
//! The first rule that fits decides, and rules 50 and 60, by which the peer is newer, come before 70 and 80. Resyncs that were begun in
//! one direction and then in the other, and never came to an end, leave identifiers of which each node's current one is in the
//! past of the other. With the C driver both become targets, and wait for a source for ever; an administrator sees a
//! resync that begins. Here they refuse each other, as a source does whose own disk is Inconsistent.

use super::compare::{compare, CompareContext, Verdict};
use super::handshake::{Meeting, Outcome};
use crate::state::DiskState;

/// Whether a node that came to this outcome would wait for a peer that comes to the same.
pub fn both_are_targets(meeting: &Meeting, outcome: Outcome) -> bool {
    let own_disk = match meeting.own_disk {
        DiskState::Negotiating => meeting.own_disk_negotiated,
        disk => disk,
    };
    // Where one of them is Inconsistent, and the other not, that decides for both.
    let alike =
        (own_disk == DiskState::Inconsistent) == (meeting.peer_disk == DiskState::Inconsistent);
    if !alike || !matches!(outcome, Outcome::BecomeTarget { .. }) {
        return false;
    }
    let as_the_peer = CompareContext {
        resolve_conflicts: !meeting.context.resolve_conflicts,
        ..meeting.context
    };
    let theirs = compare(&meeting.peer, &meeting.own, &as_the_peer).verdict;
    matches!(theirs, Verdict::TargetBitmap | Verdict::TargetFull)
}

#[cfg(test)]
mod tests {
    use super::super::compare::Side;
    use super::super::handshake::{handshake, Policies};
    use super::super::Uuids;
    use super::*;
    use crate::state::Role;

    const ALICE: [u64; 4] = [0xa0, 0xb0, 0xc0, 0xd0];
    /// Alice's current one is what its bitmap counts from, and its own is in her history.
    const BOB: [u64; 4] = [0xd0, 0xa0, 0xc0, 0x40];

    fn side(uuids: [u64; 4]) -> Side {
        Side {
            uuids: Uuids::from_array(uuids),
            bits_set: 5,
            crashed_primary: false,
            discard_my_data: false,
            role: Role::Secondary,
        }
    }

    fn meeting(own: [u64; 4], peer: [u64; 4], disks: [DiskState; 2]) -> Meeting {
        let [own_disk, peer_disk] = disks;
        Meeting {
            own: side(own),
            peer: side(peer),
            own_disk,
            own_disk_negotiated: DiskState::Diskless,
            peer_disk,
            can_demote: true,
            context: CompareContext {
                agreed_protocol: 101,
                agreed_write_same: true,
                resolve_conflicts: false,
            },
            policies: Policies::default(),
        }
    }

    fn waits(meeting: Meeting) -> bool {
        both_are_targets(&meeting, handshake(&meeting).outcome)
    }

    #[test]
    fn each_finds_the_other_newer() {
        for disk in [DiskState::Inconsistent, DiskState::UpToDate] {
            assert!(waits(meeting(ALICE, BOB, [disk; 2])));
            assert!(waits(meeting(BOB, ALICE, [disk; 2])));
        }
    }

    #[test]
    fn one_has_something_to_give() {
        let disks = [DiskState::Inconsistent, DiskState::Outdated];
        assert!(!waits(meeting(ALICE, BOB, disks)));
        let older = [0xb0, 0, 0xc0, 0xd0];
        assert!(!waits(meeting(older, ALICE, [DiskState::Inconsistent; 2])));
        assert!(!waits(meeting(older, ALICE, [DiskState::UpToDate; 2])));
    }
}
