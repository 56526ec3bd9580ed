// SPDX-License-Identifier: GPL-2.0-only

//! What the peer asks this node to read and write, as it arrives.

use super::device::{Device, DeviceIndex};
use super::peer_answer::negative_answer;
use super::peer_request::{PeerRequest, Purpose, Stage};
use super::receive::{ReceiveError, Received};
use super::request::Operation;
use super::Resource;
use crate::num::SECTORS_PER_BLOCK;
use crate::slab::Id;
use crate::state::DiskState;
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
        if has_payload && !self.has_buffers_for(device, write.size) {
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
        if has_payload {
            device.buffered = device.buffered.saturating_add(u64::from(write.size >> 9));
        }
        self.peer_requests = self.peer_requests.saturating_add(1);
        let epoch = self.count_write_in_epoch(index, true);
        if let Some(peer_request) = self.peer_request_mut(index, id) {
            peer_request.epoch = epoch;
        }
        if has_payload {
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

    /// Whether the data of one more write to a volume may be kept (`max-buffers`). One always may.
    fn has_buffers_for(&self, device: &Device<'_>, size: u32) -> bool {
        let most = self
            .connection
            .conf
            .as_ref()
            .map_or(2048, |conf| u64::from(conf.max_buffers))
            .saturating_mul(SECTORS_PER_BLOCK);
        let wanted = device.buffered.saturating_add(u64::from(size >> 9));
        device.buffered == 0 || wanted <= most
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
        let is_paced = matches!(purpose, Purpose::ResyncRead | Purpose::VerifyTarget);
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
            } else if is_paced {
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
        if is_paced {
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
            match purpose {
                Purpose::Write => self.write_left_epoch(epoch),
                Purpose::ResyncWrite => self.confirm_in_vain(index),
                _ => {}
            }
            return;
        }
        let peer_request = *peer_request;
        if let Some(device) = self
            .device_mut(index)
            .filter(|_| peer_request.operation == Operation::Write)
        {
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
}
