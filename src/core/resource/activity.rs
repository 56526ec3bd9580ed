// SPDX-License-Identifier: GPL-2.0-only

//! Which extents may be written: the activity log in memory, and its transactions on their way to the disk.
//!
//! What has to be durable before what is written down in [`super::metadata`].

use super::device::{Device, DeviceIndex};
use super::effect::Effect;
use super::Resource;
use crate::activity_log::{Access, Outcome};
use crate::bitmap::page_of_al_extent;
use crate::meta::transaction::{seal, TRANSACTION_BYTES};
use crate::num::SECTORS_PER_AL_EXTENT;
use crate::slab::Id;
use crate::state::ConnectionState;

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
        self.progress |= device.retry_if_any_wait();
    }

    /// Begins a transaction if writes wait for extents, and none is on its way.
    pub(super) fn begin_transaction(&mut self, index: DeviceIndex) {
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

    /// The next step of a transaction that has begun, if it is possible now.
    pub(super) fn advance_transaction(&mut self, index: DeviceIndex) {
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
}
