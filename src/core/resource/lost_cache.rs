// SPDX-License-Identifier: GPL-2.0-only

//! Disks that go while their cache holds what the peer wrote.
//!
//! The peer forgets a write when its barrier is acknowledged. The C driver acknowledges it without a flush where the disk is
//! gone by then: should this node lose power, the block is old, and no mark says so. Here a disk that is detached is
//! flushed first, and for one that failed the connection is given up: the peer then marks what was not confirmed.

use super::device::{Device, DeviceIndex};
use super::Resource;
use crate::state::ConnectionState;

/// Room that is left to others in the queue of effects.
const ROOM: usize = 8;

impl Resource<'_> {
    /// Whether one of these devices cannot say any more that what was written to it is on stable storage. Then the connection
    /// is of no use.
    pub(super) fn has_lost_writes(&mut self, devices: u64) -> bool {
        let lost = self.present().any(|(index, device)| {
            devices & super::epoch::device_bit(index) != 0 && device.has_lost_writes()
        });
        if lost && self.connection.state == ConnectionState::WFReportParams {
            self.connection_failed(ConnectionState::NetworkFailure);
        }
        lost
    }

    /// A disk that works, and is about to go: true when nothing is in its cache any more.
    pub(super) fn cache_is_empty(&mut self, index: DeviceIndex) -> bool {
        let full = self
            .device(index)
            .and_then(|device| device.disk.as_ref())
            .is_some_and(|disk| !disk.failed && disk.has_unflushed_writes());
        if !full {
            return true;
        }
        if self.effect_room() < ROOM {
            self.progress = true;
        } else {
            self.start_flush(index);
        }
        false
    }
}

impl Device<'_> {
    fn has_lost_writes(&self) -> bool {
        self.lost_writes
            || self
                .disk
                .as_ref()
                .is_some_and(|disk| disk.failed && disk.has_unflushed_writes())
    }

    /// The disk is going: what it did not flush counts as lost for this connection.
    pub(super) fn note_lost_writes(&mut self) {
        self.lost_writes = self.has_lost_writes();
    }
}
