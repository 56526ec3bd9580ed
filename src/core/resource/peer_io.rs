// SPDX-License-Identifier: GPL-2.0-only

//! What the peer has this node read and write.
//!
//! Where ranges overlap, the disk sees them in the order in which the data came. Writes of a later epoch wait until the
//! earlier one is done and flushed.

use super::connection::MetaItem;
use super::device::{Device, DeviceIndex};
use super::effect::Effect;
use super::peer_request::{PeerRequest, Purpose, Stage};
use super::receive::{ReceiveError, Received};
use super::request::Operation;
use super::Resource;
use crate::config::policy::Protocol;
use crate::num::{u32_to_usize, usize_to_u64, SECTORS_PER_BLOCK};
use crate::slab::Id;
use crate::state::{ConnectionState, DiskState};
use crate::wire::{BlockRequest, Command, DataFlags};

/// A write of the peer, from whichever packet.
pub(super) struct PeerWrite {
    pub operation: Operation,
    pub sector: u64,
    pub size: u32,
    pub block_id: u64,
    pub sequence: u32,
    pub flags: DataFlags,
}

impl<'m> Resource<'m> {
    /// The peer request of that number: what the shell has to do for it.
    pub fn peer_request(&self, index: DeviceIndex, id: Id) -> Option<&PeerRequest> {
        self.device(index)?.peer_requests.get(id)
    }

    /// `P_DATA`, `P_TRIM`, `P_ZEROES`.
    pub(super) fn receive_write(
        &mut self,
        index: DeviceIndex,
        write: PeerWrite,
    ) -> Result<Received, ReceiveError> {
        self.peer_uses_data(index);
        let Some(device) = self.device(index) else {
            return Err(ReceiveError::UnknownVolume);
        };
        let has_payload = write.operation == Operation::Write;
        if write.size == 0 && has_payload {
            // An empty write was how very old peers asked for a flush.
            return Err(ReceiveError::Malformed("a write without data"));
        }
        if write.size % 512 != 0 || !device.holds(write.sector, u64::from(write.size >> 9)) {
            return Err(ReceiveError::Malformed("a range outside the device"));
        }
        if self.meta_room() == 0 || self.effect_room() < 8 || self.connection.epochs.room() < 2 {
            return Ok(Received::Wait);
        }
        if has_payload && !self.has_buffers_for(write.size) {
            return Ok(Received::Wait);
        }
        if device.state.disk < DiskState::Inconsistent {
            self.count_write_in_epoch(index, false);
            self.acknowledge(
                Command::NegAck,
                index,
                write.sector,
                write.block_id,
                write.size,
                write.sequence,
            );
            return Ok(if has_payload {
                Received::Skip
            } else {
                Received::Done
            });
        }
        let peer_is_diskless = device.peer_is_diskless();
        self.peer_writes_here_alone(index);
        let peer_request = PeerRequest {
            purpose: Purpose::Write,
            operation: write.operation,
            sector: write.sector,
            size: write.size,
            block_id: write.block_id,
            sequence: write.sequence,
            flags: write.flags,
            epoch: 0,
            order: u64::MAX,
            stage: Stage::Receiving,
            orphaned: false,
            registered: false,
            needs_extents: peer_is_diskless,
            holds_extents: false,
            thin: false,
            zeros: false,
            sending: false,
        };
        let Some(device) = self.device_mut(index) else {
            return Err(ReceiveError::UnknownVolume);
        };
        let Ok(id) = device.peer_requests.insert(peer_request) else {
            return Ok(Received::Wait);
        };
        self.peer_requests = self.peer_requests.saturating_add(1);
        let epoch = self.count_write_in_epoch(index, true);
        if let Some(peer_request) = self.peer_request_mut(index, id) {
            peer_request.epoch = epoch;
        }
        if has_payload {
            let buffered = &mut self.connection.buffered;
            *buffered = buffered.saturating_add(u64::from(write.size >> 9));
            return Ok(Received::PeerPayload {
                device: index,
                peer_request: id,
                size: write.size,
                digest: self.connection.peer_integrity.size(),
            });
        }
        self.peer_payload_received(index, id, true);
        Ok(Received::Done)
    }

    /// Whether the data of one more write may be kept (`max-buffers`). One always may.
    fn has_buffers_for(&self, size: u32) -> bool {
        let connection = &self.connection;
        let most = connection
            .conf
            .as_ref()
            .map_or(2048, |conf| u64::from(conf.max_buffers))
            .saturating_mul(SECTORS_PER_BLOCK);
        let wanted = connection.buffered.saturating_add(u64::from(size >> 9));
        connection.buffered == 0 || wanted <= most
    }

    /// `P_DATA_REQUEST`, `P_RS_DATA_REQUEST` and their cousins: the peer wants data, or its digest. `digest`: bytes of the
    /// peer's own digest that follow.
    pub(super) fn receive_read(
        &mut self,
        index: DeviceIndex,
        read: BlockRequest,
        purpose: Purpose,
        thin: bool,
        digest: u32,
    ) -> Result<Received, ReceiveError> {
        if purpose == Purpose::Read {
            self.peer_uses_data(index);
        }
        let Some(device) = self.device(index) else {
            return Err(ReceiveError::UnknownVolume);
        };
        let sectors = u64::from(read.size >> 9);
        let limit = crate::wire::data::max_bio_size_of_peer(self.connection.agreed_protocol);
        if read.size == 0
            || read.size % 512 != 0
            || read.size > limit
            || !device.holds(read.sector, sectors)
        {
            return Err(ReceiveError::Malformed("a range outside the device"));
        }
        if self.meta_room() == 0 || self.effect_room() < 8 || self.data_room() < 64 {
            return Ok(Received::Wait);
        }
        let needed = match purpose {
            Purpose::Read => DiskState::UpToDate,
            // A verify does not judge what the disk is worth.
            Purpose::VerifyTarget => DiskState::Inconsistent,
            _ => DiskState::Outdated,
        };
        if device.state.disk < needed {
            let command = negative_answer(purpose);
            self.acknowledge(command, index, read.sector, read.block_id, read.size, 0);
            return Ok(if digest > 0 {
                Received::Skip
            } else {
                Received::Done
            });
        }
        if self.is_cancelled(index, purpose) {
            let command = Command::ResyncCancel;
            self.acknowledge(command, index, read.sector, read.block_id, read.size, 0);
            return Ok(if digest > 0 {
                Received::Skip
            } else {
                Received::Done
            });
        }
        let run = self.device(index).map_or(0, |device| device.verify.run);
        let Some(device) = self.device_mut(index) else {
            return Err(ReceiveError::UnknownVolume);
        };
        let peer_request = PeerRequest {
            purpose,
            operation: Operation::Read,
            sector: read.sector,
            size: read.size,
            block_id: read.block_id,
            sequence: 0,
            flags: DataFlags::NONE,
            epoch: run,
            order: u64::MAX,
            stage: if digest > 0 {
                Stage::Receiving
            } else if purpose == Purpose::ResyncRead {
                Stage::Paced
            } else {
                Stage::Waiting
            },
            orphaned: false,
            registered: false,
            needs_extents: false,
            holds_extents: false,
            thin,
            zeros: false,
            sending: false,
        };
        let Ok(id) = device.peer_requests.insert(peer_request) else {
            return Ok(Received::Wait);
        };
        self.peer_requests = self.peer_requests.saturating_add(1);
        if matches!(purpose, Purpose::ResyncRead | Purpose::ChecksumRead) {
            self.target_has_begun(index);
        }
        if purpose == Purpose::ResyncRead {
            self.start_or_park(index, id);
            return Ok(Received::Done);
        }
        if digest > 0 {
            return Ok(Received::Digest {
                device: index,
                peer_request: id,
                size: digest,
            });
        }
        self.enqueue_peer_request(index, id);
        Ok(Received::Done)
    }

    /// The payload of a peer request is in its pages, or will never be.
    pub fn peer_payload_received(&mut self, index: DeviceIndex, id: Id, success: bool) {
        let Some(peer_request) = self.peer_request_mut(index, id) else {
            return;
        };
        // Of what is not a write by the peer's application, nothing is done without the peer.
        let awaited = peer_request.purpose == Purpose::Write || !peer_request.orphaned;
        if !success || !awaited {
            let (purpose, epoch) = (peer_request.purpose, peer_request.epoch);
            self.release_peer_request(index, id);
            if purpose == Purpose::Write {
                self.write_left_epoch(epoch);
            }
            return;
        }
        let peer_request = *peer_request;
        if let Some(device) = self.device_mut(index) {
            device.counters.received = device
                .counters
                .received
                .saturating_add(peer_request.sectors());
        }
        if peer_request.purpose == Purpose::Write && self.wants_receive_ack(&peer_request) {
            self.acknowledge_peer_request(Command::RecvAck, index, &peer_request);
        }
        if let Some(peer_request) = self.peer_request_mut(index, id) {
            peer_request.stage = Stage::Waiting;
        }
        if peer_request.needs_extents {
            if let Some(device) = self.device_mut(index) {
                device.set_out_of_sync(peer_request.sector, peer_request.size);
            }
        }
        self.enqueue_peer_request(index, id);
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
            Purpose::VerifyTarget if !success && peer_request.stage == Stage::Waiting => {
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

    fn answer_write(&mut self, index: DeviceIndex, peer_request: &PeerRequest, success: bool) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if !success {
            device.set_out_of_sync(peer_request.sector, peer_request.size);
            if !peer_request.orphaned {
                self.acknowledge_peer_request(Command::NegAck, index, peer_request);
            }
            return;
        }
        if peer_request.orphaned {
            return;
        }
        let syncing = device.state.connection >= ConnectionState::SyncSource
            && device.state.connection <= ConnectionState::PausedSyncT;
        if syncing && peer_request.flags.contains(DataFlags::MAY_SET_IN_SYNC) {
            let cleared = device.set_in_sync(peer_request.sector, peer_request.size);
            self.acknowledge_peer_request(Command::ResyncWriteAck, index, peer_request);
            self.resync_advanced(index, cleared);
        } else if self.wants_write_ack(peer_request) {
            self.acknowledge_peer_request(Command::WriteAck, index, peer_request);
        }
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
        let removed = self
            .device_mut(index)
            .and_then(|device| device.peer_requests.remove(id));
        if let Some(removed) = removed {
            self.peer_requests = self.peer_requests.saturating_sub(1);
            if removed.has_data_of_peer() {
                let buffered = &mut self.connection.buffered;
                *buffered = buffered.saturating_sub(removed.sectors());
            }
        }
        self.wishes.room = true;
    }

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

    pub(super) fn peer_request_mut(
        &mut self,
        index: DeviceIndex,
        id: Id,
    ) -> Option<&mut PeerRequest> {
        self.device_mut(index)?.peer_requests.get_mut(id)
    }

    fn wants_receive_ack(&self, peer_request: &PeerRequest) -> bool {
        self.wants_ack(peer_request, DataFlags::SEND_RECEIVE_ACK, Protocol::B)
    }

    fn wants_write_ack(&self, peer_request: &PeerRequest) -> bool {
        self.wants_ack(peer_request, DataFlags::SEND_WRITE_ACK, Protocol::C)
    }

    /// Since protocol 100 the peer says with each write what it expects; before, both had the same configuration.
    fn wants_ack(&self, peer_request: &PeerRequest, flag: DataFlags, protocol: Protocol) -> bool {
        if self.connection.agreed_protocol >= 100 {
            peer_request.flags.contains(flag)
        } else {
            self.connection
                .conf
                .as_ref()
                .is_some_and(|conf| conf.wire_protocol == protocol)
        }
    }

    /// Room for answers beyond those that are owed already.
    fn meta_room(&self) -> usize {
        let owed = self.peer_requests.saturating_add(64);
        self.connection.meta_queue.room().saturating_sub(owed)
    }

    fn acknowledge_peer_request(
        &mut self,
        command: Command,
        index: DeviceIndex,
        peer_request: &PeerRequest,
    ) {
        self.acknowledge(
            command,
            index,
            peer_request.sector,
            peer_request.block_id,
            peer_request.size,
            peer_request.sequence,
        );
    }

    pub(super) fn acknowledge(
        &mut self,
        command: Command,
        device: DeviceIndex,
        sector: u64,
        block_id: u64,
        size: u32,
        sequence: u32,
    ) {
        self.send_meta(MetaItem::Block {
            command,
            device,
            sector,
            block_id,
            size,
            sequence,
        });
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
        let requests = usize_to_u64(self.requests.capacity());
        self.overlap
            .find(peer_request.sector, peer_request.sectors(), |entry| {
                if entry == own {
                    return false;
                }
                match u64::from(entry).checked_sub(requests) {
                    // An application's write: only what the peer compares or copies has to wait for it.
                    None => matches!(
                        peer_request.purpose,
                        Purpose::ResyncRead | Purpose::ChecksumRead | Purpose::VerifyTarget
                    ),
                    Some(other) => u32::try_from(other)
                        .ok()
                        .and_then(|other| self.peer_requests.at(u32_to_usize(other)))
                        .is_some_and(|(_, other)| other.order < peer_request.order),
                }
            })
            .is_some()
    }
}

fn negative_answer(purpose: Purpose) -> Command {
    match purpose {
        Purpose::Read => Command::NegDataReply,
        _ => Command::NegResyncDataReply,
    }
}
