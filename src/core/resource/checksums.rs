// SPDX-License-Identifier: GPL-2.0-only

//! Resync by checksums (`csums-alg`): the target reads what it has, and asks for a block with its digest. The source
//! sends the block only if its own has another digest.
//!
//! Equal digests are sound whatever is written meanwhile. A sector that no write touches has the same content on both
//! sides all the time; one that a write touches is mirrored, and so gets the same content.

use super::device::DeviceIndex;
use super::effect::Effect;
use super::peer_request::{PeerRequest, Purpose, Stage};
use super::receive::{ReceiveError, Received};
use super::Resource;
use crate::num::SECTORS_PER_BLOCK;
use crate::slab::Id;
use crate::wire::{BlockAck, BlockRequest, Command};

/// The first protocol version with `P_CSUM_RS_REQUEST`.
const PROTOCOL_VERSION: u32 = 89;

impl Resource<'_> {
    /// Whether a resync that begins, with this node as target, compares checksums.
    pub(super) fn wants_checksums(&self, index: DeviceIndex) -> bool {
        let after_crash = self
            .device(index)
            .is_some_and(|device| device.crashed_primary);
        self.connection.agreed_protocol >= PROTOCOL_VERSION
            && self.connection.conf.as_ref().is_some_and(|conf| {
                !conf.csums_alg.is_empty() && (after_crash || !conf.csums_after_crash_only)
            })
    }

    /// Target: reads the next blocks that differ, as many as window and rate allow.
    pub(super) fn read_for_checksums(&mut self, index: DeviceIndex) {
        while self.effect_room() >= 8 && self.data_room() >= 64 {
            let Some((id, ..)) = self.next_resync_range(index, Purpose::ChecksumRequest) else {
                return;
            };
            if let Some(peer_request) = self.peer_request_mut(index, id) {
                peer_request.stage = Stage::Submitted;
            }
            if let Some(peer_request) = self.peer_request(index, id).copied() {
                self.count_resync_io(index, &peer_request);
            }
            self.disk_io_begins(index);
            self.effect(Effect::SubmitPeerRequest {
                device: index,
                peer_request: id,
            });
        }
    }

    /// Source: `P_CSUM_RS_REQUEST`
    pub(super) fn receive_checksum_request(
        &mut self,
        index: DeviceIndex,
        read: BlockRequest,
        digest: u32,
    ) -> Result<Received, ReceiveError> {
        if self.connection.agreed_protocol < PROTOCOL_VERSION {
            return Err(ReceiveError::Unexpected);
        }
        Self::check_digest_size(digest)?;
        let received = self.receive_read(index, read, Purpose::ChecksumRead, false, digest)?;
        if let (Received::Digest { .. }, Some(device)) = (received, self.device_mut(index)) {
            device.resync.checksums = true;
        }
        Ok(received)
    }

    /// Source: the target has the same data.
    pub(super) fn block_has_equal_checksum(
        &mut self,
        index: DeviceIndex,
        id: Id,
        peer_request: &PeerRequest,
    ) {
        if let Some(device) = self.device_mut(index) {
            device.count_equal_checksums(peer_request.sectors());
            device.set_in_sync(peer_request.sector, peer_request.size);
        }
        self.acknowledge(
            Command::ResyncIsInSync,
            index,
            peer_request.sector,
            peer_request.block_id,
            peer_request.size,
            0,
        );
        self.release_peer_request(index, id);
        self.resync_advanced(index);
    }

    /// Target: `P_RS_IS_IN_SYNC`
    pub(super) fn checksum_was_equal(
        &mut self,
        index: DeviceIndex,
        ack: BlockAck,
    ) -> Result<(), ReceiveError> {
        let device = self.device_mut(index).ok_or(ReceiveError::UnknownVolume)?;
        let id = device
            .awaited(Purpose::ResyncWrite, ack.sector, ack.size)
            .ok_or(ReceiveError::Malformed("blocks that were never asked for"))?;
        let forgotten = device
            .peer_requests
            .get(id)
            .is_some_and(|request| request.orphaned);
        if forgotten {
            // That resync is over. The peer may have written to the block since, and told us.
            self.release_peer_request(index, id);
            return Ok(());
        }
        let sectors = u64::from(ack.size >> 9);
        device.resync.in_flight = device.resync.in_flight.saturating_sub(sectors);
        device.resync.pace.delivered(sectors);
        device.count_equal_checksums(sectors);
        device.set_in_sync(ack.sector, ack.size);
        self.release_peer_request(index, id);
        self.wishes.send_data = true;
        self.resync_advanced(index);
        Ok(())
    }
}

impl super::device::Device<'_> {
    fn count_equal_checksums(&mut self, sectors: u64) {
        self.resync.equal_checksums = self
            .resync
            .equal_checksums
            .saturating_add(sectors / SECTORS_PER_BLOCK);
    }
}
