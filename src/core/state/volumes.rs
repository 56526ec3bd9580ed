// SPDX-License-Identifier: GPL-2.0-only

//! What the states of all volumes of a connection are together.

use super::{ConnectionState, DiskState, Role, State};

/// The role of the resource: the strongest of its volumes; Secondary without any.
pub fn highest_role(volumes: impl IntoIterator<Item = State>) -> Role {
    volumes
        .into_iter()
        .map(|state| state.role)
        .fold(Role::Secondary, Role::max)
}

/// The role of the peer: the strongest of its volumes; Unknown without any.
pub fn highest_peer_role(volumes: impl IntoIterator<Item = State>) -> Role {
    volumes
        .into_iter()
        .map(|state| state.peer)
        .fold(Role::Unknown, Role::max)
}

/// The best own disk; Diskless without volumes.
pub fn highest_disk(volumes: impl IntoIterator<Item = State>) -> DiskState {
    volumes
        .into_iter()
        .map(|state| state.disk)
        .fold(DiskState::Diskless, DiskState::max)
}

/// The worst own disk; `None` without volumes.
pub fn lowest_disk(volumes: impl IntoIterator<Item = State>) -> Option<DiskState> {
    volumes.into_iter().map(|state| state.disk).min()
}

/// The best disk of the peer; Diskless without volumes.
pub fn highest_peer_disk(volumes: impl IntoIterator<Item = State>) -> DiskState {
    volumes
        .into_iter()
        .map(|state| state.peer_disk)
        .fold(DiskState::Diskless, DiskState::max)
}

/// The worst disk of the peer; `None` without volumes.
pub fn lowest_peer_disk(volumes: impl IntoIterator<Item = State>) -> Option<DiskState> {
    volumes.into_iter().map(|state| state.peer_disk).min()
}

/// The connection state that all volumes have reached; `None` without volumes.
pub fn lowest_connection(volumes: impl IntoIterator<Item = State>) -> Option<ConnectionState> {
    volumes.into_iter().map(|state| state.connection).min()
}

/// Whether no volume awaits the first words of the peer any more: then role and disk changes, held back while
/// the connection was established, may go on (`STATE_SENT` ends).
pub fn handshake_is_over(volumes: impl IntoIterator<Item = State>) -> bool {
    volumes
        .into_iter()
        .all(|state| state.connection != ConnectionState::WFReportParams)
}

/// Whether nothing of any volume is configured: the connection may be deleted.
pub fn all_unconfigured(volumes: impl IntoIterator<Item = State>) -> bool {
    volumes.into_iter().all(|state| state.is_unconfigured())
}

/// The lowest and the highest value of each field over all volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The lowest of each.
    pub lowest: State,
    /// The highest of each.
    pub highest: State,
}

impl Span {
    /// The span of the new states of all volumes, after the connection went to `connection`. Suspension is common to
    /// all volumes, and taken from any; pauses are not looked at and are false.
    pub fn of(volumes: impl IntoIterator<Item = State>, connection: ConnectionState) -> Self {
        let mut span: Option<Self> = None;
        for state in volumes {
            let state = State {
                after_dependency_paused: false,
                peer_paused: false,
                user_paused: false,
                ..state
            };
            span = Some(match span {
                None => Self {
                    lowest: state,
                    highest: state,
                },
                Some(Self { lowest, highest }) => Self {
                    lowest: combine(
                        lowest,
                        state,
                        Role::min,
                        ConnectionState::min,
                        DiskState::min,
                    ),
                    highest: combine(
                        highest,
                        state,
                        Role::max,
                        ConnectionState::max,
                        DiskState::max,
                    ),
                },
            });
        }
        let empty = State {
            connection,
            ..State::default()
        };
        span.unwrap_or(Self {
            lowest: empty,
            highest: empty,
        })
    }
}

fn combine(
    one: State,
    other: State,
    role: fn(Role, Role) -> Role,
    connection: fn(ConnectionState, ConnectionState) -> ConnectionState,
    disk: fn(DiskState, DiskState) -> DiskState,
) -> State {
    State {
        role: role(one.role, other.role),
        peer: role(one.peer, other.peer),
        connection: connection(one.connection, other.connection),
        disk: disk(one.disk, other.disk),
        peer_disk: disk(one.peer_disk, other.peer_disk),
        ..other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(role: Role, connection: ConnectionState, disk: DiskState) -> State {
        State {
            role,
            connection,
            disk,
            ..State::default()
        }
    }

    #[test]
    fn of_no_volume() {
        assert_eq!(highest_role([]), Role::Secondary);
        assert_eq!(highest_peer_role([]), Role::Unknown);
        assert_eq!(highest_disk([]), DiskState::Diskless);
        assert_eq!(
            (lowest_disk([]), lowest_peer_disk([]), lowest_connection([])),
            (None, None, None)
        );
        assert!(all_unconfigured([]) && handshake_is_over([]));
        let span = Span::of([], ConnectionState::Unconnected);
        assert_eq!(span.lowest, span.highest);
        assert_eq!(span.lowest.connection, ConnectionState::Unconnected);
    }

    #[test]
    fn of_two_volumes() {
        let volumes = [
            volume(
                Role::Primary,
                ConnectionState::Connected,
                DiskState::Diskless,
            ),
            volume(
                Role::Secondary,
                ConnectionState::WFReportParams,
                DiskState::UpToDate,
            ),
        ];
        assert_eq!(highest_role(volumes), Role::Primary);
        assert_eq!(highest_disk(volumes), DiskState::UpToDate);
        assert_eq!(lowest_disk(volumes), Some(DiskState::Diskless));
        assert_eq!(
            lowest_connection(volumes),
            Some(ConnectionState::WFReportParams)
        );
        assert!(!handshake_is_over(volumes) && !all_unconfigured(volumes));
        let span = Span::of(volumes, ConnectionState::Connected);
        assert_eq!(
            span.lowest,
            volume(
                Role::Secondary,
                ConnectionState::WFReportParams,
                DiskState::Diskless
            )
        );
        assert_eq!(
            span.highest,
            volume(
                Role::Primary,
                ConnectionState::Connected,
                DiskState::UpToDate
            )
        );
    }
}
