// SPDX-License-Identifier: GPL-2.0-only

//! A backing disk comes, and goes.
//!
//! The shell opens the devices, reads superblock and bitmap, and hands them over in an [`Attachment`]; from then on the
//! engine decides what is written.

use super::device::{AfterBitmap, BitmapTask, Device, DeviceIndex, Disk, MetadataWriter};
use super::effect::Event;
use super::log::LogMessage;
use super::sizes::negotiated_size;
use super::Resource;
use crate::activity_log::ActivityLog;
use crate::bitmap::Bitmap;
use crate::config::disk::DiskConf;
use crate::meta::layout::Layout;
use crate::meta::superblock::{MetaFlags, Superblock};
use crate::state::{metadata_flags, Change, ConnectionState, DiskState, Role, StateCode};
use crate::uuid::Uuids;
use crate::wire::QueueLimits;

/// A disk that was opened and read, and is to be used.
#[derive(Debug)]
pub struct Attachment<'m> {
    /// Its configuration.
    pub conf: DiskConf,
    /// Where its metadata lies.
    pub layout: Layout,
    /// Its superblock.
    pub superblock: Superblock,
    /// Its bitmap, for the size in the superblock, in storage for `max_capacity`.
    pub bitmap: Bitmap<'m>,
    /// An empty activity log.
    pub activity_log: ActivityLog<'m>,
    /// Sectors that can hold data.
    pub max_capacity: u64,
    /// What the peer is told of its queue.
    pub limits: QueueLimits,
    /// The largest bio that it takes, in bytes.
    pub max_bio_size: u32,
    /// It has a volatile write cache.
    pub volatile_cache: bool,
}

/// Why a disk is not attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// The state does not allow it.
    State(StateCode),
    /// Its data is not the data that applications use (`ERR_DATA_NOT_CURRENT`).
    DataNotCurrent,
    /// It is smaller than the device is now (`ERR_DISK_TOO_SMALL`).
    DiskTooSmall,
    /// Its data would be cut off (`ERR_IMPLICIT_SHRINK`).
    ImplicitShrink {
        /// Sectors in use.
        effective: u64,
        /// Sectors that there would be.
        possible: u64,
    },
    /// Neither this disk nor the peer has any room for data.
    NoCapacity,
}

impl<'m> Resource<'m> {
    /// A disk is about to be attached: no new I/O meanwhile.
    ///
    /// # Errors
    ///
    /// There is a disk already, or the state does not allow one.
    pub fn begin_attach(&mut self, index: DeviceIndex) -> Result<(), StateCode> {
        self.change(index, Change::none().disk(DiskState::Attaching), false)
    }

    /// Attaching did not come to an end.
    pub fn abort_attach(&mut self, index: DeviceIndex) {
        let _ = self.change(index, Change::none().disk(DiskState::Diskless), true);
    }

    /// The disk is used from now on.
    ///
    /// # Errors
    ///
    /// Why it is not, and the attachment itself: the shell frees it, and calls [`abort_attach`](Self::abort_attach).
    #[expect(
        clippy::result_large_err,
        reason = "the attachment goes back to the only caller"
    )]
    pub fn finish_attach(
        &mut self,
        index: DeviceIndex,
        attachment: Attachment<'m>,
    ) -> Result<(), (AttachError, Attachment<'m>)> {
        let size = match self.check_attachment(index, &attachment) {
            Ok(size) => size,
            Err(error) => return Err((error, attachment)),
        };
        let suspended_for_data = self.device(index).is_some_and(|device| {
            device.state.role == Role::Primary && device.state.suspended_no_data
        });
        let flags = attachment.superblock.flags;
        let crashed_primary = flags.contains(MetaFlags::CRASHED_PRIMARY)
            || (flags.contains(MetaFlags::PRIMARY_IND) && !suspended_for_data);
        let full_sync = flags.contains(MetaFlags::FULL_SYNC)
            || (crashed_primary && flags.contains(MetaFlags::AL_DISABLED));
        let effective = attachment.superblock.effective_size;
        let Some(device) = self.device_mut(index) else {
            return Err((AttachError::State(StateCode::UnknownError), attachment));
        };
        device.crashed_primary = crashed_primary;
        device.use_degraded_timeout = device.state.role != Role::Primary
            && flags.contains(MetaFlags::PRIMARY_IND)
            && !flags.contains(MetaFlags::CONNECTED_IND);
        device.counters = super::device::Counters::default();
        device.idle_told = false;
        device.disk = Some(disk_of(attachment));
        device.settle_name();
        self.recall_lost_target(index);
        self.choose_write_ordering();
        self.event(Event::LimitsChanged { device: index });
        if !self.set_size(index, size) {
            // The storage was made for more than this.
            self.break_down();
        }
        if effective != 0 && size > effective {
            if let Some(device) = self.device_mut(index) {
                device.resync_after_negotiation = true;
            }
        }
        if full_sync {
            self.log(index, LogMessage::FullSyncRequired);
            self.start_bitmap_task(index, BitmapTask::SetAll, AfterBitmap::Nothing);
        }
        let marked = self.device(index).and_then(Device::disk);
        if let Some(bits) = marked.map(|disk| disk.bitmap.weight()) {
            self.log(index, LogMessage::MarkedByBitmap { bits });
        }
        self.suspend_activity_log(index);
        self.enter_attached_state(index);
        Ok(())
    }

    fn check_attachment(
        &self,
        index: DeviceIndex,
        attachment: &Attachment<'m>,
    ) -> Result<u64, AttachError> {
        let device = self
            .device(index)
            .ok_or(AttachError::State(StateCode::UnknownError))?;
        let state = device.state;
        if state.disk != DiskState::Attaching {
            return Err(AttachError::State(StateCode::UnknownError));
        }
        if attachment.max_capacity < device.size {
            return Err(AttachError::DiskTooSmall);
        }
        let [current, ..] = attachment.superblock.uuids;
        let in_use = state.role == Role::Primary || state.peer == Role::Primary;
        if state.peer_disk != DiskState::UpToDate && in_use && !device.has_seen(current) {
            return Err(AttachError::DataNotCurrent);
        }
        let wanted = attachment.conf.disk_size;
        let effective = attachment.superblock.effective_size;
        let size = negotiated_size(
            attachment.max_capacity,
            device.peer.disk_size,
            effective,
            wanted,
        );
        if size == 0 {
            return Err(AttachError::NoCapacity);
        }
        let consistent = attachment.superblock.flags.contains(MetaFlags::CONSISTENT);
        if consistent && size < effective && size != wanted {
            return Err(AttachError::ImplicitShrink {
                effective,
                possible: size,
            });
        }
        Ok(size)
    }

    fn enter_attached_state(&mut self, index: DeviceIndex) {
        let context = self.context(index);
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let state = device.state;
        let Some(disk) = device.disk.as_mut() else {
            return;
        };
        // The fencing policy counts although the disk is not in use yet.
        let disks =
            metadata_flags::at_attach(disk.superblock.flags.bits(), state.peer_disk, &context);
        disk.superblock.flags = disk
            .superblock
            .flags
            .set(MetaFlags::AL_DISABLED, !disk.conf.al_updates);
        let mut uuids = Uuids::from_array(disk.superblock.uuids);
        uuids.set_primary(state.role == Role::Primary);
        disk.superblock.uuids = uuids.to_array();
        disk.superblock.la_peer_max_bio_size = if state.connection < ConnectionState::Connected {
            disk.superblock.peer_max_bio_bytes()
        } else {
            device.peer.max_bio_size
        };
        let change = if state.connection == ConnectionState::Connected {
            device.attach_result = Some(disks);
            device.peer.uuids = None;
            Change::none().disk(DiskState::Negotiating)
        } else {
            device.attach_result = None;
            Change::none().disk(disks.own).peer_disk(disks.peer)
        };
        self.log(
            index,
            LogMessage::Uuids {
                why: "attached to UUIDs",
                uuids: uuids.to_array(),
            },
        );
        if let Err(code) = self.change(index, change, false) {
            self.log(index, LogMessage::StateChangeFailed(code));
            let _ = self.change(index, Change::none().disk(DiskState::Failed), true);
        }
        // It may have to be watched.
        self.wishes.timer = true;
        // After a crash the activity log is looked into where the superblock says that the disk was in use.
        self.hold_requests_for_superblock(index);
    }

    /// Whether there is a disk that is no longer used, with nothing on its way to it: the shell closes it then. It
    /// stays so until [`Self::take_disk`].
    pub fn may_take_disk(&self, index: DeviceIndex) -> bool {
        self.device(index).is_some_and(|device| {
            device.state.disk == DiskState::Diskless
                && device.disk.as_ref().is_some_and(|disk| disk.in_flight == 0)
        })
    }

    /// The shell has closed the disk, and frees the memory of its tables. From now on another one may be attached.
    pub fn take_disk(&mut self, index: DeviceIndex) -> Option<Disk<'m>> {
        if !self.may_take_disk(index) {
            return None;
        }
        let device = self.device_mut(index)?;
        device.idle_told = false;
        device.forget_extents();
        self.wishes.operations = true;
        self.device_mut(index)?.disk.take()
    }
}

impl Device<'_> {
    /// The activity log that requests have references to is going.
    fn forget_extents(&mut self) {
        for (_, request) in self.requests.iter_mut() {
            request.holds_extents = false;
        }
        for (_, peer_request) in self.peer_requests.iter_mut() {
            peer_request.holds_extents = false;
        }
    }
}

fn disk_of(attachment: Attachment<'_>) -> Disk<'_> {
    Disk {
        conf: attachment.conf,
        layout: attachment.layout,
        superblock: attachment.superblock,
        bitmap: attachment.bitmap,
        activity_log: attachment.activity_log,
        log_suspended: false,
        max_capacity: attachment.max_capacity,
        limits: attachment.limits,
        max_bio_size: attachment.max_bio_size,
        volatile_cache: attachment.volatile_cache,
        in_flight: 0,
        metadata: MetadataWriter::default(),
        // Nobody knows what its cache holds, from before it was detached perhaps.
        written_since_flush: true,
        flushes: 0,
        failed: false,
        active_at: 0,
    }
}
