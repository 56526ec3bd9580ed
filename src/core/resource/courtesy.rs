// SPDX-License-Identifier: GPL-2.0-only

//! A resync, or a verify, and others who use the same backing disk: what both sides know of each other, and who goes first.

use super::device::{Device, DeviceIndex, Disk};
use super::pace::Goal;
use super::peer_request::{PeerRequest, Purpose, Stage};
use super::Resource;
use crate::num::SECTORS_PER_BLOCK;
use crate::state::{ConnectionState, Role};

impl Resource<'_> {
    /// Whether the shell should say how much the backing disk has done ([`disk_activity`](Self::disk_activity)). Asked
    /// before [`timer`](Self::timer).
    pub fn wants_disk_activity(&self, index: DeviceIndex) -> bool {
        self.device(index).is_some_and(|device| {
            device.disk.is_some() && device.shares_disk() && device.courtesy.is_due(self.now)
        })
    }

    /// The backing disk has done so many sectors since it exists, for whomever: reads, writes and discards.
    pub fn disk_activity(&mut self, index: DeviceIndex, sectors: u64) {
        let now = self.now;
        if let Some(device) = self.device_mut(index) {
            device.courtesy.look(now, sectors);
        }
    }

    /// What the options of a disk and of the connection say about the speed of a resync.
    pub(super) fn resync_goal(&self, disk: &Disk<'_>) -> Goal {
        let max_buffers = self
            .connection
            .conf
            .as_ref()
            .map_or(2048, |conf| conf.max_buffers);
        Goal::new(&disk.conf, max_buffers)
    }

    /// Whether a read for a target, or for a node that verifies, may start: not while others use the disk and it has had
    /// its share. A Primary that is the target waits for this data itself, and one that verifies asks for less.
    pub(super) fn may_read_for_resync(
        &mut self,
        index: DeviceIndex,
        peer_request: &PeerRequest,
    ) -> bool {
        let now = self.now;
        let Some(device) = self.device_mut(index) else {
            return true;
        };
        let serves = matches!(
            device.state.connection,
            ConnectionState::SyncSource | ConnectionState::VerifyT
        );
        let keeps_out = serves && device.state.peer != Role::Primary && !peer_request.orphaned;
        if !keeps_out {
            return true;
        }
        let least = device.disk.as_ref().map_or(0, |disk| disk.conf.c_min_rate);
        device.courtesy.may_read(now, least, peer_request.sectors())
    }

    /// Reads for the peer that kept out of the way get another chance.
    pub(super) fn retry_paced_reads(&mut self) {
        for index in self.indices() {
            let waits = self.device(index).is_some_and(|device| {
                !device.peer_waiting.is_empty()
                    && device
                        .peer_requests
                        .iter()
                        .any(|(_, request)| request.stage == Stage::Paced)
            });
            if waits {
                self.retry_when_drained(index);
            }
        }
    }

    /// A resync or a verify starts I/O of its own.
    pub(super) fn count_resync_io(&mut self, index: DeviceIndex, peer_request: &PeerRequest) {
        if !matches!(
            peer_request.purpose,
            Purpose::ResyncRead
                | Purpose::ResyncWrite
                | Purpose::ChecksumRead
                | Purpose::ChecksumRequest
                | Purpose::VerifySource
                | Purpose::VerifyTarget
        ) {
            return;
        }
        if let Some(device) = self.device_mut(index) {
            device.courtesy.own_io(peer_request.sectors());
        }
    }

    /// A page of the bitmap goes to the disk: the resync's doing as well.
    pub(super) fn count_bitmap_write(&mut self, index: DeviceIndex) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let same_disk = device
            .disk
            .as_ref()
            .is_some_and(|disk| disk.conf.has_internal_metadata());
        if same_disk {
            device.courtesy.own_io(SECTORS_PER_BLOCK);
        }
    }
}

impl Device<'_> {
    /// Whether a resync or a verify goes on that somebody else may suffer from.
    fn shares_disk(&self) -> bool {
        matches!(
            self.state.connection,
            ConnectionState::SyncSource
                | ConnectionState::SyncTarget
                | ConnectionState::VerifyS
                | ConnectionState::VerifyT
        )
    }

    /// The longest request that a target, or a node that verifies, may make now, in sectors; 0 means to wait.
    pub(super) fn resync_allowance(&mut self, now: u64, goal: &Goal) -> u64 {
        let least = self.disk.as_ref().map_or(0, |disk| disk.conf.c_min_rate);
        let rate = self.courtesy.rate(now, least);
        let in_flight = self.resync.in_flight;
        self.resync.pace.allowance(now, in_flight, goal, rate)
    }
}
