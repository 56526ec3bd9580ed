// SPDX-License-Identifier: GPL-2.0-only

//! Epochs of the peer: what is between two of its barriers reaches the disk before what follows.
//!
//! A barrier is acknowledged when all writes of its epoch are done and the disks that got them are flushed. Writes of the
//! next epoch are received meanwhile, and wait.

use super::connection::{MetaItem, ReceiveEpoch};
use super::device::DeviceIndex;
use super::receive::{ReceiveError, Received};
use super::Resource;
use crate::state::DiskState;

impl Resource<'_> {
    /// Counts a write of the peer, and names its epoch.
    pub(super) fn count_write_in_epoch(&mut self, index: DeviceIndex, active: bool) -> u64 {
        let open = self.connection.epochs.len().checked_sub(1).filter(|last| {
            self.connection
                .epochs
                .get(*last)
                .is_some_and(|epoch| epoch.barrier.is_none())
        });
        let last = match open {
            Some(last) => last,
            None => {
                self.open_epoch();
                self.connection.epochs.len().saturating_sub(1)
            }
        };
        let Some(epoch) = self.connection.epochs.get_mut(last) else {
            return 0;
        };
        epoch.writes = epoch.writes.saturating_add(1);
        if active {
            epoch.active = epoch.active.saturating_add(1);
            epoch.devices |= device_bit(index);
        }
        epoch.number
    }

    fn open_epoch(&mut self) {
        let number = self.connection.next_epoch;
        self.connection.next_epoch = number.wrapping_add(1);
        let epoch = ReceiveEpoch {
            number,
            ..ReceiveEpoch::EMPTY
        };
        if self.connection.epochs.push(epoch).is_err() {
            self.break_down();
        }
    }

    /// `P_BARRIER`
    pub(super) fn receive_barrier(&mut self, barrier: u32) -> Result<Received, ReceiveError> {
        if self.connection.epochs.room() < 2 || self.connection.meta_queue.room() < 64 {
            return Ok(Received::Wait);
        }
        let is_open =
            |epoch: Option<&ReceiveEpoch>| epoch.is_some_and(|epoch| epoch.barrier.is_none());
        let last = self.connection.epochs.len().wrapping_sub(1);
        if !is_open(self.connection.epochs.get(last)) {
            self.open_epoch();
        }
        let last = self.connection.epochs.len().wrapping_sub(1);
        if let Some(epoch) = self.connection.epochs.get_mut(last) {
            epoch.barrier = Some(barrier);
        }
        self.advance_epochs();
        Ok(Received::Done)
    }

    /// A write of the peer is done.
    pub(super) fn write_left_epoch(&mut self, number: u64) {
        for offset in 0..self.connection.epochs.len() {
            if let Some(epoch) = self.connection.epochs.get_mut(offset) {
                if epoch.number == number {
                    epoch.active = epoch.active.saturating_sub(1);
                    break;
                }
            }
        }
        self.advance_epochs();
    }

    /// A flush that a barrier waits for is done.
    pub fn flush_done(&mut self, index: DeviceIndex, success: bool) {
        let last = self.flush_ended(index, success);
        self.disk_io_ends(index);
        if !success {
            // It may go on (`on-io-error pass_on`): nobody knows any more what of its cache it has kept.
            if let Some(device) = self.device_mut(index) {
                device.lost_writes = true;
            }
            self.disk_failed(index, 0, false);
        }
        if let Some(epoch) = self.connection.epochs.front_mut().filter(|_| last) {
            epoch.flushing &= !device_bit(index);
        }
        self.advance_epochs();
    }

    /// Ends epochs, oldest first, as far as they are done.
    fn advance_epochs(&mut self) {
        while let Some(epoch) = self.connection.epochs.front().copied() {
            let Some(barrier) = epoch.barrier else {
                return;
            };
            if epoch.active > 0 || epoch.flushing > 0 {
                return;
            }
            if !epoch.flush_started {
                if self.effect_room() < super::MAX_VOLUMES.saturating_add(8) {
                    self.progress = true;
                    return;
                }
                self.start_flushes(epoch.devices);
                continue;
            }
            // Nor is a later one then. But what waits for the end of this epoch goes on: the link ends after it.
            self.connection.barrier_lost |= self.has_lost_writes(epoch.devices);
            self.connection.epochs.pop();
            if !self.connection.barrier_lost {
                self.send_meta(MetaItem::BarrierAck {
                    barrier,
                    set_size: epoch.writes,
                });
            }
            self.wishes.room = true;
            let mut waits = false;
            for device in self.devices_mut() {
                waits |= device.retry_if_any_wait();
            }
            self.progress |= waits;
        }
    }

    fn start_flushes(&mut self, devices: u64) {
        let mut flushing = 0u64;
        for index in self.indices() {
            let flushes = devices & device_bit(index) != 0
                && self.device(index).is_some_and(|device| {
                    device.state.disk >= DiskState::Failed
                        && device.disk.as_ref().is_some_and(|disk| {
                            disk.volatile_cache && disk.conf.disk_flushes && !disk.failed
                        })
                });
            if flushes {
                flushing |= device_bit(index);
                self.start_flush(index);
            }
        }
        if let Some(epoch) = self.connection.epochs.front_mut() {
            epoch.flush_started = true;
            epoch.flushing = flushing;
        }
    }

    pub(super) fn retry_epochs(&mut self) {
        self.advance_epochs();
    }
}

pub(super) fn device_bit(index: DeviceIndex) -> u64 {
    1u64.checked_shl(u32::from(index.0)).unwrap_or(0)
}
