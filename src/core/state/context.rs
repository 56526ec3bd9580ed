// SPDX-License-Identifier: GPL-2.0-only

//! What a decision about the state depends on besides the state: configuration, and facts about its surroundings.

use super::{numbered, DiskState, State};

numbered! {
    /// What a Primary does about a peer that it lost (`fencing`, `enum drbd_fencing_p`).
    #[derive(PartialOrd, Ord)]
    pub enum Fencing {
        /// Nothing.
        DontCare = 0 "dont-care",
        /// Calls the `fence-peer` handler, and goes on.
        ResourceOnly = 1 "resource-only",
        /// Calls the `fence-peer` handler, and suspends application I/O until it has succeeded.
        ResourceAndStonith = 2 "resource-and-stonith",
    }
}

numbered! {
    /// What a Primary does with application I/O when UpToDate data is nowhere in reach
    /// (`on-no-data-accessible`, `enum drbd_on_no_data`).
    pub enum OnNoData {
        /// Fails it.
        IoError = 0 "io-error",
        /// Holds it until data is back.
        SuspendIo = 1 "suspend-io",
    }
}

/// The states of both disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disks {
    /// The disk of this node.
    pub own: DiskState,
    /// The disk of the peer.
    pub peer: DiskState,
}

/// What a decision about the state of a volume depends on besides its state. Plain values: the caller collects them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The fencing policy of the disk configuration. Counts only while a disk is attached ([`Context::in_force`]).
    pub fencing: Fencing,
    /// What to do without data, of the resource options.
    pub on_no_data: OnNoData,
    /// Whether the connection has a network configuration. Without one, no rule of it is looked at.
    pub network_configured: bool,
    /// `allow-two-primaries`.
    pub two_primaries: bool,
    /// Whether `verify-alg` is set.
    pub verify_algorithm: bool,
    /// The protocol version that both nodes agreed on; 0 while they never have.
    pub agreed_protocol: u32,
    /// Whether the peer is, now, Primary on any volume of the connection, this one included.
    pub any_peer_primary: bool,
    /// Whether anyone has the device open.
    pub open: bool,
    /// Whether our state went to the peer while the connection is being established, and not all volumes have its
    /// answer: until then only the connection may change (`STATE_SENT`).
    pub state_sent: bool,
    /// Whether an Outdated disk stays Outdated beside a connected peer that has none, for nothing was compared. By the rules
    /// of 8.4, false, it is UpToDate, as all Outdated disks of connected nodes are.
    pub keeps_outdated: bool,
    /// The disk states to fall back to when the connection is lost while the disk is Negotiating: what the metadata
    /// says of the disk, where its current generation is the one that applications saw last. `None` where it is not:
    /// then the disk goes.
    pub negotiating_fallback: Option<Disks>,
}

impl Default for Context {
    /// No network configuration, nothing special.
    fn default() -> Self {
        Self {
            fencing: Fencing::DontCare,
            on_no_data: OnNoData::IoError,
            network_configured: false,
            two_primaries: false,
            verify_algorithm: false,
            agreed_protocol: 0,
            any_peer_primary: false,
            open: false,
            state_sent: false,
            keeps_outdated: false,
            negotiating_fallback: None,
        }
    }
}

impl Context {
    /// The context that counts for a change away from `old`: the fencing policy is one of the disk, so it counts
    /// only with a disk that can be used.
    pub fn in_force(self, old: &State) -> Self {
        if old.disk >= DiskState::Inconsistent {
            self
        } else {
            Self {
                fencing: Fencing::DontCare,
                ..self
            }
        }
    }
}
