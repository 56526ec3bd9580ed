// SPDX-License-Identifier: GPL-2.0-only

//! The connection to the peer: what is to be sent, what was sent and not confirmed, what was received and not done.

use super::algorithms::Wanted;
use super::authenticate::{Authentication, OWN_CHALLENGE};
use super::device::DeviceIndex;
use super::integrity::Integrity;
use crate::config::net::NetConf;
use crate::ring::Ring;
use crate::slab::Id;
use crate::state::{Change, ConnectionState, StateCode};
use crate::wire::features::FeatureFlags;
use crate::wire::{Command, PROTOCOL_VERSION_FIRST_CONTACT};

/// Something for the data socket. Everything that a peer must see in order goes through one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataItem {
    /// Nothing: fills unused storage.
    None,
    /// `P_CONNECTION_FEATURES`
    Features,
    /// `P_AUTH_CHALLENGE`
    AuthChallenge,
    /// `P_AUTH_RESPONSE`
    AuthResponse,
    /// `P_PROTOCOL`
    Protocol,
    /// `P_PROTOCOL_UPDATE`
    ProtocolUpdate,
    /// `P_SYNC_PARAM`, `P_SYNC_PARAM89`
    SyncParam(DeviceIndex),
    /// `P_SIZES`
    Sizes(DeviceIndex),
    /// `P_UUIDS`
    Uuids(DeviceIndex),
    /// `P_STATE` with the state of the moment when it was queued.
    State(DeviceIndex, u32),
    /// `P_SYNC_UUID`
    SyncUuid(DeviceIndex, u64),
    /// `P_BITMAP`, `P_COMPRESSED_BITMAP`: as many packets as it takes.
    Bitmap(DeviceIndex),
    /// `P_STATE_CHG_REQ`; without a device `P_CONN_ST_CHG_REQ`.
    StateRequest(Option<DeviceIndex>, Change),
    /// A write, or a read that the peer serves.
    Request(DeviceIndex, Id),
    /// `P_OUT_OF_SYNC`: sector, bytes, and the epoch that writes of the same moment were part of.
    OutOfSync(DeviceIndex, u64, u32, u32),
    /// Data that the peer asked for.
    Reply(DeviceIndex, Id),
}

/// Something for the meta socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaItem {
    /// Nothing: fills unused storage.
    None,
    /// `P_PING`
    Ping,
    /// `P_PING_ACK`
    PingAck,
    /// An answer about a block.
    Block {
        /// Which answer.
        command: Command,
        /// The device.
        device: DeviceIndex,
        /// Where.
        sector: u64,
        /// The peer's name for the request.
        block_id: u64,
        /// Bytes.
        size: u32,
        /// The peer's sequence number.
        sequence: u32,
    },
    /// `P_BARRIER_ACK`
    BarrierAck {
        /// The barrier's number.
        barrier: u32,
        /// Writes in the epoch.
        set_size: u32,
    },
    /// `P_STATE_CHG_REPLY`; without a device `P_CONN_ST_CHG_REPLY`.
    StateReply {
        /// The device.
        device: Option<DeviceIndex>,
        /// The answer.
        code: StateCode,
    },
}

/// A write in the transfer log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The device.
    pub device: DeviceIndex,
    /// The request.
    pub request: Id,
    /// Its epoch.
    pub epoch: u32,
}

impl LogEntry {
    /// Fills unused storage.
    pub const FILL: Self = Self {
        device: DeviceIndex(0),
        request: Id::FILL,
        epoch: 0,
    };
}

/// Writes of the peer between two of its barriers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveEpoch {
    /// Counts epochs.
    pub number: u64,
    /// The barrier that closed it.
    pub barrier: Option<u32>,
    /// Writes received.
    pub writes: u32,
    /// Writes received and not finished.
    pub active: u32,
    /// Devices with writes of it, a bit for each.
    pub devices: u64,
    /// Devices that still flush, a bit for each.
    pub flushing: u64,
    /// The flushes were started.
    pub flush_started: bool,
}

impl ReceiveEpoch {
    /// One without writes, and what fills unused storage.
    pub const EMPTY: Self = Self {
        number: 0,
        barrier: None,
        writes: 0,
        active: 0,
        devices: 0,
        flushing: 0,
        flush_started: false,
    };
}

/// How far the peers have introduced themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There are no sockets.
    Down,
    /// Waiting for `P_CONNECTION_FEATURES`.
    Features,
    /// Waiting for `P_AUTH_CHALLENGE`: the peer is a stranger.
    Challenge,
    /// Waiting for `P_AUTH_RESPONSE`.
    Response,
    /// Waiting for `P_PROTOCOL`.
    Protocol,
    /// Everything else.
    Open,
}

/// Storage that the shell lends for as long as the resource exists.
#[derive(Debug, Default)]
pub struct ConnectionTables<'m> {
    /// At least as many entries as the requests and peer requests of all devices, and a few hundred more.
    pub data_queue: &'m mut [DataItem],
    /// As many as `data_queue`.
    pub meta_queue: &'m mut [MetaItem],
    /// As many as requests of all devices.
    pub transfer_log: &'m mut [LogEntry],
    /// Epochs of the peer that can be open at once.
    pub epochs: &'m mut [ReceiveEpoch],
}

/// The connection.
#[derive(Debug)]
pub struct Connection<'m> {
    pub(super) conf: Option<NetConf>,
    pub(super) state: ConnectionState,
    pub(super) phase: Phase,
    pub(super) agreed_protocol: u32,
    pub(super) features: FeatureFlags,
    /// This node accepted the meta socket: it decides where both want something at once.
    pub(super) resolve_conflicts: bool,
    pub(super) authentication: Authentication,
    /// What the options say, what our data begins with, and what the peer's begins with.
    pub(super) configured_integrity: Integrity,
    pub(super) integrity: Integrity,
    pub(super) peer_integrity: Integrity,
    /// The features that this node said it has.
    pub(super) offered: FeatureFlags,
    pub(super) state_sent: bool,
    /// The peer only asks what would come of this connection.
    pub(super) peer_dry_run: bool,
    /// An epoch of this link ended of which nobody can say that it is on stable storage: no barrier is acknowledged any more.
    pub(super) barrier_lost: bool,
    pub(super) receiver_running: bool,
    pub(super) data_queue: Ring<'m, DataItem>,
    pub(super) meta_queue: Ring<'m, MetaItem>,
    pub(super) transfer_log: Ring<'m, LogEntry>,
    /// The epoch that new writes become part of, and how many it has.
    pub(super) epoch: u32,
    pub(super) epoch_writes: u32,
    /// The epoch of the last write that was sent and whose barrier was not.
    pub(super) sent_epoch: Option<u32>,
    /// Barriers that were sent and not acknowledged, and since when the peer could have answered the oldest: when that was sent, or the one before it
    /// was acknowledged.
    pub(super) barriers: u32,
    pub(super) barrier_at: u64,
    /// When answers that do not come were looked for last.
    pub(super) answers_checked: u64,
    pub(super) epochs: Ring<'m, ReceiveEpoch>,
    pub(super) next_epoch: u64,
    /// When anything came from the peer last.
    pub(super) last_received: u64,
    /// When the ping that waits for its answer was queued.
    pub(super) ping_sent: Option<u64>,
    /// Pings queued on this link, and how many of them were answered.
    pub(super) pings: u64,
    pub(super) pings_answered: u64,
    /// A `timeout` passed without the socket taking data this many times.
    pub(super) stalls: u32,
    /// The sockets of this link are shut, or will be as soon as the worker gets to it.
    pub(super) given_up: bool,
    /// Algorithms that the peer has changed to, until the shell has looked for them.
    pub(super) wanted_algorithms: Wanted,
}

impl<'m> Connection<'m> {
    /// A connection that is StandAlone.
    pub fn new(tables: ConnectionTables<'m>) -> Self {
        Self {
            conf: None,
            state: ConnectionState::StandAlone,
            phase: Phase::Down,
            agreed_protocol: PROTOCOL_VERSION_FIRST_CONTACT,
            features: FeatureFlags::NONE,
            resolve_conflicts: false,
            authentication: Authentication::new([0; OWN_CHALLENGE]),
            configured_integrity: Integrity::NONE,
            integrity: Integrity::NONE,
            peer_integrity: Integrity::NONE,
            offered: FeatureFlags::NONE,
            state_sent: false,
            peer_dry_run: false,
            barrier_lost: false,
            receiver_running: false,
            data_queue: Ring::new(tables.data_queue),
            meta_queue: Ring::new(tables.meta_queue),
            transfer_log: Ring::new(tables.transfer_log),
            epoch: 1,
            epoch_writes: 0,
            sent_epoch: None,
            barriers: 0,
            barrier_at: 0,
            answers_checked: 0,
            epochs: Ring::new(tables.epochs),
            next_epoch: 1,
            last_received: 0,
            ping_sent: None,
            pings: 0,
            pings_answered: 0,
            stalls: 0,
            given_up: false,
            wanted_algorithms: Wanted::default(),
        }
    }

    /// The configuration, while there is one.
    pub fn conf(&self) -> Option<&NetConf> {
        self.conf.as_ref()
    }

    /// The state that all volumes share; what is beyond `WFReportParams` is in each volume's own state.
    pub fn state(&self) -> ConnectionState {
        self.state
    }

    /// The protocol version in use.
    pub fn agreed_protocol(&self) -> u32 {
        self.agreed_protocol
    }

    /// The features in use.
    pub fn features(&self) -> FeatureFlags {
        self.features
    }

    /// Later writes belong to another epoch than those before.
    pub(super) fn close_epoch(&mut self) {
        if self.epoch_writes > 0 {
            self.epoch = self.epoch.wrapping_add(1);
            self.epoch_writes = 0;
        }
    }
}
