// SPDX-License-Identifier: GPL-2.0-only

//! Holds this module against the rules of the C driver: a long fixed series of random states, changes and contexts was
//! put to the C functions (`sanitize_state`, `is_valid_transition`, `is_valid_state`, `is_valid_soft_transition`,
//! `cl_wide_st_chg` of Linux 7.3), and a digest was taken of every answer. The same series must give the same digest
//! here.

use super::*;
use crate::state::test_series::{Digest, Series};

/// The number of decisions in the series, and the digest of what the C functions answered.
const SERIES: (usize, u64) = (200_000, 0xaac1_67d5_9d99_ec09);

fn any_of<T: Copy>(series: &mut Series, all: &[T]) -> T {
    all[series.pick(all.len())]
}

fn any_state(series: &mut Series) -> State {
    State {
        role: any_of(series, Role::ALL),
        peer: any_of(series, Role::ALL),
        connection: any_of(series, ConnectionState::ALL),
        disk: any_of(series, DiskState::ALL),
        peer_disk: any_of(series, DiskState::ALL),
        suspended: series.coin(),
        suspended_no_data: series.coin(),
        suspended_fencing: series.coin(),
        after_dependency_paused: series.coin(),
        peer_paused: series.coin(),
        user_paused: series.coin(),
    }
}

/// About a third of all fields.
fn some_of(series: &mut Series, state: State) -> Change {
    let mut third = || series.pick(3) == 0;
    Change {
        role: third().then_some(state.role),
        peer: third().then_some(state.peer),
        connection: third().then_some(state.connection),
        disk: third().then_some(state.disk),
        peer_disk: third().then_some(state.peer_disk),
        suspended: third().then_some(state.suspended),
        suspended_no_data: third().then_some(state.suspended_no_data),
        suspended_fencing: third().then_some(state.suspended_fencing),
        after_dependency_paused: third().then_some(state.after_dependency_paused),
        peer_paused: third().then_some(state.peer_paused),
        user_paused: third().then_some(state.user_paused),
    }
}

fn any_context(series: &mut Series) -> Context {
    Context {
        fencing: any_of(series, Fencing::ALL),
        on_no_data: any_of(series, OnNoData::ALL),
        network_configured: series.coin(),
        two_primaries: series.coin(),
        verify_algorithm: series.coin(),
        agreed_protocol: if series.coin() { 101 } else { 87 },
        any_peer_primary: series.coin(),
        open: series.coin(),
        state_sent: series.pick(4) == 0,
        keeps_outdated: false,
        negotiating_fallback: {
            let known = series.coin();
            let own = any_of(series, DiskState::ALL);
            let peer = any_of(series, DiskState::ALL);
            known.then_some(Disks { own, peer })
        },
    }
}

fn number_of(warning: Option<Warning>) -> u64 {
    match warning {
        None => 0,
        Some(Warning::AbortedOnlineVerify) => 1,
        Some(Warning::AbortedResync) => 2,
        Some(Warning::ConnectionLostNegotiating) => 3,
        Some(Warning::ImplicitlyUpgradedDisk) => 4,
        Some(Warning::ImplicitlyUpgradedPeerDisk) => 5,
    }
}

#[test]
fn every_answer_is_that_of_the_c_driver() {
    let (count, expected) = SERIES;
    let mut series = Series::new();
    let mut digest = Digest::new();
    for _ in 0..count {
        let context = any_context(&mut series);
        let mut old = any_state(&mut series);
        if !series.coin() {
            old = sanitize(&old, old, &context).state;
        }
        let target = any_state(&mut series);
        let change = some_of(&mut series, target);
        let completed = sanitize(&old, change.apply_to(old), &context);
        digest.add(u64::from(completed.state.to_wire()));
        digest.add(number_of(completed.warning));
        for hard in [false, true] {
            let code = match decide(old, change, hard, &context) {
                Ok(decision) => {
                    assert_eq!(decision.new, completed.state);
                    StateCode::Success
                }
                Err(code) => code,
            };
            digest.add_signed(i64::from(code.number()));
        }
        digest.add(u64::from(needs_cluster_wide(&old, &completed.state)));
    }
    assert_eq!(digest.value(), expected, "{:#x}", digest.value());
}
