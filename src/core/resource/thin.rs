// SPDX-License-Identifier: GPL-2.0-only

//! Thin resync (`rs-discard-granularity`): blocks that are all zeros on the source are discarded on the target, not
//! copied, so that a disk that takes space as it is written to does not fill up.
//!
//! The target asks for whole units with `P_RS_THIN_REQ`, where both nodes know that packet. The source reads, and answers
//! `P_RS_DEALLOCATED` for zeros. What the target makes of that reads as zeros for certain: `discard-zeroes-if-aligned`
//! decides how.

use super::device::DeviceIndex;
use super::peer_request::{Purpose, Stage};
use super::receive::{ReceiveError, Received};
use super::request::Operation;
use super::Resource;
use crate::num::BLOCK_SIZE;
use crate::slab::Id;
use crate::wire::{BlockDescriptor, FeatureFlags};

impl Resource<'_> {
    /// The unit in which a target asks, in blocks; `None` where it just asks for data.
    pub(super) fn thin_unit(&self, index: DeviceIndex) -> Option<u64> {
        let granularity = self
            .device(index)?
            .disk
            .as_ref()?
            .conf
            .rs_discard_granularity;
        let known = self.connection.features.contains(FeatureFlags::THIN_RESYNC);
        (known && granularity > 0 && granularity % BLOCK_SIZE == 0)
            .then(|| u64::from(granularity / BLOCK_SIZE))
    }

    /// Whether the shell should look whether what it read for the peer is all zeros.
    pub fn wants_to_know_zeros(&self, index: DeviceIndex, id: Id) -> bool {
        self.peer_request(index, id)
            .is_some_and(|peer_request| peer_request.thin && !peer_request.is_write())
    }

    /// It is. Before [`peer_io_done`](Self::peer_io_done).
    pub fn read_only_zeros(&mut self, index: DeviceIndex, id: Id) {
        if let Some(peer_request) = self.peer_request_mut(index, id) {
            peer_request.zeros = true;
        }
    }

    /// `P_RS_DEALLOCATED`: the source has zeros only.
    pub(super) fn receive_deallocated(
        &mut self,
        index: DeviceIndex,
        block: BlockDescriptor,
    ) -> Result<Received, ReceiveError> {
        if self.effect_room() < 8 {
            return Ok(Received::Wait);
        }
        let device = self.device_mut(index).ok_or(ReceiveError::UnknownVolume)?;
        let id = device.awaited(Purpose::ResyncWrite, block.sector, block.size);
        let peer_request = id
            .and_then(|id| device.peer_requests.get_mut(id))
            .filter(|peer_request| peer_request.thin);
        let (Some(id), Some(peer_request)) = (id, peer_request) else {
            return Err(ReceiveError::Malformed("blocks that were never asked for"));
        };
        if peer_request.orphaned {
            // They were asked for by a resync that is over, and an application may have written there since.
            self.release_peer_request(index, id);
            self.confirm_in_vain(index);
            return Ok(Received::Done);
        }
        peer_request.operation = Operation::Discard;
        peer_request.stage = Stage::Waiting;
        self.enqueue_peer_request(index, id);
        Ok(Received::Done)
    }
}
