// SPDX-License-Identifier: GPL-2.0-only

//! What the peer has this node read and write.
//!
//! Where ranges overlap, the disk sees them in the order in which the data came. Writes of a later epoch wait until the
//! earlier one is done and flushed.
//!
//! Here is the way to the disk and back. How requests arrive is in [`super::peer_received`], what the peer is told in
//! [`super::peer_answer`].

use super::device::{Device, DeviceIndex};
use super::effect::Effect;
use super::peer_answer::negative_answer;
use super::peer_request::{PeerRequest, Purpose, Stage};
use super::Resource;
use crate::slab::Id;
use crate::state::{ConnectionState, DiskState};
use crate::wire::Command;

impl<'m> Resource<'m> {
    /// The peer request of that number: what the shell has to do for it.
    pub fn peer_request(&self, index: DeviceIndex, id: Id) -> Option<&PeerRequest> {
        self.device(index)?.peer_requests.get(id)
    }

    /// Gives a peer request its place in the order, and starts it or lets it wait.
    pub(super) fn enqueue_peer_request(&mut self, index: DeviceIndex, id: Id) {
        self.place_in_order(index, id);
        self.start_or_park(index, id);
    }

    fn place_in_order(&mut self, index: DeviceIndex, id: Id) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let order = device.next_order;
        device.next_order = order.wrapping_add(1);
        let entry = device.peer_request_entry(id);
        let Some(peer_request) = device.peer_requests.get_mut(id) else {
            return;
        };
        peer_request.order = order;
        let (sector, sectors, purpose) = (
            peer_request.sector,
            peer_request.sectors(),
            peer_request.purpose,
        );
        if purpose != Purpose::Read && sectors != 0 {
            let registered =
                device.overlap.contains(entry) || device.overlap.insert(entry, sector, sectors);
            if let Some(peer_request) = device.peer_requests.get_mut(id) {
                peer_request.registered = registered;
            }
        }
    }

    /// Starts it, or puts it where it is tried again when something ended.
    pub(super) fn start_or_park(&mut self, index: DeviceIndex, id: Id) {
        if !self.try_start_peer(index, id) {
            self.park_peer_request(index, id);
        }
    }

    fn park_peer_request(&mut self, index: DeviceIndex, id: Id) {
        if let Some(device) = self.device_mut(index) {
            if device.peer_waiting.push(id).is_err() {
                self.break_down();
            }
        }
    }

    /// Gives each waiting peer request of a device one more chance.
    pub(super) fn retry_peer_waiting(&mut self, index: DeviceIndex) {
        let count = self
            .device(index)
            .map_or(0, |device| device.peer_waiting.len());
        for _ in 0..count {
            let Some(id) = self
                .device_mut(index)
                .and_then(|device| device.peer_waiting.pop())
            else {
                return;
            };
            if !self.try_start_peer(index, id) {
                self.park_peer_request(index, id);
            }
        }
    }

    fn try_start_peer(&mut self, index: DeviceIndex, id: Id) -> bool {
        let oldest_epoch = self.connection.epochs.front().map(|epoch| epoch.number);
        if self.effect_room() < 8 {
            self.retry_when_drained(index);
            return false;
        }
        let Some(device) = self.device(index) else {
            return true;
        };
        let Some(peer_request) = device.peer_requests.get(id).copied() else {
            return true;
        };
        if device.disk.is_none() || device.state.disk <= DiskState::Failed {
            self.end_peer_request(index, id, false);
            return true;
        }
        if peer_request.stage == Stage::Paced {
            if !self.may_read_for_resync(index, &peer_request) {
                return false;
            }
            self.place_in_order(index, id);
            if let Some(peer_request) = self.peer_request_mut(index, id) {
                peer_request.stage = Stage::Waiting;
            }
        }
        let Some(device) = self.device_mut(index) else {
            return true;
        };
        let Some(peer_request) = device.peer_requests.get(id).copied() else {
            return true;
        };
        if peer_request.purpose == Purpose::Write
            && device.keeps_epochs_apart()
            && oldest_epoch.is_some_and(|oldest| peer_request.epoch > oldest)
        {
            return false;
        }
        if peer_request.needs_extents && peer_request.is_write() && device.is_held() {
            // It makes this disk another generation, whose name has to be durable first.
            return false;
        }
        if device.has_earlier_overlap(id, &peer_request)
            || (peer_request.purpose == Purpose::VerifyTarget
                && device.peer_may_lack(peer_request.sector, peer_request.sectors()))
        {
            return false;
        }
        if peer_request.needs_extents
            && !self.hold_peer_extents(index, id, peer_request.sector, peer_request.sectors())
        {
            return false;
        }
        if let Some(peer_request) = self.peer_request_mut(index, id) {
            peer_request.stage = Stage::Submitted;
        }
        self.count_resync_io(index, &peer_request);
        self.disk_io_begins(index);
        self.effect(Effect::SubmitPeerRequest {
            device: index,
            peer_request: id,
        });
        true
    }

    /// The backing disk ended a peer request.
    pub fn peer_io_done(&mut self, index: DeviceIndex, id: Id, success: bool) {
        let found = self.peer_request_mut(index, id).map(|request| *request);
        if success && found.is_some_and(|request| request.is_write()) {
            // First of all: a disk that is about to go is flushed.
            self.data_written(index);
        }
        self.disk_io_ends(index);
        let (Some(device), Some(peer_request)) = (self.device_mut(index), found) else {
            return;
        };
        let sectors = peer_request.sectors();
        if success && peer_request.is_write() {
            device.counters.written = device.counters.written.saturating_add(sectors);
        } else if success {
            device.counters.read = device.counters.read.saturating_add(sectors);
        } else {
            self.disk_failed(index, peer_request.sector, false);
        }
        self.end_peer_request(index, id, success);
    }

    /// Answers the peer and forgets the request, or sends the data first.
    fn end_peer_request(&mut self, index: DeviceIndex, id: Id, success: bool) {
        let Some(peer_request) = self.peer_request_mut(index, id).map(|request| *request) else {
            return;
        };
        match peer_request.purpose {
            Purpose::Write => {
                self.unregister_peer_request(index, id);
                self.answer_write(index, &peer_request, success);
                self.release_peer_request(index, id);
                self.write_left_epoch(peer_request.epoch);
            }
            Purpose::ResyncWrite => {
                self.unregister_peer_request(index, id);
                self.release_peer_request(index, id);
                self.resync_write_done(index, &peer_request, success);
            }
            _ if peer_request.orphaned => {
                self.unregister_peer_request(index, id);
                self.release_peer_request(index, id);
            }
            Purpose::ResyncRead | Purpose::ChecksumRead
                if self.is_cancelled(index, peer_request.purpose) =>
            {
                self.cancel_resync_read(index, id, &peer_request);
            }
            Purpose::Read | Purpose::ResyncRead if success => {
                self.queue_reply(index, id);
                // From here on the order of the stream does what the overlap index did.
                self.unregister_peer_request(index, id);
            }
            // The disk went before the read began.
            Purpose::VerifyTarget
                if !success && matches!(peer_request.stage, Stage::Paced | Stage::Waiting) =>
            {
                self.acknowledge_peer_request(Command::NegResyncDataReply, index, &peer_request);
                self.release_peer_request(index, id);
            }
            Purpose::Read | Purpose::ResyncRead | Purpose::ChecksumRead if !success => {
                self.unregister_peer_request(index, id);
                let command = negative_answer(peer_request.purpose);
                self.acknowledge_peer_request(command, index, &peer_request);
                self.release_peer_request(index, id);
                if peer_request.purpose != Purpose::Read {
                    self.resync_block_failed(index, peer_request.sector, peer_request.size);
                }
            }
            Purpose::ChecksumRequest if !success => self.ask_without_digest(index, id),
            Purpose::VerifySource if !success => {
                self.block_not_verified(index, id, &peer_request);
            }
            // A block that the verified side cannot read gets a digest that nobody else has.
            _ => self.ask_for_digest(index, id),
        }
    }

    /// A resync ends where its source pulls ahead: the target has to ask again.
    pub(super) fn is_cancelled(&self, index: DeviceIndex, purpose: Purpose) -> bool {
        matches!(purpose, Purpose::ResyncRead | Purpose::ChecksumRead)
            && self
                .device(index)
                .is_some_and(|device| device.state.connection == ConnectionState::Ahead)
    }

    /// This node is Ahead: the target is not told what it has. It will hear of all blocks that differ.
    pub(super) fn cancel_resync_read(
        &mut self,
        index: DeviceIndex,
        id: Id,
        peer_request: &PeerRequest,
    ) {
        self.unregister_peer_request(index, id);
        self.acknowledge_peer_request(Command::ResyncCancel, index, peer_request);
        self.release_peer_request(index, id);
    }

    /// Forgets a peer request; the shell frees its pages.
    pub(super) fn release_peer_request(&mut self, index: DeviceIndex, id: Id) {
        self.unregister_peer_request(index, id);
        let Some(peer_request) = self.peer_request_mut(index, id) else {
            return;
        };
        if peer_request.stage == Stage::Released {
            return;
        }
        peer_request.stage = Stage::Released;
        let holds = peer_request
            .holds_extents
            .then(|| (peer_request.sector, peer_request.sectors()));
        peer_request.holds_extents = false;
        if let Some((sector, sectors)) = holds {
            self.release_extents(index, sector, sectors);
        }
        self.effect(Effect::ReleasePeerRequest {
            device: index,
            peer_request: id,
        });
    }

    /// The shell is about to free the pages.
    pub(super) fn peer_request_released(&mut self, index: DeviceIndex, id: Id) {
        if let Some(device) = self.device_mut(index) {
            if let Some(removed) = device.peer_requests.remove(id) {
                if removed.has_data_of_peer() {
                    device.buffered = device.buffered.saturating_sub(removed.sectors());
                }
                self.peer_requests = self.peer_requests.saturating_sub(1);
            }
        }
        self.wishes.room = true;
    }

    /// It does not hold up other I/O to its range any more.
    pub(super) fn unregister_peer_request(&mut self, index: DeviceIndex, id: Id) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let entry = device.peer_request_entry(id);
        let Some(peer_request) = device.peer_requests.get_mut(id) else {
            return;
        };
        if core::mem::replace(&mut peer_request.registered, false) {
            device.overlap.remove(entry);
            self.progress |= device.retry_if_any_wait();
        }
    }

    /// The peer request of that number, to be changed.
    pub(super) fn peer_request_mut(
        &mut self,
        index: DeviceIndex,
        id: Id,
    ) -> Option<&mut PeerRequest> {
        self.device_mut(index)?.peer_requests.get_mut(id)
    }
}

impl Device<'_> {
    /// Whether the writes of an epoch wait for those of the epoch before. With neither `disk-flushes` nor `disk-drain` the
    /// administrator says that the disk below keeps the order by itself, or that it does not matter.
    fn keeps_epochs_apart(&self) -> bool {
        self.disk
            .as_ref()
            .is_none_or(|disk| disk.conf.disk_flushes || disk.conf.disk_drain)
    }

    /// Whether a range that came, or was started, before overlaps.
    fn has_earlier_overlap(&self, id: Id, peer_request: &PeerRequest) -> bool {
        if peer_request.size == 0 {
            return false;
        }
        let own = self.peer_request_entry(id);
        self.overlap
            .find(peer_request.sector, peer_request.sectors(), |entry| {
                if entry == own {
                    return false;
                }
                match self.peer_request_of(entry) {
                    // An application's write: only what the peer compares or copies has to wait for it.
                    None => matches!(
                        peer_request.purpose,
                        Purpose::ResyncRead | Purpose::ChecksumRead | Purpose::VerifyTarget
                    ),
                    Some((_, other)) => other.order < peer_request.order,
                }
            })
            .is_some()
    }
}
