// SPDX-License-Identifier: GPL-2.0-only

//! The groups of attributes that the kernel sends and never receives: states, statistics, what happened.

use core::fmt::{
    self,
    Write, //
};

use super::attribute::{
    AttributeWriter,
    NoSpace, //
};
use super::context::{
    number,
    Context, //
};
use super::group;
use crate::config::{
    Text,
    WriteOrdering, //
};
use crate::state::{
    ConnectionState,
    DiskState,
    Role,
    State, //
};

/// A value that knows its form on netlink.
trait Field {
    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace>;
}

impl Field for bool {
    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        writer.flag(number, *self)
    }
}

impl Field for u32 {
    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        writer.u32(number, *self)
    }
}

impl Field for u64 {
    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        writer.u64(number, *self)
    }
}

impl Field for Role {
    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        writer.u32(number, u32::from(self.number()))
    }
}

impl Field for DiskState {
    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        writer.u32(number, u32::from(self.number()))
    }
}

impl Field for ConnectionState {
    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        writer.u32(number, u32::from(self.number()))
    }
}

impl Field for WriteOrdering {
    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        writer.u32(number, (*self).number())
    }
}

/// A flag that travels in 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WideFlag(pub bool);

impl Field for WideFlag {
    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        writer.u32(number, u32::from(self.0))
    }
}

/// The history of data generations of a disk, newest first.
///
/// There is room for 32 generations, but 8.4 keeps two, and sends 32 bytes: these two and two zeroes. Without a disk it
/// sends none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryUuids(pub Option<[u64; 2]>);

impl Field for HistoryUuids {
    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        match self.0 {
            Some([first, second]) => writer.binary(number, &uuid_bytes([first, second, 0, 0])),
            None => writer.binary(number, &[]),
        }
    }
}

fn uuid_bytes(uuids: [u64; 4]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, uuid) in bytes.chunks_exact_mut(8).zip(uuids) {
        chunk.copy_from_slice(&uuid.to_ne_bytes());
    }
    bytes
}

macro_rules! record {
    (
        $(#[$doc:meta])*
        pub struct $name:ident in $group:expr;
        $( $(#[$field_doc:meta])* $field:ident: $type:ty = $number:literal; )+
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )+
        }

        impl $name {
            /// Appends the group.
            pub fn encode(&self, writer: &mut AttributeWriter<'_>) -> Result<(), NoSpace> {
                writer.nest($group, |writer| {
                    $( Field::put(&self.$field, writer, $number)?; )+
                    Ok(())
                })
            }
        }
    };
}

record! {
    /// State of a resource (`struct resource_info`).
    pub struct ResourceInfo in group::RESOURCE_INFO;

    /// The highest role among its devices.
    role: Role = 1;
    /// Whether an administrator suspended I/O.
    suspended: bool = 2;
    /// Whether I/O is suspended for lack of data.
    suspended_no_data: bool = 3;
    /// Whether I/O is suspended until the peer is fenced.
    suspended_fencing: bool = 4;
}

record! {
    /// Statistics of a resource (`struct resource_statistics`).
    pub struct ResourceStatistics in group::RESOURCE_STATISTICS;

    /// How writes are ordered.
    write_ordering: WriteOrdering = 1;
}

record! {
    /// State of a device (`struct device_info`).
    pub struct DeviceInfo in group::DEVICE_INFO;

    /// The local disk.
    disk: DiskState = 1;
}

record! {
    /// Statistics of a device (`struct device_statistics`).
    pub struct DeviceStatistics in group::DEVICE_STATISTICS;

    /// Size, in sectors.
    size: u64 = 1;
    /// Read from the local disk, in sectors.
    read: u64 = 2;
    /// Written to the local disk, in sectors.
    written: u64 = 3;
    /// Writes of the activity log.
    al_writes: u64 = 4;
    /// Writes of the bitmap.
    bitmap_writes: u64 = 5;
    /// Application requests in flight.
    upper_pending: u32 = 6;
    /// Requests to the local disk in flight.
    lower_pending: u32 = 7;
    /// Whether application requests have to wait.
    upper_blocked: bool = 8;
    /// Whether requests to the local disk have to wait; 8.4 never says so.
    lower_blocked: bool = 9;
    /// Whether the activity log is suspended.
    al_suspended: bool = 10;
    /// The data generation that applications saw last.
    exposed_uuid: u64 = 11;
    /// The data generation of the disk.
    current_uuid: u64 = 12;
    /// Flags of the metadata.
    disk_flags: u32 = 13;
    /// Former data generations of the disk.
    history_uuids: HistoryUuids = 14;
}

record! {
    /// State of a connection (`struct connection_info`).
    pub struct ConnectionInfo in group::CONNECTION_INFO;

    /// Where it stands.
    state: ConnectionState = 1;
    /// The highest role among the devices of the peer.
    peer_role: Role = 2;
}

record! {
    /// Statistics of a connection (`struct connection_statistics`).
    pub struct ConnectionStatistics in group::CONNECTION_STATISTICS;

    /// Whether its send queue is congested.
    congested: bool = 1;
}

record! {
    /// State of a device of the peer (`struct peer_device_info`).
    pub struct PeerDeviceInfo in group::PEER_DEVICE_INFO;

    /// What replication does; at least [`ConnectionState::WFReportParams`].
    replication: ConnectionState = 1;
    /// The disk of the peer.
    disk: DiskState = 2;
    /// Whether this side paused resync.
    paused_by_user: WideFlag = 3;
    /// Whether the peer paused resync.
    paused_by_peer: WideFlag = 4;
    /// Whether the resync order pauses it.
    paused_by_dependency: WideFlag = 5;
}

record! {
    /// Statistics of a device of the peer (`struct peer_device_statistics`).
    pub struct PeerDeviceStatistics in group::PEER_DEVICE_STATISTICS;

    /// Received from the peer, in sectors.
    received: u64 = 1;
    /// Sent to the peer, in sectors.
    sent: u64 = 2;
    /// Requests that the peer has not answered.
    pending: u32 = 3;
    /// Requests of the peer that this side has not answered.
    unacknowledged: u32 = 4;
    /// What is known to differ, in sectors.
    out_of_sync: u64 = 5;
    /// What resync failed to make equal, in sectors.
    resync_failed: u64 = 6;
    /// The data generation that the bitmap counts from.
    bitmap_uuid: u64 = 7;
    /// What the metadata remembers of the peer (`enum mdf_peer_flag`).
    flags: u32 = 9;
}

impl From<&State> for ResourceInfo {
    /// Takes the role of one device for that of all.
    fn from(state: &State) -> Self {
        Self {
            role: state.role,
            suspended: state.suspended,
            suspended_no_data: state.suspended_no_data,
            suspended_fencing: state.suspended_fencing,
        }
    }
}

impl From<&State> for DeviceInfo {
    fn from(state: &State) -> Self {
        Self { disk: state.disk }
    }
}

impl From<&State> for PeerDeviceInfo {
    fn from(state: &State) -> Self {
        Self {
            replication: state.connection.max(ConnectionState::WFReportParams),
            disk: state.peer_disk,
            paused_by_user: WideFlag(state.user_paused),
            paused_by_peer: WideFlag(state.peer_paused),
            paused_by_dependency: WideFlag(state.after_dependency_paused),
        }
    }
}

/// Which of the timeouts at start-up applies (`enum drbd_timeout_flag`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutType {
    /// The usual one.
    Default,
    /// The one for a node that was degraded when it went down.
    Degraded,
    /// The one for a peer that is known to be outdated.
    PeerOutdated,
}

impl TimeoutType {
    /// Appends the group.
    pub fn encode(self, writer: &mut AttributeWriter<'_>) -> Result<(), NoSpace> {
        let number = match self {
            TimeoutType::Default => 0,
            TimeoutType::Degraded => 1,
            TimeoutType::PeerOutdated => 2,
        };
        writer.nest(group::TIMEOUT_PARMS, |writer| writer.u32(1, number))
    }
}

/// Appends text for people; nothing where there is none.
pub fn info_text(writer: &mut AttributeWriter<'_>, text: &dyn fmt::Display) -> Result<(), NoSpace> {
    let mut info = Text::<255>::EMPTY;
    // Text that is too long is cut, which is no error.
    let _ = write!(info, "{text}");
    if info.is_empty() {
        return Ok(());
    }
    writer.nest_without_flag(group::CFG_REPLY, |writer| writer.text(1, info.as_bytes()))
}

impl Context<'_> {
    /// Appends the group: what is not known, or empty, is left out.
    pub fn encode(&self, writer: &mut AttributeWriter<'_>) -> Result<(), NoSpace> {
        writer.nest_without_flag(group::CFG_CONTEXT, |writer| {
            if let Some(volume) = self.volume {
                writer.u32(number::VOLUME, volume)?;
            }
            if let Some(name) = self.resource_name {
                writer.text(number::RESOURCE_NAME, name)?;
            }
            let addresses = [
                (number::MY_ADDRESS, self.my_address),
                (number::PEER_ADDRESS, self.peer_address),
            ];
            for (number, address) in addresses {
                match address {
                    Some(address) if !address.is_empty() => writer.binary(number, address)?,
                    _ => {}
                }
            }
            Ok(())
        })
    }
}

/// What a disk adds to [`StateInfo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskStatus {
    /// Data generations: current, bitmap, and two of the history.
    pub uuids: [u64; 4],
    /// Flags of the metadata.
    pub flags: u32,
    /// Bits in the bitmap.
    pub bits_total: u64,
    /// Bits that are set.
    pub bits_out_of_sync: u64,
    /// Bits that the resync or verify run began with.
    pub bits_resync_total: u64,
    /// Bits that it failed on.
    pub bits_resync_failed: u64,
}

/// State and counters of a device (`struct state_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateInfo {
    /// The state.
    pub state: State,
    /// The data generation that applications saw last.
    pub exposed_uuid: u64,
    /// Size, in sectors.
    pub capacity: u64,
    /// Sent to the peer, in sectors.
    pub sent: u64,
    /// Received from the peer, in sectors.
    pub received: u64,
    /// Read from the local disk, in sectors.
    pub read: u64,
    /// Written to the local disk, in sectors.
    pub written: u64,
    /// Writes of the activity log.
    pub al_writes: u64,
    /// Writes of the bitmap.
    pub bitmap_writes: u64,
    /// Application requests in flight.
    pub application_requests: u32,
    /// Application requests that the peer has not answered.
    pub application_pending: u32,
    /// Resync requests that the peer has not answered.
    pub resync_pending: u32,
    /// The local disk.
    pub disk: Option<DiskStatus>,
}

/// Why the status of a device is sent (`enum drbd_state_info_bcast_reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusReason<'a> {
    /// Somebody asked.
    Reply,
    /// The state changed.
    StateChange {
        /// From.
        old: State,
        /// To.
        new: State,
    },
    /// A helper is about to be called.
    HelperCall {
        /// Which one.
        name: &'a str,
    },
    /// A helper has ended.
    HelperEnd {
        /// Which one.
        name: &'a str,
        /// How: the status of `wait`, or a negative errno.
        status: i32,
    },
    /// Resync went on.
    SyncProgress,
}

impl StatusReason<'_> {
    const fn number(&self) -> u32 {
        match self {
            StatusReason::Reply => 1,
            StatusReason::StateChange { .. } => 2,
            StatusReason::HelperCall { .. } => 3,
            StatusReason::HelperEnd { .. } => 4,
            StatusReason::SyncProgress => 5,
        }
    }

    fn encode(&self, writer: &mut AttributeWriter<'_>) -> Result<(), NoSpace> {
        match self {
            StatusReason::Reply | StatusReason::SyncProgress => Ok(()),
            StatusReason::StateChange { old, new } => {
                writer.u32(5, old.to_wire())?;
                writer.u32(6, new.to_wire())
            }
            StatusReason::HelperCall { name } => writer.text(13, name.as_bytes()),
            StatusReason::HelperEnd { name, status } => {
                writer.i32(14, *status)?;
                writer.text(13, name.as_bytes())
            }
        }
    }
}

impl StateInfo {
    /// Appends the group, in the order of the C driver, which is not that of the numbers.
    pub fn encode(
        &self,
        writer: &mut AttributeWriter<'_>,
        reason: &StatusReason<'_>,
    ) -> Result<(), NoSpace> {
        writer.nest_without_flag(group::STATE_INFO, |writer| {
            writer.u32(1, reason.number())?;
            writer.u32(2, self.state.to_wire())?;
            writer.u64(4, self.exposed_uuid)?;
            writer.u64(3, self.capacity)?;
            writer.u64(15, self.sent)?;
            writer.u64(16, self.received)?;
            writer.u64(17, self.read)?;
            writer.u64(18, self.written)?;
            writer.u64(19, self.al_writes)?;
            writer.u64(20, self.bitmap_writes)?;
            writer.u32(21, self.application_requests)?;
            writer.u32(22, self.application_pending)?;
            writer.u32(23, self.resync_pending)?;
            if let Some(disk) = &self.disk {
                self.encode_disk(writer, disk)?;
            }
            reason.encode(writer)
        })
    }

    fn encode_disk(
        &self,
        writer: &mut AttributeWriter<'_>,
        disk: &DiskStatus,
    ) -> Result<(), NoSpace> {
        writer.binary(7, &uuid_bytes(disk.uuids))?;
        writer.u32(8, disk.flags)?;
        writer.u64(9, disk.bits_total)?;
        writer.u64(10, disk.bits_out_of_sync)?;
        if self.state.connection.is_resync() || self.state.connection.is_verify() {
            writer.u64(11, disk.bits_resync_total)?;
            writer.u64(12, disk.bits_resync_failed)?;
        }
        Ok(())
    }
}
