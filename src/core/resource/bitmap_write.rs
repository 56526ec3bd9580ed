// SPDX-License-Identifier: GPL-2.0-only

//! Pages of the bitmap on their way to the disk, and work on the whole bitmap.
//!
//! What has to be durable before what is written down in [`super::metadata`].

use super::activity::TransactionPhase;
use super::device::{AfterBitmap, BitmapTask, DeviceIndex, TaskPhase};
use super::effect::Effect;
use super::metadata::ROOM_FOR_EVICTION;
use super::Resource;
use crate::bitmap::PAGE_BYTES;
use crate::meta::layout::Place;
use crate::meta::superblock::MetaFlags;
use crate::state::{Change, DiskState};

/// Bitmap pages that a task keeps on their way at once.
const PAGES_AT_ONCE: u32 = 16;
/// How often a resync writes what it has done, in milliseconds: so much of it is done again after a crash. Each time costs a
/// flush of the disk.
const SAVE_INTERVAL_MS: u64 = 5000;
/// How many pages it writes then, at most: 8 GiB of blocks.
const PAGES_TO_SAVE: u32 = 64;

impl Resource<'_> {
    /// Begins work on the whole bitmap. One that is under way goes on with the new aim.
    pub(super) fn start_bitmap_task(
        &mut self,
        index: DeviceIndex,
        task: BitmapTask,
        then: AfterBitmap,
    ) {
        let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        else {
            return;
        };
        let phase = match task {
            BitmapTask::SetAll => {
                disk.superblock.flags = disk.superblock.flags.with(MetaFlags::FULL_SYNC);
                disk.bitmap.set_all();
                disk.bitmap.mark_all_dirty();
                TaskPhase::AnnounceFullSync
            }
            BitmapTask::ClearAll => {
                disk.log_suspended = false;
                disk.bitmap.clear_all();
                disk.bitmap.mark_all_dirty();
                TaskPhase::WritePages
            }
            BitmapTask::Write => TaskPhase::WritePages,
        };
        disk.metadata.task = Some((task, phase, then));
        disk.metadata.next_page = None;
        if phase == TaskPhase::AnnounceFullSync {
            let number = self.superblock_changed(index);
            if let Some(disk) = self
                .device_mut(index)
                .and_then(|device| device.disk.as_mut())
            {
                disk.metadata.task_waits_for = number;
            }
        }
        self.progress = true;
    }

    /// Sends a page on its way; it counts as clean from here on.
    pub(super) fn write_bitmap_page(&mut self, index: DeviceIndex, page: u64) {
        let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        else {
            return;
        };
        let Ok(number) = u32::try_from(page) else {
            return;
        };
        disk.bitmap.mark_clean(page);
        disk.metadata.pages_in_flight = disk.metadata.pages_in_flight.saturating_add(1);
        self.count_bitmap_write(index);
        self.disk_io_begins(index);
        self.effect(Effect::WriteBitmapPage {
            device: index,
            page: number,
        });
    }

    /// Now and then, writes what a resync has done: otherwise a crash of either node would make all of it be done again. Nobody waits
    /// for these pages, and they wait while other metadata is on its way.
    pub(super) fn save_resync_progress(&mut self, index: DeviceIndex) {
        let now = self.now;
        let has_room = self.effect_room() > ROOM_FOR_EVICTION;
        // One that is said to be idle is about to be closed.
        let Some(device) = self.device_mut(index).filter(|device| !device.idle_told) else {
            return;
        };
        let is_due = now.saturating_sub(device.resync.saved_at) >= SAVE_INTERVAL_MS;
        let can_write = device.disk.as_ref().is_some_and(|disk| {
            !disk.failed
                && disk.metadata.task.is_none()
                && disk.metadata.transaction == TransactionPhase::None
                && disk.metadata.pages_in_flight == 0
        });
        if !has_room || !is_due || !can_write {
            return;
        }
        device.resync.saved_at = now;
        for _ in 0..PAGES_TO_SAVE {
            let dirty = self
                .device(index)
                .and_then(|device| device.disk.as_ref()?.bitmap.next_dirty(0));
            let Some(page) = dirty else {
                return;
            };
            self.write_bitmap_page(index, page);
        }
    }

    /// The bytes of a page of the bitmap, and the place on the metadata device where they go.
    pub fn bitmap_page(
        &mut self,
        index: DeviceIndex,
        page: u32,
        block: &mut [u8; PAGE_BYTES],
    ) -> Option<Place> {
        let disk = self.device_mut(index)?.disk.as_mut()?;
        disk.bitmap.page_bytes(u64::from(page), block);
        disk.layout.bitmap_page(u64::from(page))
    }

    /// A page of the bitmap is durable, or the disk failed to write it.
    pub fn bitmap_page_written(&mut self, index: DeviceIndex, page: u32, success: bool) {
        if let Some(device) = self.device_mut(index) {
            device.counters.bitmap_writes = device.counters.bitmap_writes.saturating_add(1);
            if let Some(disk) = device.disk.as_mut() {
                disk.metadata.pages_in_flight = disk.metadata.pages_in_flight.saturating_sub(1);
                if !success {
                    disk.bitmap.mark_dirty(u64::from(page));
                }
            }
        }
        self.metadata_io_done(index, success);
    }

    /// The next step of work on the whole bitmap, if it is possible now.
    pub(super) fn advance_bitmap_task(&mut self, index: DeviceIndex) {
        let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        else {
            return;
        };
        let Some((task, phase, then)) = disk.metadata.task else {
            return;
        };
        match phase {
            TaskPhase::AnnounceFullSync => {
                if disk.metadata.superblock_durable >= disk.metadata.task_waits_for {
                    disk.metadata.task = Some((task, TaskPhase::WritePages, then));
                    self.advance_bitmap_task(index);
                }
            }
            TaskPhase::WritePages => {
                let to_the_last = task != BitmapTask::Write || then == AfterBitmap::Detach;
                if self.write_dirty_pages(index, to_the_last) {
                    self.pages_are_durable(index, task, then);
                }
            }
            TaskPhase::RetractFullSync => {
                if disk.metadata.superblock_durable >= disk.metadata.task_waits_for {
                    disk.metadata.task = None;
                    self.bitmap_task_done(index, then);
                }
            }
        }
    }

    /// Writes some more of the dirty pages; true when all are durable that were dirty when this began.
    ///
    /// Under load a page gets dirty again sooner than the last one is written: only `to_the_last` goes on until none is.
    fn write_dirty_pages(&mut self, index: DeviceIndex, to_the_last: bool) -> bool {
        loop {
            let room = self.effect_room() > ROOM_FOR_EVICTION;
            let Some(disk) = self
                .device_mut(index)
                .and_then(|device| device.disk.as_mut())
            else {
                return false;
            };
            if disk.metadata.transaction != TransactionPhase::None || disk.failed {
                return false;
            }
            let none_on_its_way = disk.metadata.pages_in_flight == 0;
            // Two writes of one page at once might reach the disk in any order.
            let Some(next) = disk.metadata.next_page.or(none_on_its_way.then_some(0)) else {
                return false;
            };
            let Some(page) = disk.bitmap.next_dirty(next) else {
                if none_on_its_way && to_the_last && disk.bitmap.next_dirty(0).is_some() {
                    disk.metadata.next_page = None;
                    continue;
                }
                return none_on_its_way;
            };
            if disk.metadata.pages_in_flight >= PAGES_AT_ONCE || !room {
                return false;
            }
            disk.metadata.next_page = Some(page.saturating_add(1));
            self.write_bitmap_page(index, page);
        }
    }

    fn pages_are_durable(&mut self, index: DeviceIndex, task: BitmapTask, then: AfterBitmap) {
        if task != BitmapTask::SetAll {
            if let Some(disk) = self
                .device_mut(index)
                .and_then(|device| device.disk.as_mut())
            {
                disk.metadata.task = None;
            }
            self.bitmap_task_done(index, then);
            return;
        }
        if let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        {
            disk.superblock.flags = disk.superblock.flags.without(MetaFlags::FULL_SYNC);
        }
        let number = self.superblock_changed(index);
        if let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        {
            disk.metadata.task_waits_for = number;
            disk.metadata.task = Some((task, TaskPhase::RetractFullSync, then));
        }
    }

    fn bitmap_task_done(&mut self, index: DeviceIndex, then: AfterBitmap) {
        if let Some(device) = self.device_mut(index) {
            device.retry_waiting = true;
        }
        self.progress = true;
        match then {
            AfterBitmap::Nothing => {}
            AfterBitmap::SendBitmap => self.queue_bitmap(index),
            AfterBitmap::StartSync => self.start_requested_sync(index),
            AfterBitmap::Detach => {
                let _ = self.change(index, Change::none().disk(DiskState::Failed), true);
            }
        }
    }
}
