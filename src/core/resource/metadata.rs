// SPDX-License-Identifier: GPL-2.0-only

//! The order in which metadata reaches the disk.
//!
//! * An extent leaves the activity log only after the bitmap pages that cover it are durable: what was written there and
//!   not mirrored is known after a crash.
//! * A write starts only after the transaction that makes its extents hot is durable.
//! * Data that was written before, and that metadata takes for granted, is flushed before that metadata is written: a bit
//!   that is clear, a superblock that calls the data UpToDate or a Primary demoted, an extent that is cold. Metadata on
//!   the same device does that by itself: the shell writes it with a flush in front. For a device of its own
//!   [`Resource::data_goes_first`] says so when the bytes are taken, no earlier: bits are cleared at any time.
//! * One superblock is on its way at a time; what changes meanwhile goes with the next.
//! * A page of the bitmap is never on its way twice.
//!
//! Here are superblocks, flushes, and what decides which comes next. Extents and transactions are in [`super::activity`],
//! pages of the bitmap in [`super::bitmap_write`].

use super::activity::TransactionPhase;
use super::device::{BitmapTask, DeviceIndex, Disk, MetadataWriter};
use super::effect::Effect;
use super::Resource;
use crate::meta::superblock::SUPERBLOCK_BYTES;

/// Effects that one step here may need: an eviction writes up to 64 pages.
pub(super) const ROOM_FOR_EVICTION: usize = 96;

impl MetadataWriter {
    /// Whether requests wait for a superblock to be durable, or for work on the whole bitmap.
    pub(super) fn holds_requests(&self) -> bool {
        self.hold_requests_until.is_some()
            || matches!(
                self.task,
                Some((BitmapTask::SetAll | BitmapTask::ClearAll, _, _))
            )
    }

    /// Whether the superblock on the disk is not the one in memory.
    pub(super) fn superblock_pending(&self) -> bool {
        self.superblock_dirty || self.superblock_in_flight
    }

    /// Whether nothing of the metadata is on its way or waits to be.
    pub(super) fn is_idle(&self) -> bool {
        !self.superblock_dirty
            && !self.superblock_in_flight
            && self.pages_in_flight == 0
            && self.transaction == TransactionPhase::None
            && self.task.is_none()
    }
}

impl Disk<'_> {
    /// Whether every block is marked already: no write needs an extent in the activity log.
    pub(super) fn all_out_of_sync(&self) -> bool {
        self.bitmap.bits() > 0 && self.bitmap.weight() == self.bitmap.bits()
    }

    /// Whether something may be in the disk's cache.
    pub(super) fn has_unflushed_writes(&self) -> bool {
        self.written_since_flush && self.volatile_cache && self.conf.disk_flushes
    }

    /// Whether data must be flushed before metadata is written, because nothing else sees to it.
    fn needs_flush(&self) -> bool {
        let in_cache = self.has_unflushed_writes() || (self.flushes > 0 && self.conf.disk_flushes);
        in_cache && !self.layout.index().is_internal() && !self.failed
    }
}

impl Resource<'_> {
    /// I/O to the backing disk begins.
    pub(super) fn disk_io_begins(&mut self, index: DeviceIndex) {
        let now = self.now;
        if let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        {
            if disk.in_flight == 0 {
                disk.active_at = now;
            }
            disk.in_flight = disk.in_flight.saturating_add(1);
        }
    }

    /// I/O to the backing disk ended.
    pub(super) fn disk_io_ends(&mut self, index: DeviceIndex) {
        let now = self.now;
        if let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        {
            disk.in_flight = disk.in_flight.saturating_sub(1);
            disk.active_at = now;
        }
        self.detach_when_idle(index);
    }

    /// The superblock changed: it will be written. Answers the number under which it will be durable.
    pub(super) fn superblock_changed(&mut self, index: DeviceIndex) -> u64 {
        self.progress = true;
        // One that is said to be idle is about to be closed.
        let Some(disk) = self
            .device_mut(index)
            .filter(|device| !device.idle_told)
            .and_then(|device| device.disk.as_mut())
        else {
            return 0;
        };
        disk.metadata.superblock_dirty = true;
        disk.metadata.superblock_issued.saturating_add(1)
    }

    /// Nobody may write until what the superblock says now is durable.
    pub(super) fn hold_requests_for_superblock(&mut self, index: DeviceIndex) {
        let number = self.superblock_changed(index);
        if let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        {
            disk.metadata.hold_requests_until = Some(number);
        }
    }

    /// Writes what is to be written, as far as the order allows.
    pub(super) fn advance_metadata(&mut self, index: DeviceIndex) {
        if self.effect_room() < ROOM_FOR_EVICTION {
            self.progress = true;
            return;
        }
        self.begin_transaction(index);
        self.write_superblock(index);
        self.advance_transaction(index);
        self.advance_bitmap_task(index);
        self.write_superblock(index);
        self.detach_when_idle(index);
    }

    /// Whether the data has to be flushed between the moment in which the bytes of metadata are taken, which is now, and the
    /// write: what they say may rest on any write that has ended. Never for internal metadata, which does that by itself.
    pub fn data_goes_first(&self, index: DeviceIndex) -> bool {
        self.device(index)
            .and_then(|device| device.disk.as_ref())
            .is_some_and(Disk::needs_flush)
    }

    /// Starts a flush of the data.
    pub(super) fn start_flush(&mut self, index: DeviceIndex) {
        if let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        {
            disk.written_since_flush = false;
            disk.flushes = disk.flushes.saturating_add(1);
        }
        self.disk_io_begins(index);
        self.effect(Effect::FlushDisk { device: index });
    }

    /// A flush ended. True when all did that were under way: nobody can tell which one it was.
    pub(super) fn flush_ended(&mut self, index: DeviceIndex, success: bool) -> bool {
        self.progress = true;
        let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        else {
            return true;
        };
        disk.written_since_flush |= !success;
        disk.flushes = disk.flushes.saturating_sub(1);
        disk.flushes == 0
    }

    /// Data was written to the backing disk.
    pub(super) fn data_written(&mut self, index: DeviceIndex) {
        if let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        {
            disk.written_since_flush = true;
        }
    }

    fn write_superblock(&mut self, index: DeviceIndex) {
        let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        else {
            return;
        };
        let metadata = &mut disk.metadata;
        if !metadata.superblock_dirty || metadata.superblock_in_flight || disk.failed {
            return;
        }
        metadata.superblock_dirty = false;
        metadata.superblock_in_flight = true;
        metadata.superblock_issued = metadata.superblock_issued.saturating_add(1);
        self.disk_io_begins(index);
        self.effect(Effect::WriteSuperblock { device: index });
    }

    /// The bytes of the superblock, and the sector on the metadata device where they go.
    pub fn superblock(
        &mut self,
        index: DeviceIndex,
        block: &mut [u8; SUPERBLOCK_BYTES],
    ) -> Option<u64> {
        let disk = self.device_mut(index)?.disk.as_mut()?;
        disk.superblock.encode(block);
        Some(disk.layout.superblock_sector())
    }

    /// The superblock is durable, or the disk failed to write it.
    pub fn superblock_written(&mut self, index: DeviceIndex, success: bool) {
        if let Some(device) = self.device_mut(index) {
            if let Some(disk) = device.disk.as_mut() {
                let metadata = &mut disk.metadata;
                metadata.superblock_in_flight = false;
                if success {
                    metadata.superblock_durable = metadata.superblock_issued;
                }
                let durable = metadata.superblock_durable;
                if metadata
                    .hold_requests_until
                    .is_some_and(|number| number <= durable)
                {
                    metadata.hold_requests_until = None;
                    device.exposed_before = 0;
                    device.retry_waiting = true;
                }
            }
        }
        // A Primary may wait for it that wants to detach.
        self.wishes.room = true;
        self.metadata_io_done(index, success);
    }

    /// Metadata arrived on the disk, or could not be written, which is always the end of the disk.
    pub(super) fn metadata_io_done(&mut self, index: DeviceIndex, success: bool) {
        self.progress = true;
        if !success {
            self.disk_failed(index, 0, true);
        }
        self.disk_io_ends(index);
    }
}
