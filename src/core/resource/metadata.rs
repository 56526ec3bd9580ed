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

use super::connection::Phase;
use super::device::{
    AfterBitmap, BitmapTask, Device, DeviceIndex, Disk, MetadataWriter, TaskPhase,
};
use super::effect::{Effect, Event, Helper};
use super::log::LogMessage;
use super::Resource;
use crate::activity_log::{Access, Outcome};
use crate::bitmap::{page_of_al_extent, PAGE_BYTES};
use crate::config::policy::OnIoError;
use crate::meta::layout::Place;
use crate::meta::superblock::{MetaFlags, SUPERBLOCK_BYTES};
use crate::meta::transaction::{seal, TRANSACTION_BYTES};
use crate::num::SECTORS_PER_AL_EXTENT;
use crate::slab::Id;
use crate::state::{Change, ConnectionState, DiskState};

/// Bitmap pages that a task keeps on their way at once.
const PAGES_AT_ONCE: u32 = 16;
/// Effects that one step here may need: an eviction writes up to 64 pages.
const ROOM_FOR_EVICTION: usize = 96;

/// How far an activity-log transaction has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionPhase {
    /// There is none.
    #[default]
    None,
    /// Pages that were on their way have to arrive first.
    Draining,
    /// The pages of evicted extents are on their way.
    Pages,
    /// The transaction itself is on its way.
    Writing,
}

/// The extents of the activity log that a range of sectors touches, first and last.
fn extents_of(sector: u64, sectors: u64) -> (u32, u32) {
    let last = sector.saturating_add(sectors).saturating_sub(1);
    let extent = |sector: u64| u32::try_from(sector / SECTORS_PER_AL_EXTENT).unwrap_or(u32::MAX);
    (extent(sector), extent(last))
}

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
    fn all_out_of_sync(&self) -> bool {
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

impl Device<'_> {
    /// Takes references to the extents of a range, unless `held` says that it has them; true when they are hot.
    pub(super) fn extents_are_hot(&mut self, held: &mut bool, sector: u64, sectors: u64) -> bool {
        let Some(disk) = self.disk.as_mut() else {
            return true;
        };
        disk.log_suspended &= disk.all_out_of_sync();
        if sectors == 0 || (disk.log_suspended && !*held) {
            return true;
        }
        let (first, last) = extents_of(sector, sectors);
        if *held {
            return disk.activity_log.is_hot(first, last);
        }
        match disk.activity_log.get_range(first, last) {
            Access::Hot => {
                *held = true;
                true
            }
            Access::Pending | Access::NeedTransaction => {
                *held = true;
                false
            }
            Access::Full => false,
        }
    }
}

impl Resource<'_> {
    /// Whether a request's extents are hot; asks for it where they are not.
    pub(super) fn hold_extents(
        &mut self,
        index: DeviceIndex,
        id: Id,
        sector: u64,
        sectors: u64,
    ) -> bool {
        let Some(device) = self.device_mut(index) else {
            return true;
        };
        let mut held = device
            .requests
            .get(id)
            .is_some_and(|request| request.holds_extents);
        let hot = device.extents_are_hot(&mut held, sector, sectors);
        if let Some(request) = device.requests.get_mut(id) {
            request.holds_extents = held;
        }
        self.progress |= !hot;
        hot
    }

    /// The same for a peer request.
    pub(super) fn hold_peer_extents(
        &mut self,
        index: DeviceIndex,
        id: Id,
        sector: u64,
        sectors: u64,
    ) -> bool {
        let Some(device) = self.device_mut(index) else {
            return true;
        };
        let mut held = device
            .peer_requests
            .get(id)
            .is_some_and(|request| request.holds_extents);
        let hot = device.extents_are_hot(&mut held, sector, sectors);
        if let Some(peer_request) = device.peer_requests.get_mut(id) {
            peer_request.holds_extents = held;
        }
        self.progress |= !hot;
        hot
    }

    /// Where all blocks are out of sync already, writes need not be in the activity log, until there is a connection.
    pub(super) fn suspend_activity_log(&mut self, index: DeviceIndex) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let alone = device.state.connection < ConnectionState::Connected;
        if let Some(disk) = device.disk.as_mut() {
            disk.log_suspended = alone && disk.all_out_of_sync();
        }
    }

    /// Gives the references of a range back.
    pub(super) fn release_extents(&mut self, index: DeviceIndex, sector: u64, sectors: u64) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if let Some(disk) = device.disk.as_mut() {
            let (first, last) = extents_of(sector, sectors);
            disk.activity_log.put_range(first, last);
        }
        if !device.waiting.is_empty() || !device.peer_waiting.is_empty() {
            device.retry_waiting = true;
            self.progress = true;
        }
    }

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

    fn metadata_io_done(&mut self, index: DeviceIndex, success: bool) {
        self.progress = true;
        if !success {
            self.disk_failed(index, 0, true);
        }
        self.disk_io_ends(index);
    }

    fn begin_transaction(&mut self, index: DeviceIndex) {
        if let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        {
            if disk.metadata.transaction == TransactionPhase::None
                && !disk.failed
                && disk.activity_log.begin_transaction().is_some()
            {
                disk.metadata.transaction = TransactionPhase::Draining;
            }
        }
    }

    fn advance_transaction(&mut self, index: DeviceIndex) {
        let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        else {
            return;
        };
        if disk.failed
            && disk.metadata.pages_in_flight == 0
            && matches!(
                disk.metadata.transaction,
                TransactionPhase::Draining | TransactionPhase::Pages
            )
        {
            // It waited for a flush, or for a page, and the disk was given up meanwhile: nothing new begins there.
            self.end_transaction(index, Outcome::Failed);
            return;
        }
        if disk.metadata.transaction == TransactionPhase::Draining
            && disk.metadata.pages_in_flight == 0
        {
            disk.metadata.transaction = TransactionPhase::Pages;
            self.write_evicted_pages(index);
        }
        let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        else {
            return;
        };
        if disk.metadata.transaction != TransactionPhase::Pages
            || disk.metadata.pages_in_flight != 0
        {
            return;
        }
        if disk.conf.al_updates {
            disk.metadata.transaction = TransactionPhase::Writing;
            self.disk_io_begins(index);
            self.effect(Effect::WriteActivityLog { device: index });
        } else {
            self.end_transaction(index, Outcome::Skipped);
        }
    }

    fn write_evicted_pages(&mut self, index: DeviceIndex) {
        let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        else {
            return;
        };
        let mut pages = [0u64; crate::meta::transaction::UPDATES_PER_TRANSACTION];
        let mut count = 0usize;
        for extent in disk.activity_log.evicted() {
            let page = page_of_al_extent(extent);
            let known = pages
                .get(..count)
                .is_some_and(|pages| pages.contains(&page));
            if !known && disk.bitmap.is_dirty(page) {
                if let Some(slot) = pages.get_mut(count) {
                    *slot = page;
                    count = count.saturating_add(1);
                }
            }
        }
        for page in pages.get(..count).unwrap_or(&[]) {
            self.write_bitmap_page(index, *page);
        }
    }

    fn write_bitmap_page(&mut self, index: DeviceIndex, page: u64) {
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
        disk.metadata.next_page = page.saturating_add(1);
        self.count_bitmap_write(index);
        self.disk_io_begins(index);
        self.effect(Effect::WriteBitmapPage {
            device: index,
            page: number,
        });
    }

    /// The bytes of the activity-log transaction that is to be written, and where they go.
    pub fn activity_log_block(
        &mut self,
        index: DeviceIndex,
        block: &mut [u8; TRANSACTION_BYTES],
    ) -> Option<u64> {
        let disk = self.device_mut(index)?.disk.as_mut()?;
        disk.activity_log.encode(block);
        seal(block);
        Some(
            disk.layout
                .transaction(disk.activity_log.tr_number())
                .sector,
        )
    }

    /// The transaction is durable, or the disk failed to write it.
    pub fn activity_log_written(&mut self, index: DeviceIndex, success: bool) {
        if let Some(device) = self.device_mut(index) {
            device.counters.activity_log_writes =
                device.counters.activity_log_writes.saturating_add(1);
        }
        self.end_transaction(
            index,
            if success {
                Outcome::Written
            } else {
                Outcome::Failed
            },
        );
        self.metadata_io_done(index, success);
    }

    fn end_transaction(&mut self, index: DeviceIndex, outcome: Outcome) {
        self.progress = true;
        if let Some(device) = self.device_mut(index) {
            if let Some(disk) = device.disk.as_mut() {
                disk.activity_log.end_transaction(outcome);
                disk.metadata.transaction = TransactionPhase::None;
            }
            device.retry_waiting = true;
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

    fn advance_bitmap_task(&mut self, index: DeviceIndex) {
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
                if self.write_dirty_pages(index) {
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

    /// Writes some more of the dirty pages; true when all are durable.
    fn write_dirty_pages(&mut self, index: DeviceIndex) -> bool {
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
            let next = if disk.metadata.pages_in_flight == 0 {
                0
            } else {
                disk.metadata.next_page
            };
            let Some(page) = disk.bitmap.next_dirty(next) else {
                // What was changed again while it was on its way waits for the others.
                return disk.metadata.pages_in_flight == 0;
            };
            if disk.metadata.pages_in_flight >= PAGES_AT_ONCE || !room {
                return false;
            }
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

    /// The backing disk failed: what the administrator configured for that happens. Metadata that cannot be written is
    /// always the end of the disk.
    pub(super) fn disk_failed(&mut self, index: DeviceIndex, sector: u64, metadata: bool) {
        let Some(device) = self.device(index) else {
            return;
        };
        let Some(disk) = device.disk.as_ref() else {
            return;
        };
        if disk.failed {
            return;
        }
        let policy = disk.conf.on_io_error;
        let state = device.state.disk;
        self.log(index, LogMessage::LocalIoError { sector, metadata });
        if policy == OnIoError::PassOn && !metadata {
            if state > DiskState::Inconsistent {
                let _ = self.change(index, Change::none().disk(DiskState::Inconsistent), true);
            }
            return;
        }
        if let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        {
            disk.failed = true;
        }
        if policy == OnIoError::CallHelper {
            self.event(Event::CallHelper {
                device: Some(index),
                helper: Helper::LocalIoError,
            });
        }
        let _ = self.change(index, Change::none().disk(DiskState::Failed), true);
    }

    /// A disk that is to go does so once nothing is on its way to it.
    pub(super) fn detach_when_idle(&mut self, index: DeviceIndex) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let Some(disk) = device.disk.as_mut() else {
            return;
        };
        if device.state.disk > DiskState::Failed || disk.in_flight > 0 {
            return;
        }
        if !disk.failed && !disk.metadata.is_idle() {
            return;
        }
        if device.state.disk == DiskState::Failed {
            if !self.cache_is_empty(index) {
                return;
            }
            if let Some(device) = self.device_mut(index) {
                device.note_lost_writes();
            }
            let _ = self.change(index, Change::none().disk(DiskState::Diskless), true);
        }
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if device.state.disk == DiskState::Diskless && !device.idle_told {
            device.idle_told = true;
            self.event(Event::DiskIsIdle { device: index });
        }
    }

    /// Carries on wherever something became possible.
    pub(super) fn make_progress(&mut self) {
        if !core::mem::take(&mut self.progress) {
            return;
        }
        self.retry_epochs();
        for index in self.indices() {
            let Some(device) = self.device_mut(index) else {
                continue;
            };
            if core::mem::take(&mut device.retry_waiting) {
                self.retry_peer_waiting(index);
                self.retry_waiting(index);
            }
            self.advance_metadata(index);
        }
        if self.connection.phase != Phase::Down {
            self.wishes.send_data = true;
        }
    }
}
