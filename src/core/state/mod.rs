// SPDX-License-Identifier: GPL-2.0-only

//! The state of a volume: role, connection, disks; and which change of it is allowed.
//!
//! A change takes the same way always, as in 8.4: the wish is completed with what follows from it ([`sanitize`]), is
//! held against what can happen at all, and, unless it is a fact that nobody can refuse (a *hard* change: a link or a
//! disk broke), against what is valid and what an administrator may ask for ([`validity`]). [`change::decide`] is that
//! way. Nothing here acts: the caller carries out what the step from the old to the new state means.
//!
//! Mirrors `include/uapi/linux/drbd.h` (`enum drbd_role`, `drbd_conns`, `drbd_disk_state`, `union drbd_state`).

#[cfg(test)]
mod against_c;
mod numbered;
#[cfg(test)]
pub(crate) mod test_series;

pub mod change;
pub mod code;
pub mod context;
pub mod log;
pub mod metadata_flags;
pub mod sanitize;
pub mod validity;
pub mod volumes;
pub mod wire_form;

pub use change::{decide, needs_cluster_wide, Change, Decision};
pub use code::StateCode;
pub use context::{Context, Disks, Fencing, OnNoData};
pub(crate) use numbered::numbered;
pub use sanitize::{sanitize, Sanitized, Warning};
pub use wire_form::WireStateError;

use core::cmp::Ordering;

/// A number that stands for no value of the enumeration it was read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownNumber(pub u8);

numbered! {
    /// What a node may do with the volume (`enum drbd_role`).
    ///
    /// The order is by strength, Unknown < Secondary < Primary, and so is not the order of the numbers.
    pub enum Role {
        /// The role of a peer that is not connected. Never the role of this node.
        Unknown = 0 "Unknown",
        /// Applications may use the volume.
        Primary = 1 "Primary",
        /// The volume only follows the peer.
        Secondary = 2 "Secondary",
    }
}

impl Role {
    const fn strength(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Secondary => 1,
            Self::Primary => 2,
        }
    }
}

impl Ord for Role {
    fn cmp(&self, other: &Self) -> Ordering {
        self.strength().cmp(&other.strength())
    }
}

impl PartialOrd for Role {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

numbered! {
    /// Where the connection to the peer stands, and what replication does over it (`enum drbd_conns`).
    ///
    /// The order has meaning: below [`WFReportParams`](Self::WFReportParams) there is no socket, from
    /// [`Connected`](Self::Connected) on the two nodes have introduced each other.
    #[derive(PartialOrd, Ord)]
    pub enum ConnectionState {
        /// No network configuration is in use; only an administrator ends this.
        StandAlone = 0 "StandAlone",
        /// On the way to StandAlone.
        Disconnecting = 1 "Disconnecting",
        /// About to try to connect.
        Unconnected = 2 "Unconnected",
        /// Lost: the peer did not answer in time.
        Timeout = 3 "Timeout",
        /// Lost: the socket was closed.
        BrokenPipe = 4 "BrokenPipe",
        /// Lost: the network failed, or the peer did not answer a ping.
        NetworkFailure = 5 "NetworkFailure",
        /// Lost: the peer spoke what we do not understand.
        ProtocolError = 6 "ProtocolError",
        /// Lost: the peer closes the connection on purpose.
        TearDown = 7 "TearDown",
        /// Waits for the peer to come within reach.
        WFConnection = 8 "WFConnection",
        /// Has a socket, waits for the first words of the peer.
        WFReportParams = 9 "WFReportParams",
        /// Both nodes know each other; writes are mirrored.
        Connected = 10 "Connected",
        /// A full resync as source starts, asked for by an administrator.
        StartingSyncS = 11 "StartingSyncS",
        /// A full resync as target starts, asked for by an administrator.
        StartingSyncT = 12 "StartingSyncT",
        /// Will be source of a resync; the bitmaps are exchanged.
        WFBitMapS = 13 "WFBitMapS",
        /// Will be target of a resync; the bitmaps are exchanged.
        WFBitMapT = 14 "WFBitMapT",
        /// Target of a resync that waits for the generation identifier of the source.
        WFSyncUUID = 15 "WFSyncUUID",
        /// Sends the peer what it lacks.
        SyncSource = 16 "SyncSource",
        /// Fetches from the peer what it lacks.
        SyncTarget = 17 "SyncTarget",
        /// Compares its data with the peer's, having started the comparison.
        VerifyS = 18 "VerifyS",
        /// Has its data compared with the peer's, which started the comparison.
        VerifyT = 19 "VerifyT",
        /// Source of a resync that is paused.
        PausedSyncS = 20 "PausedSyncS",
        /// Target of a resync that is paused.
        PausedSyncT = 21 "PausedSyncT",
        /// Does not mirror for now, because the link is congested; marks instead.
        Ahead = 22 "Ahead",
        /// The peer is Ahead.
        Behind = 23 "Behind",
    }
}

impl ConnectionState {
    /// Whether a resync runs or is paused, from the moment that it has a source and a target.
    pub const fn is_resync(self) -> bool {
        self.is_sync_source() || self.is_sync_target()
    }

    /// Whether this node is the source of a resync that runs or is paused.
    pub const fn is_sync_source(self) -> bool {
        matches!(self, Self::SyncSource | Self::PausedSyncS)
    }

    /// Whether this node is the target of a resync that runs or is paused.
    pub const fn is_sync_target(self) -> bool {
        matches!(self, Self::SyncTarget | Self::PausedSyncT)
    }

    /// Whether an online verify runs.
    pub const fn is_verify(self) -> bool {
        matches!(self, Self::VerifyS | Self::VerifyT)
    }

    /// Whether the connection was just lost, and why is the name of the state. Such a state is left for
    /// Unconnected or Disconnecting only.
    pub const fn is_loss(self) -> bool {
        matches!(
            self,
            Self::Timeout
                | Self::BrokenPipe
                | Self::NetworkFailure
                | Self::ProtocolError
                | Self::TearDown
        )
    }
}

numbered! {
    /// What is known of the data on a disk (`enum drbd_disk_state`). The order has meaning: the higher, the better.
    #[derive(PartialOrd, Ord)]
    pub enum DiskState {
        /// No disk.
        Diskless = 0 "Diskless",
        /// The metadata is being read.
        Attaching = 1 "Attaching",
        /// The disk failed or is being detached; it becomes Diskless once the peer knows.
        Failed = 2 "Failed",
        /// Attached while connected: what the data is worth is settled with the peer.
        Negotiating = 3 "Negotiating",
        /// Parts of the data are older than others: of no use before a resync.
        Inconsistent = 4 "Inconsistent",
        /// Consistent in itself, and known to be older than the peer's.
        Outdated = 5 "Outdated",
        /// The state of a peer's disk that we cannot see. Never the state of our own disk.
        Unknown = 6 "DUnknown",
        /// Consistent in itself; whether it is current will be known once the peer is there.
        Consistent = 7 "Consistent",
        /// Current: the only state that serves applications.
        UpToDate = 8 "UpToDate",
    }
}

/// The state of one volume and of its connection, as this node sees it (`union drbd_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The role of this node.
    pub role: Role,
    /// The role of the peer.
    pub peer: Role,
    /// The connection, and the replication over it.
    pub connection: ConnectionState,
    /// The disk of this node.
    pub disk: DiskState,
    /// The disk of the peer.
    pub peer_disk: DiskState,
    /// Application I/O is suspended by an administrator (`susp`). Common to all volumes of a resource.
    pub suspended: bool,
    /// Application I/O is suspended because no UpToDate data is in reach (`susp_nod`). Common to all volumes.
    pub suspended_no_data: bool,
    /// Application I/O is suspended while the peer is being fenced (`susp_fen`). Common to all volumes.
    pub suspended_fencing: bool,
    /// The resync pauses until the one of another volume is done (`aftr_isp`).
    pub after_dependency_paused: bool,
    /// The peer has paused the resync (`peer_isp`).
    pub peer_paused: bool,
    /// An administrator of this node has paused the resync (`user_isp`).
    pub user_paused: bool,
}

impl Default for State {
    /// A volume that was just made: StandAlone, Secondary, without a disk.
    fn default() -> Self {
        Self {
            role: Role::Secondary,
            peer: Role::Unknown,
            connection: ConnectionState::StandAlone,
            disk: DiskState::Diskless,
            peer_disk: DiskState::Unknown,
            suspended: false,
            suspended_no_data: false,
            suspended_fencing: false,
            after_dependency_paused: false,
            peer_paused: false,
            user_paused: false,
        }
    }
}

impl State {
    /// Whether application I/O is suspended, for whatever reason.
    pub const fn is_suspended(&self) -> bool {
        self.suspended || self.suspended_no_data || self.suspended_fencing
    }

    /// Whether anything pauses the resync.
    pub const fn is_resync_paused(&self) -> bool {
        self.after_dependency_paused || self.peer_paused || self.user_paused
    }

    /// Whether nothing of the volume is configured: it may be deleted.
    pub fn is_unconfigured(&self) -> bool {
        self.disk == DiskState::Diskless
            && self.connection == ConnectionState::StandAlone
            && self.role == Role::Secondary
    }

    /// Whether a Primary has UpToDate data neither here nor at the peer.
    pub fn is_primary_without_data(&self) -> bool {
        self.role == Role::Primary
            && self.disk < DiskState::UpToDate
            && self.peer_disk < DiskState::UpToDate
    }

    /// Whether the disk is Outdated, and no disk of the peer says how much.
    pub(crate) fn stays_outdated(&self, context: &Context) -> bool {
        context.keeps_outdated
            && self.disk == DiskState::Outdated
            && self.peer_disk < DiskState::Negotiating
    }

    /// Whether a Primary has lost its peer without knowing that the peer's data can no longer be used.
    pub fn is_primary_with_unfenced_peer(&self) -> bool {
        self.role == Role::Primary
            && self.connection < ConnectionState::Connected
            && self.peer_disk > DiskState::Outdated
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::vec::Vec;

    /// Every state of the five enumerations, without suspension and pause.
    pub(crate) fn every_state() -> Vec<State> {
        let mut states = Vec::new();
        for &role in Role::ALL {
            for &peer in Role::ALL {
                for &connection in ConnectionState::ALL {
                    for &disk in DiskState::ALL {
                        for &peer_disk in DiskState::ALL {
                            states.push(State {
                                role,
                                peer,
                                connection,
                                disk,
                                peer_disk,
                                ..State::default()
                            });
                        }
                    }
                }
            }
        }
        states
    }

    #[test]
    fn numbers_and_values_are_one_to_one() {
        for number in 0..=u8::MAX {
            assert_eq!(
                Role::try_from(number).map(Role::number).ok(),
                (number < 3).then_some(number)
            );
            assert_eq!(
                ConnectionState::try_from(number)
                    .map(ConnectionState::number)
                    .ok(),
                (number < 24).then_some(number)
            );
            assert_eq!(
                DiskState::try_from(number).map(DiskState::number).ok(),
                (number < 9).then_some(number)
            );
        }
    }

    #[test]
    fn order_is_by_number_but_for_roles() {
        assert!(ConnectionState::ALL
            .windows(2)
            .all(|pair| pair[0] < pair[1]));
        assert!(DiskState::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(Role::Unknown < Role::Secondary && Role::Secondary < Role::Primary);
    }

    #[test]
    fn names_are_those_of_the_tools() {
        assert_eq!(ConnectionState::WFSyncUUID.name(), "WFSyncUUID");
        assert_eq!(DiskState::Unknown.name(), "DUnknown");
        assert_eq!(std::format!("{}", Role::Primary), "Primary");
    }

    #[test]
    fn default_is_unconfigured() {
        assert!(State::default().is_unconfigured());
        assert!(!State::default().is_suspended());
    }
}
