// SPDX-License-Identifier: GPL-2.0-only

//! Completes a wished state with what follows from it: without a connection nothing is known of the peer, a disk that
//! went ends the resync, and so on.

use super::{ConnectionState, Context, DiskState, Fencing, OnNoData, Role, State};
use ConnectionState as C;
use DiskState as D;

/// What an administrator should know of what followed from a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Warning {
    /// A disk went while a verify ran.
    AbortedOnlineVerify,
    /// A disk went while a resync ran or was about to.
    AbortedResync,
    /// The disk goes, because the peer that could have told what it is worth went first.
    ConnectionLostNegotiating,
    /// The disk is called better than was asked for.
    ImplicitlyUpgradedDisk,
    /// The peer's disk is called better than was asked for.
    ImplicitlyUpgradedPeerDisk,
}

impl Warning {
    /// The line for the log.
    pub const fn text(self) -> &'static str {
        match self {
            Self::AbortedOnlineVerify => "Online-verify aborted.",
            Self::AbortedResync => "Resync aborted.",
            Self::ConnectionLostNegotiating => "Connection lost while negotiating, no data!",
            Self::ImplicitlyUpgradedDisk => "Implicitly upgraded disk",
            Self::ImplicitlyUpgradedPeerDisk => "Implicitly upgraded pdsk",
        }
    }
}

/// A wished state with what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sanitized {
    /// The state that would be entered.
    pub state: State,
    /// The last thing worth a warning; the log has a line for one.
    pub warning: Option<Warning>,
}

/// Completes `wanted`, a wished change away from `old`, with all that follows from it.
pub fn sanitize(old: &State, wanted: State, context: &Context) -> Sanitized {
    let context = context.in_force(old);
    let mut result = Sanitized {
        state: wanted,
        warning: None,
    };
    forget_absent_peer(&mut result.state);
    forget_dependency_when_unconfigured(&mut result.state);
    end_activity_without_disks(&mut result);
    settle_negotiation_without_peer(&mut result, old, &context);
    trust_disks_when_connected(&mut result.state, old, &context);
    keep_disks_in_range(&mut result);
    suspend_where_asked_for(&mut result.state, old, &context);
    pause_or_continue_resync(&mut result.state);
    result
}

/// Without a connection nothing is known of the peer but what its disk cannot be.
fn forget_absent_peer(state: &mut State) {
    if state.connection < C::Connected {
        state.peer_paused = false;
        state.peer = Role::Unknown;
        if !(D::Inconsistent..=D::Unknown).contains(&state.peer_disk) {
            state.peer_disk = D::Unknown;
        }
    }
}

fn forget_dependency_when_unconfigured(state: &mut State) {
    if state.is_unconfigured() {
        state.after_dependency_paused = false;
    }
}

/// Resync and verify need both disks.
fn end_activity_without_disks(result: &mut Sanitized) {
    let state = &mut result.state;
    if state.connection > C::Connected && (state.disk <= D::Failed || state.peer_disk <= D::Failed)
    {
        result.warning = Some(if state.connection.is_verify() {
            Warning::AbortedOnlineVerify
        } else {
            Warning::AbortedResync
        });
        state.connection = C::Connected;
    }
}

/// A disk that waits for word from the peer, and the peer is gone: the metadata has to do, or the disk goes.
fn settle_negotiation_without_peer(result: &mut Sanitized, old: &State, context: &Context) {
    let state = &mut result.state;
    if state.connection < C::Connected && state.disk == D::Negotiating && old.disk >= D::Negotiating
    {
        match context.negotiating_fallback {
            Some(disks) => {
                state.disk = disks.own;
                state.peer_disk = disks.peer;
            }
            None => {
                result.warning = Some(Warning::ConnectionLostNegotiating);
                state.disk = D::Diskless;
                state.peer_disk = D::Unknown;
            }
        }
    }
}

/// Consistent and Outdated are questions about the absent peer: once it is there, the handshake has answered them.
fn trust_disks_when_connected(state: &mut State, old: &State, context: &Context) {
    if !(C::Connected..C::Ahead).contains(&state.connection) {
        return;
    }
    let keeps_own =
        state.stays_outdated(context) && matches!(old.disk, D::Outdated | D::Negotiating);
    // What a Primary uses is good: it has made sure.
    let keeps_peers = context.keeps_outdated
        && state.peer_disk == D::Outdated
        && state.disk < D::Negotiating
        && state.role == Role::Secondary;
    if matches!(state.disk, D::Consistent | D::Outdated) && !keeps_own {
        state.disk = D::UpToDate;
    }
    if matches!(state.peer_disk, D::Consistent | D::Outdated) && !keeps_peers {
        state.peer_disk = D::UpToDate;
    }
}

/// What a connection state says of both disks: lowest and highest, own then peer.
pub const fn disk_ranges(connection: ConnectionState) -> [(DiskState, DiskState); 2] {
    match connection {
        C::StandAlone
        | C::Disconnecting
        | C::Unconnected
        | C::Timeout
        | C::BrokenPipe
        | C::NetworkFailure
        | C::ProtocolError
        | C::TearDown
        | C::WFConnection
        | C::WFReportParams => [(D::Diskless, D::UpToDate), (D::Inconsistent, D::Unknown)],
        C::Connected => [(D::Diskless, D::UpToDate), (D::Diskless, D::UpToDate)],
        C::StartingSyncT | C::WFBitMapT | C::WFSyncUUID | C::PausedSyncT | C::Behind => {
            [(D::Inconsistent, D::Outdated), (D::UpToDate, D::UpToDate)]
        }
        C::SyncTarget => [
            (D::Inconsistent, D::Inconsistent),
            (D::UpToDate, D::UpToDate),
        ],
        // The peer of a source can be no better than Consistent: Outdated would say more, but only the peer itself
        // can know that.
        C::StartingSyncS | C::WFBitMapS | C::PausedSyncS | C::Ahead => {
            [(D::UpToDate, D::UpToDate), (D::Inconsistent, D::Consistent)]
        }
        C::SyncSource => [
            (D::UpToDate, D::UpToDate),
            (D::Inconsistent, D::Inconsistent),
        ],
        C::VerifyS | C::VerifyT => [(D::UpToDate, D::UpToDate), (D::UpToDate, D::UpToDate)],
    }
}

fn keep_disks_in_range(result: &mut Sanitized) {
    let [own, peer] = disk_ranges(result.state.connection);
    if raise_or_lower(&mut result.state.disk, own) {
        result.warning = Some(Warning::ImplicitlyUpgradedDisk);
    }
    if raise_or_lower(&mut result.state.peer_disk, peer) {
        result.warning = Some(Warning::ImplicitlyUpgradedPeerDisk);
    }
}

/// Moves `disk` into the range; says whether it had to be raised.
fn raise_or_lower(disk: &mut DiskState, (lowest, highest): (DiskState, DiskState)) -> bool {
    let raised = *disk < lowest;
    *disk = (*disk).min(highest).max(lowest);
    raised
}

fn suspend_where_asked_for(state: &mut State, old: &State, context: &Context) {
    if context.fencing == Fencing::ResourceAndStonith
        && state.is_primary_with_unfenced_peer()
        && !old.is_primary_with_unfenced_peer()
    {
        state.suspended_fencing = true;
    }
    if context.on_no_data == OnNoData::SuspendIo
        && state.is_primary_without_data()
        && !old.is_primary_without_data()
    {
        state.suspended_no_data = true;
    }
}

fn pause_or_continue_resync(state: &mut State) {
    state.connection = match (state.connection, state.is_resync_paused()) {
        (C::SyncSource, true) => C::PausedSyncS,
        (C::SyncTarget, true) => C::PausedSyncT,
        (C::PausedSyncS, false) => C::SyncSource,
        (C::PausedSyncT, false) => C::SyncTarget,
        (unchanged, _) => unchanged,
    };
}
