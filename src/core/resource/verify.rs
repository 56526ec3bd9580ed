// SPDX-License-Identifier: GPL-2.0-only

//! Online verify: the node that was asked to (`VerifyS`) has the other (`VerifyT`) read block by block, and compares its
//! own digest with the one that comes back. Blocks that differ are marked out of sync on both, and not more.
//!
//! # What may not happen meanwhile
//!
//! A block must not change on one node between the two readings. Each block that is being verified is in the overlap
//! index of both nodes, from before the first is asked for it until the last has compared:
//!
//! * An application's write waits for the block on the node where it is submitted. Writes that were started before end
//!   first: the request is not sent, or not served, before. With protocols A and B a write has ended for the application
//!   while the peer still works on it; there the peer has to confirm it, too ([`peer_may_lack`]).
//! * What the peer sends is ordered by the stream. Its writes before the digest are done before this node reads, those
//!   after it have to wait ([`has_earlier_overlap`]). The C driver does not order them: it relies on the other node, which
//!   is why `VerifyT` keeps the range until it knows the result.
//!
//! [`peer_may_lack`]: super::device::Device::peer_may_lack
//! [`has_earlier_overlap`]: super::device::Device::has_earlier_overlap

use super::device::{Device, DeviceIndex, Resync};
use super::effect::{Event, Helper};
use super::log::LogMessage;
use super::operation::Ticket;
use super::pace::Courtesy;
use super::peer_request::{PeerRequest, Purpose, Stage};
use super::receive::{ReceiveError, Received};
use super::send::Outgoing;
use super::Resource;
use crate::num::{usize_to_u64, BLOCK_SIZE, SECTORS_PER_BLOCK};
use crate::slab::Id;
use crate::state::{Change, ConnectionState, DiskState, State, StateCode};
use crate::wire::block::{ID_IN_SYNC, ID_OUT_OF_SYNC, ID_SYNCER};
use crate::wire::{BlockAck, BlockRequest, Command, Packet};

/// The first protocol version with online verify.
const PROTOCOL_VERSION: u32 = 88;
/// The first that may begin elsewhere than at the beginning.
const PROTOCOL_VERSION_START: u32 = 90;

/// Online verify of a volume: where it is, and where it was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verify {
    /// Where the next run begins unless it is told otherwise: where the last one stopped. A sector.
    pub start: u64,
    /// Where the next run, or this one, ends: a sector, or beyond the end of the device.
    pub stop: u64,
    /// The first sector that was not asked for. As target, that the peer has not asked for.
    pub cursor: u64,
    /// Blocks to go.
    pub left: u64,
    /// Counts runs: an answer that outlives its run does not count for another.
    pub run: u64,
    /// The source has asked for something in this run.
    asked: bool,
    /// The target does not know where the source began.
    begins_anywhere: bool,
    /// The request that waits for writes which were there before.
    next: Option<Id>,
    /// Adjacent sectors that differ and that the log has not told yet: the first, and how many.
    differ: (u64, u64),
}

impl Verify {
    /// Whether a request waits for writes to end.
    pub(super) fn waits(&self) -> bool {
        self.next.is_some()
    }

    /// A run is to be told of sectors that differ; answers what is to be logged now.
    fn differs(&mut self, sector: u64, sectors: u64) -> Option<(u64, u64)> {
        let (first, length) = self.differ;
        if length != 0 && first.checked_add(length) == Some(sector) {
            self.differ.1 = length.saturating_add(sectors);
            return None;
        }
        core::mem::replace(&mut self.differ, (sector, sectors)).if_any()
    }
}

/// A range that may be empty.
trait IfAny: Sized {
    fn if_any(self) -> Option<Self>;
}

impl IfAny for (u64, u64) {
    fn if_any(self) -> Option<Self> {
        (self.1 != 0).then_some(self)
    }
}

/// Whether the peer understands that a run ends early. Not with protocol version 100: 8.4 leaves that out.
fn can_stop_early(agreed: u32) -> bool {
    agreed >= 97 && agreed != 100
}

/// The part of both states that a verify needs. In 8.4 a verify makes UpToDate of any disk that it is started on.
fn can_be_verified(state: &State) -> bool {
    state.disk == DiskState::UpToDate && state.peer_disk == DiskState::UpToDate
}

/// Refuses a verify of data that is not good, and ends one where a disk is no longer good.
pub(super) fn only_good_disks(old: &State, change: Change) -> Result<Change, StateCode> {
    let new = change.apply_to(*old);
    if !new.connection.is_verify()
        || can_be_verified(&new)
        || new.disk <= DiskState::Failed
        || new.peer_disk <= DiskState::Failed
    {
        return Ok(change);
    }
    if old.connection.is_verify() {
        return Ok(change.connection(ConnectionState::Connected));
    }
    if old.connection == ConnectionState::Connected {
        return Err(StateCode::NoUpToDateDisk);
    }
    Ok(change)
}

impl Resource<'_> {
    /// An administrator wants a verify from sector `start` (default: where the last one stopped) to `stop`.
    ///
    /// # Errors
    ///
    /// As [`request_change`](Self::request_change).
    pub fn start_verify(
        &mut self,
        index: DeviceIndex,
        start: Option<u64>,
        stop: u64,
    ) -> Result<Option<Ticket>, StateCode> {
        let Some(device) = self.device_mut(index) else {
            return Err(StateCode::UnknownError);
        };
        if !device.state.connection.is_verify() {
            let start = start.unwrap_or(device.verify.start);
            device.verify.start = start.saturating_sub(start % SECTORS_PER_BLOCK);
            device.verify.stop = stop;
        }
        let change = Change::none().connection(ConnectionState::VerifyS);
        self.request_change(index, change)
    }

    /// The state says that a verify began, or ended.
    pub(super) fn after_verify_changed(&mut self, index: DeviceIndex, old: &State, new: &State) {
        let (was, is) = (old.connection.is_verify(), new.connection.is_verify());
        if is && !was {
            self.begin_verify(index, new.connection);
        } else if was && !is {
            self.leave_verify(index);
            let finished = old.connection == ConnectionState::VerifyS
                && new.connection == ConnectionState::Connected;
            // An old peer does not expect it, and does no harm: but where we end for a reason of ours, it would wait.
            if finished {
                self.send_state(index, new);
            }
        }
    }

    fn begin_verify(&mut self, index: DeviceIndex, side: ConnectionState) {
        let now = self.now;
        let anywhere = self.connection.agreed_protocol >= PROTOCOL_VERSION_START;
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let blocks = device.disk.as_ref().map_or(0, |disk| disk.bitmap.bits());
        let verify = &mut device.verify;
        let is_source = side == ConnectionState::VerifyS;
        if !anywhere || !is_source {
            verify.start = 0;
        }
        let first = (verify.start / SECTORS_PER_BLOCK).min(blocks.saturating_sub(1));
        verify.start = first.saturating_mul(SECTORS_PER_BLOCK);
        *verify = Verify {
            start: verify.start,
            stop: verify.stop,
            cursor: verify.start,
            left: blocks.saturating_sub(first),
            run: verify.run.wrapping_add(1),
            begins_anywhere: anywhere && !is_source,
            ..Verify::default()
        };
        let left = verify.left;
        device.resync = Resync::begun(now, left);
        device.courtesy = Courtesy::default();
        if is_source {
            let start = device.verify.start;
            self.log(index, LogMessage::VerifyStarts(start));
        }
        self.wishes.send_data = true;
        self.wishes.timer = true;
    }

    /// The run is over, for whatever reason.
    fn leave_verify(&mut self, index: DeviceIndex) {
        self.log_difference(index);
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let next = device.verify.next.take();
        let reached = device.first_unverified();
        let left = device.verify.left;
        device.verify.start = if left == 0 { 0 } else { reached };
        if left != 0 {
            self.log(index, LogMessage::VerifyReached(reached));
        }
        if let Some(id) = next {
            self.release_peer_request(index, id);
        }
    }

    /// Makes the next request of a source, if its window and its rate allow one.
    pub(super) fn next_verify_request(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        for index in self.indices() {
            let verifies = self
                .device(index)
                .is_some_and(|device| device.state.connection == ConnectionState::VerifyS);
            if !verifies {
                continue;
            }
            if let Some(outgoing) = self.verify_request_of(index, buffer) {
                return Some(outgoing);
            }
            self.finish_verify_if_done(index);
        }
        None
    }

    fn verify_request_of(&mut self, index: DeviceIndex, buffer: &mut [u8]) -> Option<Outgoing> {
        let id = match self.device(index)?.verify.next {
            Some(id) => id,
            None => self.register_next_block(index)?,
        };
        let device = self.device(index)?;
        let peer_request = *device.peer_requests.get(id)?;
        if device.application_writes(&peer_request)
            || device.peer_may_lack(peer_request.sector, peer_request.sectors())
        {
            return None;
        }
        let device = self.device_mut(index)?;
        device.verify.next = None;
        device.peer_requests.get_mut(id)?.stage = Stage::Requested;
        let volume = device.volume;
        let request = BlockRequest {
            sector: peer_request.sector,
            block_id: ID_SYNCER,
            size: peer_request.size,
        };
        self.plain(&Packet::OvRequest(request), volume, buffer)
    }

    /// From here on no application's write to the next block begins.
    fn register_next_block(&mut self, index: DeviceIndex) -> Option<Id> {
        let goal = self.resync_goal(self.device(index)?.disk.as_ref()?);
        let can_stop = can_stop_early(self.connection.agreed_protocol);
        let now = self.now;
        let device = self.device_mut(index)?;
        if device.all_asked(can_stop)
            || device.peer_requests.len() >= device.peer_requests.capacity() / 2
        {
            return None;
        }
        let sector = device.verify.cursor;
        let sectors = device.size.checked_sub(sector)?.min(SECTORS_PER_BLOCK);
        if device.resync_allowance(now, &goal) == 0 {
            self.wishes.timer = true;
            return None;
        }
        let size = u32::try_from(sectors.checked_mul(512)?)
            .ok()?
            .min(BLOCK_SIZE);
        let id = device.remember_resync_request(Purpose::VerifySource, sector, size, false)?;
        device.resync.pace.asked(sectors);
        device.verify.cursor = sector.saturating_add(sectors);
        device.verify.asked = true;
        device.verify.next = Some(id);
        device.resync.in_flight = device.resync.in_flight.saturating_add(sectors);
        self.peer_requests = self.peer_requests.saturating_add(1);
        Some(id)
    }

    /// `P_OV_REQUEST`: the peer wants to know the digest of a block.
    pub(super) fn receive_verify_request(
        &mut self,
        index: DeviceIndex,
        read: BlockRequest,
    ) -> Result<Received, ReceiveError> {
        self.expect_verify()?;
        let received = self.receive_read(index, read, Purpose::VerifyTarget, false, 0)?;
        if received == Received::Done {
            self.source_asks_for(index, read.sector, u64::from(read.size >> 9));
        }
        Ok(received)
    }

    /// The target learns where the source is, from its first request where it began.
    fn source_asks_for(&mut self, index: DeviceIndex, sector: u64, sectors: u64) {
        let now = self.now;
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if device.state.connection != ConnectionState::VerifyT {
            return;
        }
        let end = sector.saturating_add(sectors);
        if core::mem::take(&mut device.verify.begins_anywhere) {
            let blocks = device.disk.as_ref().map_or(0, |disk| disk.bitmap.bits());
            let left = blocks.saturating_sub(sector / SECTORS_PER_BLOCK);
            device.verify.start = sector;
            device.verify.cursor = end;
            device.verify.left = left;
            device.resync = Resync {
                started_at: device.resync.started_at,
                ..Resync::begun(now, left)
            };
            self.log(index, LogMessage::VerifyStartSector(sector));
        } else {
            device.verify.cursor = device.verify.cursor.max(end);
        }
    }

    fn expect_verify(&self) -> Result<(), ReceiveError> {
        let configured = self
            .connection
            .conf
            .as_ref()
            .is_some_and(|conf| !conf.verify_alg.is_empty());
        if !configured || self.connection.agreed_protocol < PROTOCOL_VERSION {
            return Err(ReceiveError::Unexpected);
        }
        Ok(())
    }

    /// `P_OV_REPLY`: the peer's digest of a block that we asked for.
    pub(super) fn receive_verify_reply(
        &mut self,
        index: DeviceIndex,
        reply: BlockRequest,
        digest: u32,
    ) -> Result<Received, ReceiveError> {
        self.expect_verify()?;
        Self::check_digest_size(digest)?;
        if self.effect_room() < 8 {
            return Ok(Received::Wait);
        }
        let device = self.device_mut(index).ok_or(ReceiveError::UnknownVolume)?;
        let id = device
            .awaited(Purpose::VerifySource, reply.sector, reply.size)
            .ok_or(ReceiveError::Malformed("a block that was never asked for"))?;
        if let Some(peer_request) = device.peer_requests.get_mut(id) {
            peer_request.stage = Stage::Receiving;
        }
        Ok(Received::Digest {
            device: index,
            peer_request: id,
            size: digest,
        })
    }

    /// The source has both digests of a block.
    pub(super) fn block_verified(
        &mut self,
        index: DeviceIndex,
        id: Id,
        peer_request: &PeerRequest,
        equal: bool,
    ) {
        self.note_result(index, peer_request, equal);
        self.end_of_block(index, id, peer_request, equal);
    }

    /// The source could not read a block: it differs. Where the disk went before it was tried, nobody knows.
    pub(super) fn block_not_verified(
        &mut self,
        index: DeviceIndex,
        id: Id,
        peer_request: &PeerRequest,
    ) {
        let unknown = peer_request.stage == Stage::Waiting;
        if !unknown {
            self.note_result(index, peer_request, false);
        }
        self.end_of_block(index, id, peer_request, unknown);
    }

    fn end_of_block(
        &mut self,
        index: DeviceIndex,
        id: Id,
        peer_request: &PeerRequest,
        equal: bool,
    ) {
        self.acknowledge(
            Command::OvResult,
            index,
            peer_request.sector,
            if equal { ID_IN_SYNC } else { ID_OUT_OF_SYNC },
            peer_request.size,
            0,
        );
        self.release_peer_request(index, id);
        self.verify_advanced(index, peer_request);
    }

    /// The target could not read a block, or would not: `P_NEG_RS_DREPLY`.
    pub(super) fn verify_refused(&mut self, index: DeviceIndex, id: Id) {
        let Some(peer_request) = self.peer_request_mut(index, id).map(|request| *request) else {
            return;
        };
        self.release_peer_request(index, id);
        self.verify_advanced(index, &peer_request);
    }

    /// `P_OV_RESULT`: the peer has compared.
    pub(super) fn receive_verify_result(
        &mut self,
        index: DeviceIndex,
        ack: BlockAck,
    ) -> Result<(), ReceiveError> {
        let device = self.device(index).ok_or(ReceiveError::UnknownVolume)?;
        let id = device
            .registered(Purpose::VerifyTarget, Stage::Answered, ack.sector, ack.size)
            .ok_or(ReceiveError::Malformed(
                "the result of something that was never asked",
            ))?;
        let Some(peer_request) = self.peer_request_mut(index, id).map(|request| *request) else {
            return Ok(());
        };
        self.note_result(index, &peer_request, ack.block_id != ID_OUT_OF_SYNC);
        self.release_peer_request(index, id);
        self.verify_advanced(index, &peer_request);
        Ok(())
    }

    /// Marks a block that differs. One that does not keeps its mark, should it have one.
    fn note_result(&mut self, index: DeviceIndex, peer_request: &PeerRequest, equal: bool) {
        if equal {
            return self.log_difference(index);
        }
        let (sector, sectors) = (peer_request.sector, peer_request.sectors());
        let Some(device) = self.device_mut(index) else {
            return;
        };
        device.set_out_of_sync(sector, peer_request.size);
        if let Some((sector, sectors)) = device.verify.differs(sector, sectors) {
            self.log(index, LogMessage::OutOfSync { sector, sectors });
        }
    }

    /// Tells the log of sectors that differ, once it is known how many they are.
    fn log_difference(&mut self, index: DeviceIndex) {
        let differ = self
            .device_mut(index)
            .and_then(|device| core::mem::take(&mut device.verify.differ).if_any());
        if let Some((sector, sectors)) = differ {
            self.log(index, LogMessage::OutOfSync { sector, sectors });
        }
    }

    /// One block less to go.
    fn verify_advanced(&mut self, index: DeviceIndex, peer_request: &PeerRequest) {
        let now = self.now;
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if !device.state.connection.is_verify() || peer_request.epoch != device.verify.run {
            return;
        }
        let left = device.verify.left.saturating_sub(1);
        device.verify.left = left;
        let resync = &mut device.resync;
        resync.in_flight = resync.in_flight.saturating_sub(peer_request.sectors());
        resync.pace.delivered(peer_request.sectors());
        if resync.note_progress(now, left) {
            self.event_if_room(Event::Progress { device: index });
        }
        self.wishes.send_data = true;
        self.finish_verify_if_done(index);
    }

    /// Ends a verify in which nothing is left to do.
    pub(super) fn finish_verify_if_done(&mut self, index: DeviceIndex) {
        let can_stop = can_stop_early(self.connection.agreed_protocol);
        let Some(device) = self.device(index) else {
            return;
        };
        let done = match device.state.connection {
            // The peer must have read all results before it reads, on the other socket, that this is the end.
            ConnectionState::VerifyS => {
                device.all_asked(can_stop)
                    && device.resync.in_flight == 0
                    && self.peer_has_acknowledgements(index)
            }
            ConnectionState::VerifyT => device.verify.left == 0,
            _ => false,
        };
        if done {
            self.finish_verify(index);
        }
    }

    /// The peer says that both are merely connected, as UpToDate as before: it has reached its last sector.
    pub(super) fn source_has_stopped(&mut self, index: DeviceIndex) {
        self.finish_verify(index);
    }

    fn finish_verify(&mut self, index: DeviceIndex) {
        self.log_difference(index);
        let now = self.now;
        let Some(device) = self.device(index) else {
            return;
        };
        let done = device.resync.total.saturating_sub(device.verify.left);
        let seconds = device.resync.seconds(now);
        let found = device.disk.as_ref().map_or(0, |disk| disk.bitmap.weight());
        let rate = done.saturating_mul(4).checked_div(seconds).unwrap_or(0);
        self.log(index, LogMessage::VerifyDone { seconds, rate });
        if found > 0 {
            self.log(index, LogMessage::VerifyFound(found));
        }
        let change = Change::none().connection(ConnectionState::Connected);
        if let Err(code) = self.change(index, change, true) {
            self.log(index, LogMessage::StateChangeFailed(code));
        }
        if let Some(device) = self.device_mut(index) {
            device.resync = Resync::default();
        }
        if found > 0 {
            self.event(Event::CallHelper {
                device: Some(index),
                helper: Helper::OutOfSync,
            });
        }
    }
}

impl Device<'_> {
    /// Whether the source has nothing more to ask for. One block it asks for in any case.
    fn all_asked(&self, can_stop: bool) -> bool {
        let verify = &self.verify;
        verify.cursor >= self.size || (can_stop && verify.asked && verify.cursor >= verify.stop)
    }

    /// Whether an application writes to the range.
    fn application_writes(&self, peer_request: &PeerRequest) -> bool {
        let requests = usize_to_u64(self.requests.capacity());
        self.overlap
            .find(peer_request.sector, peer_request.sectors(), |entry| {
                u64::from(entry) < requests
            })
            .is_some()
    }

    /// The first sector of this run whose result is not known.
    fn first_unverified(&self) -> u64 {
        self.peer_requests
            .iter()
            .filter(|(_, request)| {
                request.is_verify()
                    && request.epoch == self.verify.run
                    && request.stage != Stage::Released
            })
            .fold(self.verify.cursor, |first, (_, request)| {
                first.min(request.sector)
            })
    }
}
