// SPDX-License-Identifier: GPL-2.0-only

//! What the target of a resync asks for next.

use super::device::{Device, DeviceIndex, Resync};
use super::log::LogMessage;
use super::peer_request::{PeerRequest, Purpose, Stage};
use super::request::Operation;
use super::send::{Outgoing, Payload};
use super::timers::deciseconds;
use super::Resource;
use crate::num::{u32_to_usize, usize_to_u64, SECTORS_PER_BLOCK};
use crate::slab::Id;
use crate::state::ConnectionState;
use crate::wire::block::ID_SYNCER;
use crate::wire::{BlockRequest, DataFlags, Packet};

/// The longest resync request, in blocks: 512 KiB.
const BLOCKS_PER_REQUEST: u64 = 128;

impl Resource<'_> {
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

    /// A source of 8.4 throws away what it was asked for when it finds that the target's disk is gone, and answers nothing. If the disk
    /// comes back, those blocks cannot be asked for again: nobody could tell an answer that is late from the new one, and the
    /// block may have changed in between. Where nothing else is left, both connect anew.
    pub(super) fn check_lost_answers(&mut self) {
        let now = self.now;
        let patience = self
            .connection
            .conf
            .as_ref()
            .map_or(u64::MAX, |conf| deciseconds(conf.timeout));
        for index in self.indices() {
            let Some(device) = self.device_mut(index) else {
                continue;
            };
            if !device.waits_for_lost_answers() {
                device.resync.waits_since = None;
                continue;
            }
            let since = *device.resync.waits_since.get_or_insert(now);
            if now.saturating_sub(since) > patience {
                self.log(index, LogMessage::ResyncAnswersLost);
                return self.connection_failed(ConnectionState::NetworkFailure);
            }
        }
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
}

impl Resync {
    /// Whether a target that got to the end of the device begins anew: blocks are left that were busy, or that its source did not
    /// want to send. With them it asks again for those that failed, and counts these anew. While answers are on their way it is too
    /// early to tell the ones from the others; a target that did not wait could go round for ever.
    fn goes_round(&self, left: u64) -> bool {
        self.in_flight == 0 && left > self.failed
    }
}

impl Device<'_> {
    fn waits_for_lost_answers(&self) -> bool {
        self.state.connection == ConnectionState::SyncTarget
            && self.resync.in_flight == 0
            && !self.nothing_is_left()
            && self
                .peer_requests
                .iter()
                .any(|(_, request)| request.is_given_up())
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

    /// Whether nothing is under way that an application's write to this range has to wait for.
    pub(super) fn is_free_for_write(&self, sector: u64, sectors: u64) -> bool {
        let in_the_way = |entry| {
            self.peer_request_of(entry)
                .is_none_or(|(_, request)| !request.is_given_up())
        };
        self.overlap.find(sector, sectors, in_the_way).is_none()
    }

    /// The peer request that has this place in the overlap index; `None` for an application's request.
    pub(super) fn peer_request_of(&self, entry: u32) -> Option<(Id, &PeerRequest)> {
        let requests = usize_to_u64(self.requests.capacity());
        let position = u64::from(entry).checked_sub(requests)?;
        let position = u32::try_from(position).ok()?;
        self.peer_requests.at(u32_to_usize(position))
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
        let mut found = None;
        self.overlap.find(sector, u64::from(size >> 9), |entry| {
            let id = self
                .peer_request_of(entry)
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
}
