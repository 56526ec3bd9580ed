// SPDX-License-Identifier: GPL-2.0-only

//! Resync: the target asks for blocks that differ, the source sends them.
//!
//! The target keeps a window of requests open. Each is a peer request from the moment it is sent, so that what comes
//! back is known to have been asked for, and so that applications stay off the range meanwhile.
//!
//! Here is what comes back, and pauses. How a resync begins is in [`super::resync_begin`], what the target asks for in
//! [`super::resync_request`], how it ends in [`super::resync_end`].

use super::device::{Device, DeviceIndex, Resync};
use super::effect::Event;
use super::log::LogMessage;
use super::pace::Pace;
use super::peer_request::{PeerRequest, Purpose, Stage};
use super::receive::{ReceiveError, Received};
use super::Resource;
use crate::num::SECTORS_PER_BLOCK;
use crate::state::{ConnectionState, State};
use crate::wire::block::ID_SYNCER;
use crate::wire::{BlockAck, Command, Data};

/// How far apart the points are from which the speed is counted, in milliseconds.
const MARK_INTERVAL_MS: u64 = 3000;

impl Resource<'_> {
    /// A pause began or ended.
    pub(super) fn resync_pause_changed(&mut self, index: DeviceIndex, old: &State, new: &State) {
        let is_paused = |state: &State| {
            matches!(
                state.connection,
                ConnectionState::PausedSyncS | ConnectionState::PausedSyncT
            )
        };
        let now = self.now;
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let resync = &mut device.resync;
        if is_paused(new) && !is_paused(old) {
            resync.paused_at = Some(now);
            self.log(index, LogMessage::ResyncSuspended);
        } else if is_paused(old) && !is_paused(new) {
            let since = resync.paused_at.take().unwrap_or(now);
            resync.paused = resync.paused.saturating_add(now.saturating_sub(since));
            self.log(index, LogMessage::ResyncContinues);
            self.wishes.send_data = true;
        }
    }

    /// `P_RS_DATA_REPLY`
    pub(super) fn receive_resync_reply(
        &mut self,
        index: DeviceIndex,
        data: Data,
        size: u32,
    ) -> Result<Received, ReceiveError> {
        if self.effect_room() < 8 {
            return Ok(Received::Wait);
        }
        let device = self.device_mut(index).ok_or(ReceiveError::UnknownVolume)?;
        let id = device
            .awaited(Purpose::ResyncWrite, data.sector, size)
            .ok_or(ReceiveError::Malformed("blocks that were never asked for"))?;
        if let Some(peer_request) = device.peer_requests.get_mut(id) {
            peer_request.stage = Stage::Receiving;
        }
        Ok(Received::PeerPayload {
            device: index,
            peer_request: id,
            size,
            digest: self.connection.peer_integrity.size(),
        })
    }

    /// A resync is over. Answers that still come belong to no other: they are not written, for the block may have changed
    /// since they were read, and be marked.
    pub(super) fn forget_resync_requests(&mut self, index: DeviceIndex) {
        if let Some(device) = self.device_mut(index) {
            let mut given_up = false;
            for (_, request) in device.peer_requests.iter_mut() {
                request.orphaned |= matches!(
                    request.purpose,
                    Purpose::ResyncWrite | Purpose::ChecksumRequest
                );
                given_up |= request.is_given_up();
            }
            // Writes of applications need not wait for them any more.
            self.progress |= given_up && device.retry_if_any_wait();
        }
    }

    /// What a source sent for a resync that is over here is not in sync by that. The source counts its answers all the same, whichever
    /// resync it takes them for: once it is Ahead it waits for a word about each. This one is about less than a block, and
    /// clears no mark.
    pub(super) fn confirm_in_vain(&mut self, index: DeviceIndex) {
        let is_connected = self
            .device(index)
            .is_some_and(|device| device.state.connection >= ConnectionState::Connected);
        if is_connected {
            self.acknowledge(Command::ResyncWriteAck, index, 0, ID_SYNCER, 512, 0);
        }
        self.wishes.send_data = true;
    }

    /// The target wrote what the source sent.
    pub(super) fn resync_write_done(
        &mut self,
        index: DeviceIndex,
        peer_request: &PeerRequest,
        success: bool,
    ) {
        if peer_request.orphaned {
            return self.confirm_in_vain(index);
        }
        let Some(device) = self.device_mut(index) else {
            return;
        };
        device.resync.in_flight = device
            .resync
            .in_flight
            .saturating_sub(peer_request.sectors());
        device.resync.pace.delivered(peer_request.sectors());
        let command = if success {
            device.set_in_sync(peer_request.sector, peer_request.size);
            Command::ResyncWriteAck
        } else {
            device.count_failed_blocks(peer_request.sector, peer_request.size);
            Command::NegAck
        };
        self.acknowledge(
            command,
            index,
            peer_request.sector,
            ID_SYNCER,
            peer_request.size,
            0,
        );
        self.wishes.send_data = true;
        self.resync_advanced(index);
    }

    /// `P_NEG_RS_DREPLY`, `P_RS_CANCEL`: the source cannot (`failed`), or will not now, send blocks that were asked for.
    pub(super) fn resync_read_refused(
        &mut self,
        index: DeviceIndex,
        ack: BlockAck,
        failed: bool,
    ) -> Result<(), ReceiveError> {
        let device = self.device_mut(index).ok_or(ReceiveError::UnknownVolume)?;
        if let Some(id) = device.awaited(Purpose::VerifySource, ack.sector, ack.size) {
            self.verify_refused(index, id);
            return Ok(());
        }
        let id = device
            .awaited(Purpose::ResyncWrite, ack.sector, ack.size)
            .ok_or(ReceiveError::Malformed("blocks that were never asked for"))?;
        let forgotten = device
            .peer_requests
            .get(id)
            .is_some_and(|request| request.orphaned);
        if !forgotten {
            device.resync.in_flight = device
                .resync
                .in_flight
                .saturating_sub(u64::from(ack.size >> 9));
            device.resync.pace.delivered(u64::from(ack.size >> 9));
        }
        if failed && !forgotten {
            device.count_failed_blocks(ack.sector, ack.size);
        }
        self.release_peer_request(index, id);
        self.wishes.send_data = true;
        self.resync_advanced(index);
        Ok(())
    }

    /// The target could not write blocks that we sent.
    pub(super) fn resync_block_failed(&mut self, index: DeviceIndex, sector: u64, size: u32) {
        if let Some(device) = self.device_mut(index) {
            device.count_failed_blocks(sector, size);
        }
        self.resync_advanced(index);
    }

    /// Blocks came in sync, or failed for good.
    pub(super) fn resync_advanced(&mut self, index: DeviceIndex) {
        let now = self.now;
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if !device.state.connection.is_resync() {
            return;
        }
        let left = device.disk.as_ref().map_or(0, |disk| disk.bitmap.weight());
        if device.resync.note_progress(now, left) {
            self.event_if_room(Event::Progress { device: index });
        }
        self.save_resync_progress(index);
        self.finish_resync_if_done(index);
    }
}

impl Resync {
    /// Begins now, with so many blocks to go.
    pub(super) fn begun(now: u64, blocks: u64) -> Self {
        Self {
            total: blocks,
            started_at: now,
            pace: Pace::new(now),
            marks: [(now, blocks); 8],
            told_at: now,
            saved_at: now,
            ..Self::default()
        }
    }

    /// Seconds since it began, without pauses; 1 at least.
    pub(super) fn seconds(&self, now: u64) -> u64 {
        let elapsed = now
            .saturating_sub(self.started_at)
            .saturating_sub(self.paused);
        (elapsed / 1000).max(1)
    }

    /// So many blocks are left now; answers whether user space is to be told.
    pub(super) fn note_progress(&mut self, now: u64, left: u64) -> bool {
        let newest = self.marks.get(self.last_mark).map_or(0, |mark| mark.0);
        if now.saturating_sub(newest) >= MARK_INTERVAL_MS {
            self.last_mark = self.last_mark.wrapping_add(1) & 7;
            if let Some(mark) = self.marks.get_mut(self.last_mark) {
                *mark = (now, left);
            }
        }
        let tell = now.saturating_sub(self.told_at) >= 1000;
        if tell {
            self.told_at = now;
        }
        tell
    }
}

impl Device<'_> {
    /// These blocks stay marked, and the resync does not wait for them.
    pub(super) fn count_failed_blocks(&mut self, sector: u64, size: u32) {
        let last = sector
            .saturating_add(u64::from(size >> 9))
            .saturating_sub(1);
        let failed = self.disk.as_ref().map_or(0, |disk| {
            disk.bitmap
                .count_range(sector / SECTORS_PER_BLOCK, last / SECTORS_PER_BLOCK)
        });
        self.resync.failed = self.resync.failed.saturating_add(failed);
    }
}
