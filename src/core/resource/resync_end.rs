// SPDX-License-Identifier: GPL-2.0-only

//! How a resync ends: when nothing is left to do, both nodes call their data the same.

use super::device::{Device, DeviceIndex, Resync};
use super::effect::{Event, Helper};
use super::log::LogMessage;
use super::Resource;
use crate::state::{Change, ConnectionState, DiskState, Role};

impl Resource<'_> {
    /// Ends a resync in which nothing is left to do.
    pub(super) fn finish_resync_if_done(&mut self, index: DeviceIndex) {
        let Some(device) = self.device(index) else {
            return;
        };
        let state = device.state;
        if !state.connection.is_resync() {
            return;
        }
        let is_target = state.connection.is_sync_target();
        let pending = is_target
            && (device.resync.in_flight > 0
                || device
                    .disk
                    .as_ref()
                    .is_some_and(|disk| disk.metadata.superblock_pending()));
        // A target that has not heard of the start would wait for it. One that has not begun would not get what is written from here on, and
        // be done without that.
        let untold = !is_target && (self.sync_uuid_waits(index) || !device.target_begun);
        let done = device.nothing_is_left() && !pending && !untold;
        if !done || (is_target && !self.peer_has_acknowledgements(index)) {
            if let Some(device) = self.device_mut(index).filter(|_| !done) {
                device.resync.finish_after_ping = None;
            }
            return;
        }
        self.finish_resync(index, is_target);
    }

    /// Whether the source has read what we acknowledged. Our state goes over the other socket: a source of 8.4 that hears
    /// of the end before it has all acknowledgements does not finish.
    pub(super) fn peer_has_acknowledgements(&mut self, index: DeviceIndex) -> bool {
        let answered = self.connection.pings_answered;
        let Some(device) = self.device(index) else {
            return false;
        };
        match device.resync.finish_after_ping {
            Some(number) => answered >= number,
            None => {
                let number = self.send_ping();
                if let Some(device) = self.device_mut(index) {
                    device.resync.finish_after_ping = Some(number);
                }
                false
            }
        }
    }

    fn finish_resync(&mut self, index: DeviceIndex, is_target: bool) {
        let recounted = self
            .device(index)
            .is_some_and(|device| device.resync.recounted && device.resync.failed == 0);
        if is_target && recounted {
            // The source counts what failed as well, and may have ended for it: what it wrote since never came here.
            self.log(index, LogMessage::ResyncOfFailedBlocks);
            self.connection_failed(ConnectionState::NetworkFailure);
            return;
        }
        self.log_resync_result(index);
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let failed = device.resync.failed;
        let primary = device.state.role == Role::Primary;
        let mut change = Change::none().connection(ConnectionState::Connected);
        if failed > 0 {
            change = if is_target {
                change
                    .disk(DiskState::Inconsistent)
                    .peer_disk(DiskState::UpToDate)
            } else {
                change
                    .disk(DiskState::UpToDate)
                    .peer_disk(DiskState::Inconsistent)
            };
        } else {
            change = change
                .disk(DiskState::UpToDate)
                .peer_disk(DiskState::UpToDate);
            self.unify_uuids(index, is_target, primary);
        }
        if let Err(code) = self.change(index, change, true) {
            self.log(index, LogMessage::StateChangeFailed(code));
        }
        if let Some(device) = self.device_mut(index) {
            device.resync = Resync::default();
        }
        if is_target {
            self.event(Event::CallHelper {
                device: Some(index),
                helper: Helper::AfterResyncTarget,
            });
        }
    }

    /// Both have the same data, and say so.
    fn unify_uuids(&mut self, index: DeviceIndex, is_target: bool, primary: bool) {
        let Some(mut uuids) = self.own_uuids(index) else {
            return;
        };
        match self.peer_uuids(index) {
            Some(source) if is_target => uuids.finish_resync_as_target(&source, primary),
            _ => uuids.finish_resync_as_source(),
        }
        self.set_uuids(index, uuids, "updated UUIDs");
        self.peer_has_our_uuids(index);
    }

    fn log_resync_result(&mut self, index: DeviceIndex) {
        let now = self.now;
        let Some(device) = self.device(index) else {
            return;
        };
        let resync = &device.resync;
        let seconds = resync.seconds(now);
        let failed = resync.failed;
        let message = LogMessage::ResyncDone {
            seconds,
            paused: resync.paused / 1000,
            rate: resync
                .total
                .saturating_mul(4)
                .checked_div(seconds)
                .unwrap_or(0),
        };
        let (checksums, equal, total) = (resync.checksums, resync.equal_checksums, resync.total);
        self.log(index, message);
        if checksums && total > 0 {
            self.log(index, LogMessage::EqualChecksums { equal, total });
        }
        if failed > 0 {
            self.log(index, LogMessage::ResyncFailedBlocks(failed));
        }
    }
}

impl Device<'_> {
    /// Whether this is a target that has all blocks, and is about to be done.
    pub(super) fn has_nothing_to_ask_for(&self) -> bool {
        self.state.connection.is_sync_target()
            && self.nothing_is_left()
            && self.resync.in_flight == 0
    }

    /// Whether all blocks of a resync are equal, or failed.
    pub(super) fn nothing_is_left(&self) -> bool {
        let left = self.disk.as_ref().map_or(0, |disk| disk.bitmap.weight());
        left <= self.resync.failed
    }
}
