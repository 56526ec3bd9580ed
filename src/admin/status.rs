// SPDX-License-Identifier: GPL-2.0-only

//! From the engine's view of things to the records that netlink sends.

use drbd_core::{
    config::WriteOrdering,
    meta::superblock::MetaFlags,
    netlink::{
        attribute::{
            AttributeWriter,
            NoSpace, //
        },
        messages::{
            DumpEntry,
            Status, //
        },
        reply::{
            ConnectionInfo,
            ConnectionStatistics,
            DeviceStatistics,
            DiskStatus,
            HistoryUuids,
            PeerDeviceStatistics,
            ResourceInfo,
            ResourceStatistics,
            StateInfo,
            StatusReason, //
        }, //
    },
    resource::{
        device::DeviceIndex,
        DeviceStatus, //
    },
    state::{
        ConnectionState,
        DiskState,
        Role,
        State, //
    }, //
};

use super::told::{
    context,
    Addresses, //
};
use crate::resource::Engine;

/// Bits of the bitmap to sectors.
const BIT_TO_SECTOR_SHIFT: u32 = 3;

/// Flags of the metadata as they are told of the peer (`enum mdf_peer_flag`).
const PEER_CONNECTED: u32 = 1 << 0;
const PEER_OUTDATED: u32 = 1 << 1;
const PEER_FULL_SYNC: u32 = 1 << 3;

/// The state of each volume.
fn states(engine: &Engine) -> impl Iterator<Item = State> + use<'_> {
    engine
        .device_indices()
        .filter_map(|index| engine.device(index).map(|device| device.state()))
}

/// The resource as a whole.
pub(super) fn resource_info(engine: &Engine) -> ResourceInfo {
    let any = |flag: fn(&State) -> bool| states(engine).any(|state| flag(&state));
    ResourceInfo {
        role: states(engine).fold(Role::Secondary, |role, state| role.max(state.role)),
        suspended: any(|state| state.suspended),
        suspended_no_data: any(|state| state.suspended_no_data),
        suspended_fencing: any(|state| state.suspended_fencing),
    }
}

/// How writes are ordered: as the first volume with a disk does it.
pub(super) fn resource_statistics(engine: &Engine) -> ResourceStatistics {
    let with_disk = engine.device_indices().find(|index| {
        engine
            .device(*index)
            .is_some_and(|device| device.disk().is_some())
    });
    let status = with_disk.and_then(|index| engine.status(index));
    ResourceStatistics {
        write_ordering: status.map_or(WriteOrdering::Flush, |status| status.write_ordering),
    }
}

/// The connection.
pub(super) fn connection_info(engine: &Engine) -> ConnectionInfo {
    ConnectionInfo {
        state: engine.connection().state(),
        peer_role: states(engine).fold(Role::Unknown, |role, state| role.max(state.peer)),
    }
}

/// Congestion is noticed where it makes writes wait, and not counted.
pub(super) fn connection_statistics() -> ConnectionStatistics {
    ConnectionStatistics { congested: false }
}

/// Whether the disk holds data that may be looked at.
fn has_disk(status: &DeviceStatus) -> bool {
    status.state.disk >= DiskState::Inconsistent
}

/// Whether new requests have to wait: some wait already, or the state is one that does not last.
fn is_blocked(status: &DeviceStatus) -> bool {
    let state = &status.state;
    let passes_over = matches!(
        state.connection,
        ConnectionState::WFReportParams
            | ConnectionState::StartingSyncS
            | ConnectionState::StartingSyncT
            | ConnectionState::WFBitMapT
            | ConnectionState::WFSyncUUID
    );
    let disk_passes_over = matches!(state.disk, DiskState::Attaching | DiskState::Negotiating);
    status.upper_blocked || state.is_suspended() || passes_over || disk_passes_over
}

/// What a device counts.
pub(super) fn device_statistics(status: &DeviceStatus) -> DeviceStatistics {
    let [current, _, first, second] = status.uuids;
    let disk = has_disk(status);
    DeviceStatistics {
        size: status.size,
        read: status.counters.read,
        written: status.counters.written,
        al_writes: status.counters.activity_log_writes,
        bitmap_writes: status.counters.bitmap_writes,
        upper_pending: status.application,
        lower_pending: status.local,
        upper_blocked: is_blocked(status),
        lower_blocked: false,
        al_suspended: status.log_suspended,
        exposed_uuid: status.exposed_uuid,
        current_uuid: if disk { current } else { 0 },
        disk_flags: if disk { status.flags } else { 0 },
        history_uuids: HistoryUuids(disk.then_some([first, second])),
    }
}

/// What a device counts of the peer.
pub(super) fn peer_device_statistics(status: &DeviceStatus) -> PeerDeviceStatistics {
    let [_, bitmap, _, _] = status.uuids;
    let disk = has_disk(status);
    let flags = MetaFlags::from_bits(status.flags);
    let outdated =
        flags.contains(MetaFlags::CONSISTENT) && !flags.contains(MetaFlags::WAS_UP_TO_DATE);
    let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
    let peer_flags = flag(flags.contains(MetaFlags::CONNECTED_IND), PEER_CONNECTED)
        | flag(outdated, PEER_OUTDATED)
        | flag(flags.contains(MetaFlags::FULL_SYNC), PEER_FULL_SYNC);
    PeerDeviceStatistics {
        received: status.counters.received,
        sent: status.counters.sent,
        pending: status.pending,
        unacknowledged: status.unacknowledged,
        out_of_sync: status.out_of_sync << BIT_TO_SECTOR_SHIFT,
        resync_failed: status.sync.map_or(0, |sync| sync.failed) << BIT_TO_SECTOR_SHIFT,
        bitmap_uuid: if disk { bitmap } else { 0 },
        flags: if disk { peer_flags } else { 0 },
    }
}

/// A resource, looked at under the lock of its engine.
pub(super) struct View<'a> {
    engine: &'a Engine,
    name: &'a [u8],
    addresses: Option<&'a Addresses>,
}

impl<'a> View<'a> {
    /// Looks at `engine`.
    pub(super) fn new(
        engine: &'a Engine,
        name: &'a [u8],
        addresses: Option<&'a Addresses>,
    ) -> Self {
        Self {
            engine,
            name,
            addresses,
        }
    }

    /// Whether a connection is configured.
    pub(super) fn has_connection(&self) -> bool {
        self.engine.connection().conf().is_some()
    }

    /// All about a volume. A volume that is gone leaves nothing.
    pub(super) fn encode_status(
        &self,
        writer: &mut AttributeWriter<'_>,
        index: DeviceIndex,
        reason: StatusReason<'_>,
        show_secret: bool,
    ) -> Result<(), NoSpace> {
        let Some(status) = self.engine.status(index) else {
            return Ok(());
        };
        let disk = self
            .engine
            .device(index)
            .and_then(|device| device.disk())
            .filter(|_| has_disk(&status));
        let sync = status.sync;
        let message = Status {
            context: context(self.name, Some(status.volume), self.addresses),
            resource: self.engine.options(),
            disk: disk.map(|disk| &disk.conf),
            net: self.engine.connection().conf(),
            info: StateInfo {
                state: status.state,
                exposed_uuid: status.exposed_uuid,
                capacity: status.size,
                sent: status.counters.sent,
                received: status.counters.received,
                read: status.counters.read,
                written: status.counters.written,
                al_writes: status.counters.activity_log_writes,
                bitmap_writes: status.counters.bitmap_writes,
                application_requests: status.application,
                application_pending: status.pending,
                resync_pending: 0,
                disk: disk.map(|disk| DiskStatus {
                    uuids: status.uuids,
                    flags: status.flags,
                    bits_total: disk.bitmap.bits(),
                    bits_out_of_sync: status.out_of_sync,
                    bits_resync_total: sync.map_or(0, |sync| sync.total),
                    bits_resync_failed: sync.map_or(0, |sync| sync.failed),
                }),
            },
            reason,
            show_secret,
        };
        message.encode(writer)
    }

    /// An entry of a dump: a resource without volumes, among those with.
    pub(super) fn status_of_resource(&self) -> DumpEntry<'_> {
        DumpEntry::StatusOfResource {
            context: context(self.name, None, self.addresses),
            net: self.engine.connection().conf(),
        }
    }

    /// An entry of a dump: the resource.
    pub(super) fn resource(&self) -> DumpEntry<'_> {
        DumpEntry::Resource {
            context: context(self.name, None, None),
            options: self.engine.options(),
            info: resource_info(self.engine),
            statistics: resource_statistics(self.engine),
        }
    }

    /// An entry of a dump: a volume.
    pub(super) fn device(&self, index: DeviceIndex) -> Option<DumpEntry<'_>> {
        let status = self.engine.status(index)?;
        let disk = self.engine.device(index)?.disk();
        Some(DumpEntry::Device {
            minor: status.minor,
            context: context(self.name, Some(status.volume), None),
            disk: disk.filter(|_| has_disk(&status)).map(|disk| &disk.conf),
            info: (&status.state).into(),
            statistics: device_statistics(&status),
        })
    }

    /// An entry of a dump: the connection.
    pub(super) fn connection(&self, show_secret: bool) -> DumpEntry<'_> {
        DumpEntry::Connection {
            context: context(self.name, None, self.addresses),
            net: self.engine.connection().conf(),
            show_secret,
            info: connection_info(self.engine),
            statistics: connection_statistics(),
        }
    }

    /// An entry of a dump: a volume of the peer.
    pub(super) fn peer_device(&self, index: DeviceIndex) -> Option<DumpEntry<'_>> {
        let status = self.engine.status(index)?;
        Some(DumpEntry::PeerDevice {
            minor: status.minor,
            context: context(self.name, Some(status.volume), self.addresses),
            info: (&status.state).into(),
            statistics: peer_device_statistics(&status),
        })
    }
}
