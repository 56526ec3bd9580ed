// SPDX-License-Identifier: GPL-2.0-only

//! Which states are valid, and which steps from one to another.
//!
//! Each check is a table: what is wrong, and the code for it. The order counts, the first hit is the answer.

use super::{ConnectionState, Context, DiskState, Fencing, Role, State, StateCode};
use ConnectionState as C;
use DiskState as D;
use StateCode as Code;

/// What is wrong, and the code for it.
type Rule = (bool, StateCode);

fn first_hit(rules: &[Rule]) -> Result<(), StateCode> {
    match rules.iter().find(|(hit, _)| *hit) {
        Some((_, code)) => Err(*code),
        None => Ok(()),
    }
}

/// Whether `state` is one to be in.
///
/// `context` is the one in force ([`Context::in_force`]).
///
/// # Errors
///
/// The first rule that the state breaks.
pub fn is_valid_state(state: &State, context: &Context) -> Result<(), StateCode> {
    let State {
        connection,
        disk,
        peer_disk,
        ..
    } = *state;
    let primary = state.role == Role::Primary;
    let connected = connection >= C::Connected;
    let replicating = connection > C::Connected;
    let one_primary_only = context.network_configured && !context.two_primaries;
    let source_or_connected = matches!(
        connection,
        C::Connected | C::WFBitMapS | C::SyncSource | C::PausedSyncS
    );
    let starting_sync = matches!(connection, C::StartingSyncS | C::StartingSyncT);

    first_hit(&[
        (
            one_primary_only && primary && state.peer == Role::Primary,
            Code::TwoPrimaries,
        ),
        (
            one_primary_only && primary && context.any_peer_primary,
            Code::OtherVolumePeerPrimary,
        ),
        (
            state.role == Role::Secondary && context.open,
            Code::DeviceInUse,
        ),
        (
            primary && !connected && disk < D::UpToDate,
            Code::NoUpToDateDisk,
        ),
        (
            context.fencing >= Fencing::ResourceOnly
                && primary
                && !connected
                && peer_disk >= D::Unknown,
            Code::PrimaryNoPeer,
        ),
        (
            primary && disk <= D::Inconsistent && peer_disk <= D::Inconsistent,
            Code::NoUpToDateDisk,
        ),
        (replicating && disk < D::Inconsistent, Code::NoLocalDisk),
        (
            replicating && peer_disk < D::Inconsistent,
            Code::NoRemoteDisk,
        ),
        (
            replicating && disk < D::UpToDate && peer_disk < D::UpToDate,
            Code::NoUpToDateDisk,
        ),
        (
            source_or_connected && disk == D::Outdated && !state.stays_outdated(context),
            Code::ConnectedOutdates,
        ),
        (
            connection.is_verify() && context.network_configured && !context.verify_algorithm,
            Code::NoVerifyAlgorithm,
        ),
        (
            connection.is_verify() && context.agreed_protocol < 88,
            Code::NotSupported,
        ),
        (state.is_primary_without_data(), Code::NoUpToDateDisk),
        (
            starting_sync && peer_disk == D::Unknown,
            Code::NeedConnection,
        ),
        (
            connected && peer_disk == D::Unknown,
            Code::ConnectedOutdates,
        ),
    ])
}

/// Whether the connection can go from `old` to `new` at all. No change is no error.
///
/// # Errors
///
/// Why not.
pub fn is_valid_connection_transition(
    old: ConnectionState,
    new: ConnectionState,
) -> Result<(), StateCode> {
    if old == new {
        return Ok(());
    }
    first_hit(&[
        (
            old == C::StandAlone && new == C::Disconnecting,
            Code::AlreadyStandAlone,
        ),
        (
            old == C::StandAlone && new != C::Unconnected,
            Code::NeedConnection,
        ),
        // The way to Connected leads through the handshake.
        (
            old < C::WFReportParams && new >= C::Connected,
            Code::NeedConnection,
        ),
        (
            old.is_loss() && new != C::Unconnected && new != C::Disconnecting,
            Code::InTransientState,
        ),
        (
            old == C::Disconnecting && new != C::StandAlone,
            Code::InTransientState,
        ),
    ])
}

/// Whether the step from `old` to `new` can happen at all, be it wished for or a fact.
///
/// # Errors
///
/// Why not.
pub fn is_valid_transition(old: &State, new: &State) -> Result<(), StateCode> {
    // What was detached already cannot fail.
    if new.disk == D::Failed && old.disk == D::Diskless {
        return Err(Code::IsDiskless);
    }
    is_valid_connection_transition(old.connection, new.connection)
}

/// Whether the step from `old` to `new` may be wished for.
///
/// # Errors
///
/// Why not. [`StateCode::InTransientState`] means: wait for the next state change, and try again.
pub fn is_valid_soft_transition(
    old: &State,
    new: &State,
    context: &Context,
) -> Result<(), StateCode> {
    let (before, after) = (old.connection, new.connection);
    let to_starting_sync = matches!(after, C::StartingSyncS | C::StartingSyncT);
    let to_sync = matches!(after, C::SyncSource | C::SyncTarget);
    let to_disconnecting = after == C::Disconnecting;
    let handshake_goes_on = (after == C::WFReportParams && before == C::WFConnection)
        || (after >= C::Connected && before == C::WFReportParams);
    let becomes_primary = old.role != Role::Primary && new.role == Role::Primary;
    let peer_becomes_primary = old.peer == Role::Secondary && new.peer == Role::Primary;
    // A peer that was forced to be Primary is about to make us target of a resync.
    let resync_is_coming = new.peer_disk == D::UpToDate
        && new.disk != D::UpToDate
        && new.disk != D::Diskless
        && (after <= C::WFSyncUUID || after != before);

    first_hit(&[
        (
            to_disconnecting
                && new.peer_disk == D::Outdated
                && before < C::Connected
                && old.peer_disk > D::Outdated,
            Code::OutdateWithoutConnection,
        ),
        (to_sync && before < C::WFReportParams, Code::NeedConnection),
        (
            to_starting_sync && before < C::Connected,
            Code::NeedConnection,
        ),
        (
            after.is_verify() && after != before && before > C::Connected,
            Code::ResyncRunning,
        ),
        (
            after.is_verify() && before < C::Connected,
            Code::NeedConnection,
        ),
        (
            peer_becomes_primary && after == C::Connected && new.stays_outdated(context),
            Code::NoUpToDateDisk,
        ),
        (becomes_primary && resync_is_coming, Code::InTransientState),
        (
            context.state_sent && !handshake_goes_on,
            Code::InTransientState,
        ),
        (
            to_disconnecting && before == C::Unconnected,
            Code::InTransientState,
        ),
        (
            new.disk == D::Outdated && old.disk < D::Outdated && old.disk != D::Attaching,
            Code::LowerThanOutdated,
        ),
        (
            after == C::WFConnection && before < C::Unconnected,
            Code::NoNetConfig,
        ),
        (
            new.disk > D::Attaching && old.disk == D::Diskless,
            Code::IsDiskless,
        ),
        (
            to_disconnecting && before == C::StandAlone,
            Code::AlreadyStandAlone,
        ),
        (
            to_starting_sync && before > C::Connected,
            Code::ResyncRunning,
        ),
    ])
}
