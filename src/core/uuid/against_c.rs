// SPDX-License-Identifier: GPL-2.0-only

//! Holds this module against the rules of the C driver, as [`crate::state`] is: a fixed series of meetings was put to
//! `drbd_uuid_compare` and `drbd_sync_handshake` of Linux 7.3, and a series of changes to `drbd_uuid_new_current`,
//! `drbd_uuid_set_bm`, `drbd_uuid_set` and what `drbd_resync_finished` does with them. The digests of all answers must
//! come out here, too.

use super::compare::{compare, CompareContext, Correction, Rule, Side};
use super::handshake::{handshake, Meeting, Policies};
use super::report::{Helper, Outcome};
use super::{Uuids, NEW_BITMAP_OFFSET};
use crate::config::{AfterSplitBrain0p, AfterSplitBrain1p, AfterSplitBrain2p, RoleConflict};
use crate::state::test_series::{Digest, Series};
use crate::state::{DiskState, Role};
use std::collections::HashSet;

/// The number of meetings, and the digest of what the C functions answered.
const MEETINGS: (usize, u64) = (200_000, 0xe207_cc30_7595_c0ac);
/// The number of changes, and the digest of the identifiers after each.
const CHANGES: (usize, u64) = (10_000, 0x93ac_27a1_6ea1_c4d5);

fn any_of<T: Copy>(series: &mut Series, all: &[T]) -> T {
    all[series.pick(all.len())]
}

/// Few different identifiers, so that all rules are met often.
fn any_uuid(series: &mut Series) -> u64 {
    let uuid = any_of(
        series,
        &[
            0,
            4,
            0xa0,
            0xb0,
            0xa0 + NEW_BITMAP_OFFSET,
            0xb0 + NEW_BITMAP_OFFSET,
        ],
    );
    uuid | series.pick(2) as u64
}

fn any_uuids(series: &mut Series) -> Uuids {
    Uuids::from_array([(); 4].map(|()| any_uuid(series)))
}

fn any_role(series: &mut Series) -> Role {
    if series.coin() {
        Role::Primary
    } else {
        Role::Secondary
    }
}

fn any_meeting(series: &mut Series) -> Meeting {
    let [own_uuids, peer_uuids] = [any_uuids(series), any_uuids(series)];
    let [own_bits, peer_bits] = [series.pick(3) as u64, series.pick(3) as u64];
    let [own_crashed, peer_crashed, own_discards, peer_discards] = [(); 4].map(|()| series.coin());
    let [own_role, peer_role] = [any_role(series), any_role(series)];
    Meeting {
        own: Side {
            uuids: own_uuids,
            bits_set: own_bits,
            crashed_primary: own_crashed,
            discard_my_data: own_discards,
            role: own_role,
        },
        peer: Side {
            uuids: peer_uuids,
            bits_set: peer_bits,
            crashed_primary: peer_crashed,
            discard_my_data: peer_discards,
            role: peer_role,
        },
        own_disk: any_of(series, DiskState::ALL),
        own_disk_negotiated: any_of(series, DiskState::ALL),
        peer_disk: any_of(series, DiskState::ALL),
        can_demote: series.coin(),
        context: CompareContext {
            agreed_protocol: any_of(series, &[90, 95, 101]),
            agreed_write_same: series.coin(),
            resolve_conflicts: series.coin(),
        },
        policies: Policies {
            after_split_brain_0: any_of(series, AfterSplitBrain0p::ALL),
            after_split_brain_1: any_of(series, AfterSplitBrain1p::ALL),
            after_split_brain_2: any_of(series, AfterSplitBrain2p::ALL),
            always: series.coin(),
            role_conflict: any_of(series, RoleConflict::ALL),
            dry_run: series.pick(8) == 0,
        },
    }
}

const fn number_of_helper(helper: Helper) -> u64 {
    match helper {
        Helper::InitialSplitBrain => 1,
        Helper::SplitBrain => 2,
        Helper::PrimaryLost => 3,
        Helper::PrimaryLostAfterSplitBrain => 4,
    }
}

/// The connection state that follows, by number, and whether everything is sent.
const fn number_of_outcome(outcome: Outcome) -> (u64, bool) {
    match outcome {
        Outcome::NoSync => (10, false),
        Outcome::BecomeSource { full } => (13, full),
        Outcome::BecomeTarget { full } => (14, full),
        Outcome::Disconnect(_) => (31, false),
    }
}

#[test]
fn every_meeting_ends_as_with_the_c_driver() {
    let (count, expected) = MEETINGS;
    let mut series = Series::new();
    let mut digest = Digest::new();
    let mut reached = HashSet::new();
    for _ in 0..count {
        let meeting = any_meeting(&mut series);
        let comparison = compare(&meeting.own, &meeting.peer, &meeting.context);
        reached.insert(comparison.rule);
        digest.add_signed(comparison.verdict.number());
        digest.add(u64::from(comparison.rule.number()));
        let [mut own, mut peer] = [meeting.own.uuids, meeting.peer.uuids];
        match comparison.correction {
            Some(Correction::Own(corrected)) => own = corrected,
            Some(Correction::Peer(corrected)) => peer = corrected,
            None => {}
        }
        own.to_array().into_iter().for_each(|uuid| digest.add(uuid));
        peer.to_array()
            .into_iter()
            .for_each(|uuid| digest.add(uuid));

        let handshake = handshake(&meeting);
        assert_eq!(handshake.comparison, comparison);
        handshake
            .steps
            .helpers()
            .for_each(|helper| digest.add(number_of_helper(helper)));
        let (connection, full) = number_of_outcome(handshake.outcome);
        digest.add(connection);
        digest.add(u64::from(full));
        let role = if handshake.demote {
            Role::Secondary
        } else {
            meeting.own.role
        };
        digest.add(u64::from(role.number()));
    }
    assert_eq!(digest.value(), expected, "{:#x}", digest.value());
    assert_eq!(reached.len(), Rule::ALL.len(), "every rule is reached");
}

#[test]
fn identifiers_move_as_with_the_c_driver() {
    let (count, expected) = CHANGES;
    let mut series = Series::new();
    let mut digest = Digest::new();
    let mut own = any_uuids(&mut series);
    for _ in 0..count {
        let operation = series.pick(5);
        let uuid = any_uuid(&mut series);
        let primary = any_role(&mut series) == Role::Primary;
        match operation {
            0 => {
                own.new_current(uuid, primary);
            }
            1 => {
                own.set_bitmap(uuid);
            }
            2 => own.rotate_bitmap(uuid),
            3 => own.set_current(uuid, primary),
            _ => own.finish_resync_as_target(&any_uuids(&mut series), primary),
        }
        own.to_array().into_iter().for_each(|uuid| digest.add(uuid));
    }
    assert_eq!(digest.value(), expected, "{:#x}", digest.value());
}
