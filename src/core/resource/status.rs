// SPDX-License-Identifier: GPL-2.0-only

//! What user space is told of a volume.

use super::device::{Counters, Device, DeviceIndex};
use super::peer_request::Stage;
use super::Resource;
use crate::config::policy::WriteOrdering;
use crate::num::usize_to_u64;
use crate::state::State;

/// The progress of a resync or verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncStatus {
    /// Blocks when it began.
    pub total: u64,
    /// Blocks that failed.
    pub failed: u64,
    /// Blocks to go.
    pub left: u64,
    /// Milliseconds since it began, without pauses.
    pub elapsed: u64,
    /// Milliseconds, and blocks to go, at a moment some seconds ago.
    pub mark: (u64, u64),
    /// Milliseconds now.
    pub now: u64,
    /// KiB in a second that are asked for; 0 for a source.
    pub want: u64,
}

/// A volume as `/proc/drbd` and netlink show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceStatus {
    /// The volume number.
    pub volume: u16,
    /// The minor number.
    pub minor: u32,
    /// The state.
    pub state: State,
    /// The size in sectors.
    pub size: u64,
    /// The counters.
    pub counters: Counters,
    /// `lo`: I/O on the backing disk.
    pub local: u32,
    /// `pe`: requests to the peer without answer.
    pub pending: u32,
    /// `ua`: requests of the peer without answer.
    pub unacknowledged: u32,
    /// `ap`: requests of applications.
    pub application: u32,
    /// `ep`: epochs of the peer.
    pub epochs: u32,
    /// `wo`
    pub write_ordering: WriteOrdering,
    /// `oos`: blocks out of sync.
    pub out_of_sync: u64,
    /// Our UUIDs.
    pub uuids: [u64; 4],
    /// Metadata flags.
    pub flags: u32,
    /// The UUID of the data that applications see.
    pub exposed_uuid: u64,
    /// New requests have to wait.
    pub upper_blocked: bool,
    /// The activity log has no room.
    pub log_suspended: bool,
    /// The peer's bitmap UUID and flags, as far as known.
    pub peer_uuids: Option<[u64; 6]>,
    /// Use `degr-wfc-timeout`.
    pub degraded: bool,
    /// A resync.
    pub sync: Option<SyncStatus>,
}

fn count(number: usize) -> u32 {
    u32::try_from(usize_to_u64(number)).unwrap_or(u32::MAX)
}

/// The length of an iterator; the one of `core` can overflow in theory, which leaves a panic path.
fn length<T>(items: impl Iterator<Item = T>) -> u32 {
    items.fold(0, |length: u32, _| length.saturating_add(1))
}

impl<'m> Resource<'m> {
    /// A volume as user space sees it.
    pub fn status(&self, index: DeviceIndex) -> Option<DeviceStatus> {
        let device = self.device(index)?;
        let disk = device.disk.as_ref();
        Some(DeviceStatus {
            volume: device.volume,
            minor: device.minor,
            state: device.state,
            size: device.size,
            counters: device.counters,
            local: disk.map_or(0, |disk| disk.in_flight),
            pending: device.pending(),
            unacknowledged: device.unacknowledged(),
            application: length(
                device
                    .requests
                    .iter()
                    .filter(|(_, request)| !request.completed),
            ),
            epochs: count(self.connection.epochs.len()),
            write_ordering: self.write_ordering,
            out_of_sync: disk.map_or(0, |disk| disk.bitmap.weight()),
            uuids: disk.map_or([0; 4], |disk| disk.superblock.uuids),
            flags: disk.map_or(0, |disk| disk.superblock.flags.bits()),
            exposed_uuid: device.exposed_uuid,
            upper_blocked: !device.waiting.is_empty(),
            log_suspended: disk.is_some_and(|disk| disk.log_suspended),
            peer_uuids: device.peer.uuids,
            degraded: device.use_degraded_timeout,
            sync: self.sync_status(device),
        })
    }

    fn sync_status(&self, device: &Device<'_>) -> Option<SyncStatus> {
        let connection = device.state.connection;
        if !connection.is_resync() && !connection.is_verify() {
            return None;
        }
        let disk = device.disk.as_ref()?;
        let resync = &device.resync;
        let oldest = resync.last_mark.wrapping_add(2) & 7;
        Some(SyncStatus {
            total: resync.total,
            failed: resync.failed,
            left: if connection.is_verify() {
                device.verify.left
            } else {
                disk.bitmap.weight()
            },
            elapsed: self
                .now
                .saturating_sub(resync.started_at)
                .saturating_sub(resync.paused),
            mark: resync.marks.get(oldest).copied().unwrap_or((self.now, 0)),
            now: self.now,
            want: resync.pace.wanted(&self.resync_goal(disk)),
        })
    }

    /// The devices that there are.
    pub fn device_indices(&self) -> impl Iterator<Item = DeviceIndex> + use<'_, 'm> {
        self.present().map(|(index, _)| index)
    }

    /// The device with this volume number.
    pub fn find_volume(&self, volume: u16) -> Option<DeviceIndex> {
        self.device_of_volume(volume)
    }
}

impl Device<'_> {
    /// What the peer owes an answer to: requests of applications, and of a resync.
    pub(super) fn pending(&self) -> u32 {
        let resync = length(
            self.peer_requests
                .iter()
                .filter(|(_, request)| request.stage == Stage::Requested),
        );
        self.pending.saturating_add(resync)
    }

    fn unacknowledged(&self) -> u32 {
        length(self.peer_requests.iter().filter(|(_, request)| {
            !matches!(request.stage, Stage::Requested | Stage::Released) && !request.orphaned
        }))
    }
}
