// SPDX-License-Identifier: GPL-2.0-only

//! Resync: the target asks for blocks that differ, the source sends them.
//!
//! The target keeps a window of requests open. Each is a peer request from the moment it is sent, so that what comes
//! back is known to have been asked for, and so that applications stay off the range meanwhile.

use super::connection::DataItem;
use super::device::{AfterBitmap, BitmapTask, Device, DeviceIndex, Resync};
use super::effect::{Event, Helper};
use super::log::LogMessage;
use super::pace::{Courtesy, Pace};
use super::peer_request::{PeerRequest, Purpose, Stage};
use super::receive::{ReceiveError, Received};
use super::request::Operation;
use super::send::{Outgoing, Payload};
use super::Resource;
use crate::num::{u32_to_usize, usize_to_u64, SECTORS_PER_BLOCK};
use crate::slab::Id;
use crate::state::{Change, ConnectionState, DiskState, Role, State};
use crate::uuid::{without_primary_bit, JUST_CREATED};
use crate::wire::block::ID_SYNCER;
use crate::wire::{BlockAck, BlockRequest, Command, Data, DataFlags, Packet};

/// The longest resync request, in blocks: 512 KiB.
const BLOCKS_PER_REQUEST: u64 = 128;
/// How far apart the points are from which the speed is counted, in milliseconds.
const MARK_INTERVAL_MS: u64 = 3000;

impl Resource<'_> {
    /// `P_SYNC_UUID`: the source begins.
    pub(super) fn receive_sync_uuid(
        &mut self,
        index: DeviceIndex,
        uuid: u64,
    ) -> Result<Received, ReceiveError> {
        let Some(device) = self.device(index) else {
            return Err(ReceiveError::UnknownVolume);
        };
        match device.state.connection {
            ConnectionState::WFSyncUUID | ConnectionState::Behind => {}
            _ if device.state.connection < ConnectionState::Connected
                || device.state.disk < DiskState::Negotiating =>
            {
                return Ok(Received::Done)
            }
            // It belongs to a resync before, or to one that an administrator wished for over there while we took the source's state
            // for the word about another.
            ConnectionState::WFBitMapT if !device.exchange.received => {
                self.compare_anew(index, Command::SyncUuid, "no bitmap came before it");
                return Ok(Received::Done);
            }
            // Our own part is not done: all bits are being set, or our bitmap is not sent.
            ConnectionState::StartingSyncT | ConnectionState::WFBitMapT => {
                return Ok(Received::Wait)
            }
            // The resync may be our own wish, and the peer's consent, which comes on the other socket, not here yet.
            ConnectionState::Connected
                if device.state.disk != DiskState::Negotiating && self.has_operation() =>
            {
                return Ok(Received::Wait)
            }
            // It belongs to a resync that is over here, or never began: a disk was given up, or attached anew, while this was
            // on its way, or this node wished for that resync, and has become a source before the peer agreed.
            _ => return Ok(Received::Done),
        }
        let primary = device.state.role == Role::Primary;
        if let Some(mut uuids) = self.own_uuids(index) {
            uuids.start_resync_as_target(uuid, primary);
            self.set_uuids(index, uuids, "updated sync uuid");
            self.prepare_resync(index, ConnectionState::SyncTarget);
        }
        Ok(Received::Done)
    }

    /// The bits for a resync that an administrator asked for are set, and on the disk.
    pub(super) fn start_requested_sync(&mut self, index: DeviceIndex) {
        match self.device(index).map(|device| device.state.connection) {
            Some(ConnectionState::StartingSyncT) => {
                let wanted = Change::none().connection(ConnectionState::WFSyncUUID);
                let _ = self.change(index, wanted, false);
            }
            Some(ConnectionState::StartingSyncS) => {
                self.prepare_resync(index, ConnectionState::SyncSource);
            }
            _ => {}
        }
    }

    /// A disk that was never used becomes the source of a resync by an administrator's wish, even if that began before a crash: from now on
    /// it is used, and must not be taken for a new one again, nor its peer.
    pub(super) fn name_used_data(&mut self, index: DeviceIndex) {
        let never_used = self
            .own_uuids(index)
            .is_some_and(|uuids| without_primary_bit(uuids.current) == JUST_CREATED);
        if never_used {
            self.new_current_uuid(index);
            self.send_data(DataItem::Uuids(index));
        }
    }

    /// The administrator's handler may object; then the resync begins.
    pub(super) fn prepare_resync(&mut self, index: DeviceIndex, side: ConnectionState) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if device.sync_wanted.is_some() {
            return;
        }
        device.sync_wanted = Some(side);
        device.handlers_before_resync = device.handlers_before_resync.saturating_add(1);
        if side == ConnectionState::SyncSource {
            self.name_used_data(index);
        }
        self.event(Event::CallHelperAndReport {
            device: index,
            helper: helper_before(side),
        });
    }

    /// A handler that was called before a resync ended with this exit code. They end in the order in which they were called.
    pub fn helper_finished(&mut self, index: DeviceIndex, helper: Helper, code: u8) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let Some(others) = device.handlers_before_resync.checked_sub(1) else {
            return;
        };
        device.handlers_before_resync = others;
        if others > 0 {
            // The word of one that was called for a resync that was given up.
            return;
        }
        let Some(side) = device.sync_wanted.take() else {
            return;
        };
        if !still_prepares(device.state.connection, side)
            || device.state.disk < DiskState::Negotiating
            || !self.all_marks_are_told(index)
        {
            return;
        }
        // Old user-space tools answer 3 to what they do not know.
        let objects = code > 0 && !(side == ConnectionState::SyncSource && code == 3);
        if objects {
            self.log(
                index,
                LogMessage::HelperRefused {
                    name: helper.name(),
                    code,
                },
            );
            self.give_up_connection();
            return;
        }
        self.start_resync(index, side);
    }

    /// The state changed: a resync that was about to begin may not be wanted any more, whatever its handler says when it ends.
    pub(super) fn forget_unwanted_resync(&mut self, index: DeviceIndex, new: &State) {
        if let Some(device) = self.device_mut(index) {
            device.sync_wanted = device.sync_wanted.filter(|side| {
                still_prepares(new.connection, *side) && new.disk >= DiskState::Negotiating
            });
        }
    }

    fn start_resync(&mut self, index: DeviceIndex, side: ConnectionState) {
        let change = Change::none().connection(side);
        let change = if side == ConnectionState::SyncTarget {
            change.disk(DiskState::Inconsistent)
        } else {
            change.peer_disk(DiskState::Inconsistent)
        };
        if let Err(code) = self.change(index, change, false) {
            self.log(index, LogMessage::StateChangeFailed(code));
        }
    }

    /// The state says that a resync began.
    pub(super) fn begin_resync(&mut self, index: DeviceIndex, new: &State) {
        let now = self.now;
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let blocks = device.disk.as_ref().map_or(0, |disk| disk.bitmap.weight());
        device.resync = Resync::begun(now, blocks);
        device.courtesy = Courtesy::default();
        if new.is_resync_paused() {
            device.resync.paused_at = Some(now);
        }
        let is_target = new.connection.is_sync_target();
        let checksums = is_target && self.wants_checksums(index);
        if let Some(device) = self.device_mut(index) {
            device.resync.checksums = checksums;
        }
        self.log(
            index,
            LogMessage::ResyncBegan {
                side: new.connection,
                blocks,
            },
        );
        if is_target {
            self.start_bitmap_write(index);
        }
        self.wishes.send_data = true;
        self.wishes.timer = true;
    }

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

    /// Makes the next request of a target, if its window and its rate allow one.
    pub(super) fn next_resync_request(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        for index in self.indices() {
            let is_target = self
                .device(index)
                .is_some_and(|device| device.state.connection == ConnectionState::SyncTarget);
            if !is_target {
                continue;
            }
            let checksums = self
                .device(index)
                .is_some_and(|device| device.resync.checksums);
            if checksums {
                self.read_for_checksums(index);
            } else if let Some(outgoing) = self.resync_request_of(index, buffer) {
                return Some(outgoing);
            }
            self.finish_resync_if_done(index);
        }
        None
    }

    fn resync_request_of(&mut self, index: DeviceIndex, buffer: &mut [u8]) -> Option<Outgoing> {
        let (_, sector, size, thin) = self.next_resync_range(index, Purpose::ResyncWrite)?;
        let volume = self.device(index)?.volume;
        let request = BlockRequest {
            sector,
            block_id: ID_SYNCER,
            size,
        };
        let packet = if thin {
            Packet::ResyncThinRequest(request)
        } else {
            Packet::ResyncDataRequest(request)
        };
        let head = self.encode(&packet, volume, 0, buffer)?;
        Some(Outgoing {
            head,
            payload: Payload::None,
        })
    }

    /// A peer request for the next blocks that differ, if the window and the rate allow one: it, sector, bytes, and
    /// whether zeros need not be sent.
    pub(super) fn next_resync_range(
        &mut self,
        index: DeviceIndex,
        purpose: Purpose,
    ) -> Option<(Id, u64, u32, bool)> {
        let agreed = self.connection.agreed_protocol;
        let mut goal = self.resync_goal(self.device(index)?.disk.as_ref()?);
        let asks_for_data = purpose == Purpose::ResyncWrite;
        let unit = self.thin_unit(index).filter(|_| asks_for_data);
        if let Some(unit) = unit {
            goal.unit = unit.saturating_mul(SECTORS_PER_BLOCK);
        }
        let now = self.now;
        let device = self.device_mut(index)?;
        // What this node calls its data must be on the disk before the data changes.
        let metadata = &device.disk.as_ref()?.metadata;
        // So must which blocks differ: what is written and not flushed is forgotten in a crash, and asked for again.
        if metadata.superblock_pending() || metadata.task.is_some() {
            return None;
        }
        if device.peer_requests.len() >= device.peer_requests.capacity() / 2 {
            return None;
        }
        let limit = crate::wire::data::max_bio_size(agreed).min(match device.peer.max_bio_size {
            0 => u32::MAX,
            size => size,
        });
        let allowed = device.resync_allowance(now, &goal);
        if allowed == 0 {
            self.wishes.timer = true;
            return None;
        }
        let most = u64::from(limit / crate::num::BLOCK_SIZE).min(allowed / SECTORS_PER_BLOCK);
        let (sector, sectors) = device.next_blocks(most, unit)?;
        let size = u32::try_from(sectors.checked_mul(512)?).ok()?;
        let thin = unit.is_some_and(|unit| unit.saturating_mul(SECTORS_PER_BLOCK) == sectors);
        let id = device.remember_resync_request(purpose, sector, size, thin)?;
        self.peer_requests = self.peer_requests.saturating_add(1);
        let device = self.device_mut(index)?;
        device.resync.cursor = sector.saturating_add(sectors).div_ceil(SECTORS_PER_BLOCK);
        device.resync.in_flight = device.resync.in_flight.saturating_add(sectors);
        device.resync.pace.asked(sectors);
        Some((id, sector, size, thin))
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
            for (_, request) in device.peer_requests.iter_mut() {
                request.orphaned |= request.purpose == Purpose::ResyncWrite;
            }
        }
    }

    /// A source that pulled ahead waits for a word about all that it has sent. Its marks stay.
    fn late_resync_write_done(&mut self, index: DeviceIndex, peer_request: &PeerRequest) {
        let is_awaited = self
            .device(index)
            .is_some_and(|device| device.state.connection == ConnectionState::Behind);
        if is_awaited {
            let (sector, size) = (peer_request.sector, peer_request.size);
            self.acknowledge(Command::NegAck, index, sector, ID_SYNCER, size, 0);
        }
    }

    /// The target wrote what the source sent.
    pub(super) fn resync_write_done(
        &mut self,
        index: DeviceIndex,
        peer_request: &PeerRequest,
        success: bool,
    ) {
        if peer_request.orphaned {
            return self.late_resync_write_done(index, peer_request);
        }
        let Some(device) = self.device_mut(index) else {
            return;
        };
        device.resync.in_flight = device
            .resync
            .in_flight
            .saturating_sub(peer_request.sectors());
        device.resync.pace.delivered(peer_request.sectors());
        let mut cleared = 0;
        if success {
            cleared = device.set_in_sync(peer_request.sector, peer_request.size);
        } else {
            device.count_failed_blocks(peer_request.sector, peer_request.size);
        }
        let command = if success {
            Command::ResyncWriteAck
        } else {
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
        self.resync_advanced(index, cleared);
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
        self.resync_advanced(index, 0);
        Ok(())
    }

    /// The target could not write blocks that we sent.
    pub(super) fn resync_block_failed(&mut self, index: DeviceIndex, sector: u64, size: u32) {
        if let Some(device) = self.device_mut(index) {
            device.count_failed_blocks(sector, size);
        }
        self.resync_advanced(index, 0);
    }

    /// Blocks came in sync, or failed for good.
    pub(super) fn resync_advanced(&mut self, index: DeviceIndex, _cleared: u64) {
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
        self.finish_resync_if_done(index);
    }

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

    /// New storage at the end of both disks is made equal.
    pub(super) fn resync_after_growth(&mut self, index: DeviceIndex) {
        let resolves = self.connection.resolve_conflicts;
        let Some(state) = self.device(index).map(|device| device.state) else {
            return;
        };
        let is_source = if state.role == state.peer {
            resolves
        } else {
            state.role == Role::Primary
        };
        if is_source {
            self.prepare_resync(index, ConnectionState::SyncSource);
        } else {
            let wanted = Change::none().connection(ConnectionState::WFSyncUUID);
            let _ = self.change(index, wanted, false);
        }
    }

    /// A full resync that an administrator asks for without a peer: when it comes, all is different.
    pub(super) fn mark_everything(&mut self, index: DeviceIndex) {
        self.start_bitmap_task(index, BitmapTask::SetAll, AfterBitmap::Nothing);
        self.suspend_activity_log(index);
    }
}

fn helper_before(side: ConnectionState) -> Helper {
    if side == ConnectionState::SyncTarget {
        Helper::BeforeResyncTarget
    } else {
        Helper::BeforeResyncSource
    }
}

/// Whether a resync may begin from this state: the handler took its time, and things may have changed.
fn still_prepares(state: ConnectionState, side: ConnectionState) -> bool {
    use ConnectionState as C;
    if side == C::SyncTarget {
        matches!(state, C::WFSyncUUID | C::Behind)
    } else {
        matches!(state, C::WFBitMapS | C::StartingSyncS | C::Ahead)
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

    /// Whether a target that got to the end of the device begins anew: blocks are left that were busy, or that its source did not
    /// want to send. With them it asks again for those that failed, and counts these anew. While answers are on their way it is too
    /// early to tell the ones from the others; a target that did not wait could go round for ever.
    fn goes_round(&self, left: u64) -> bool {
        self.in_flight == 0 && left > self.failed
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
    /// Whether this is a target that has all blocks, and is about to be done.
    pub(super) fn has_nothing_to_ask_for(&self) -> bool {
        self.state.connection.is_sync_target()
            && self.nothing_is_left()
            && self.resync.in_flight == 0
    }

    /// Whether all blocks of a resync are equal, or failed.
    fn nothing_is_left(&self) -> bool {
        let left = self.disk.as_ref().map_or(0, |disk| disk.bitmap.weight());
        left <= self.resync.failed
    }

    /// The next blocks that differ and that nobody works on: sector and sectors.
    /// With a unit a request does not cross a multiple of it, and is all of one where that can be.
    fn next_blocks(&mut self, most: u64, unit: Option<u64>) -> Option<(u64, u64)> {
        let boundary = unit.unwrap_or(BLOCKS_PER_REQUEST).max(1);
        let most = most.clamp(1, boundary);
        let disk = self.disk.as_ref()?;
        let left = disk.bitmap.weight();
        let mut from = self.resync.cursor;
        // Once around, in steps that pass over what is busy.
        for _ in 0..64 {
            let Some(first) = disk.bitmap.find_next_set(from) else {
                if self.resync.cursor == 0 || from == 0 || !self.resync.goes_round(left) {
                    return None;
                }
                self.resync.recounted |= self.resync.failed > 0;
                self.resync.failed = 0;
                self.resync.cursor = 0;
                from = 0;
                continue;
            };
            let run = disk.bitmap.next_run(first)?.length.min(most);
            // Requests do not cross a multiple of their longest length: neighbours stay apart.
            let into = first.checked_rem(boundary).unwrap_or(0);
            let run = run.min(boundary.saturating_sub(into));
            let sector = first.saturating_mul(SECTORS_PER_BLOCK);
            let end = sector
                .saturating_add(run.saturating_mul(SECTORS_PER_BLOCK))
                .min(self.size);
            let sectors = end.saturating_sub(sector);
            if sectors == 0 {
                return None;
            }
            if self.overlap.find(sector, sectors, |_| true).is_none() {
                return Some((sector, sectors));
            }
            from = first.saturating_add(run);
        }
        self.resync.cursor = from;
        None
    }

    /// A request that this node makes of its own.
    pub(super) fn remember_resync_request(
        &mut self,
        purpose: Purpose,
        sector: u64,
        size: u32,
        thin: bool,
    ) -> Option<Id> {
        let asks_at_once = purpose == Purpose::ResyncWrite;
        let peer_request = PeerRequest {
            purpose,
            operation: if asks_at_once {
                Operation::Write
            } else {
                Operation::Read
            },
            sector,
            size,
            block_id: ID_SYNCER,
            sequence: 0,
            flags: DataFlags::NONE,
            epoch: self.verify.run,
            order: u64::MAX,
            stage: if asks_at_once {
                Stage::Requested
            } else {
                Stage::Waiting
            },
            orphaned: false,
            registered: true,
            needs_extents: false,
            holds_extents: false,
            thin,
            zeros: false,
            sending: false,
        };
        let sectors = peer_request.sectors();
        let id = self.peer_requests.insert(peer_request).ok()?;
        let entry = self.peer_request_entry(id);
        self.overlap.insert(entry, sector, sectors);
        Some(id)
    }

    /// The request of ours that an answer about this range belongs to.
    pub(super) fn awaited(&self, purpose: Purpose, sector: u64, size: u32) -> Option<Id> {
        self.registered(purpose, Stage::Requested, sector, size)
    }

    /// The peer request for exactly this range.
    pub(super) fn registered(
        &self,
        purpose: Purpose,
        stage: Stage,
        sector: u64,
        size: u32,
    ) -> Option<Id> {
        let requests = usize_to_u64(self.requests.capacity());
        let mut found = None;
        self.overlap.find(sector, u64::from(size >> 9), |entry| {
            let id = u64::from(entry)
                .checked_sub(requests)
                .and_then(|position| u32::try_from(position).ok())
                .and_then(|position| self.peer_requests.at(u32_to_usize(position)))
                .filter(|(_, request)| {
                    request.purpose == purpose
                        && request.stage == stage
                        && request.sector == sector
                        && request.size == size
                })
                .map(|(id, _)| id);
            found = id.or(found);
            id.is_some()
        });
        found
    }

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
