// SPDX-License-Identifier: GPL-2.0-only

//! `on-congestion`: what a node does when its peer cannot keep up.
//!
//! With `pull-ahead` it stops mirroring, marks what it writes, and tells the peer which blocks those are. When the peer has
//! confirmed all that was mirrored before, and a second has passed, the marked blocks are resynchronised. Both know the
//! blocks by then, so no bitmaps are exchanged.
//!
//! Telling costs a place in the queue to the very socket that is congested. Where there is none, the write goes on, and
//! all marks are told before the resync begins. The same where the peer may have forgotten a mark because of a write that
//! was under way when this node pulled ahead.
//!
//! The data gets a current UUID of its own before it parts from the peer's: whatever happens to this node, its marks
//! count. In 8.4 a node that is demoted while it is Ahead, and then loses its peer, takes both disks for equal.

use super::connection::{DataItem, Phase};
use super::device::DeviceIndex;
use super::log::LogMessage;
use super::peer_request::Purpose;
use super::request::Io;
use super::send::Outgoing;
use super::Resource;
use crate::config::net::NetConf;
use crate::config::policy::OnCongestion;
use crate::num::SECTORS_PER_BLOCK;
use crate::state::{Change, ConnectionState, DiskState};
use crate::wire::{BlockDescriptor, Packet};

/// How long all is quiet before the resync begins, in milliseconds.
const QUIET: u64 = 1000;
/// How often that is looked at, in milliseconds.
pub(super) const LOOK_INTERVAL: u64 = 100;
/// Full tables count as congestion when the oldest write has been on its way for so long, in milliseconds.
const PATIENCE: u64 = 500;
/// Places in the data queue that are not used to tell of marks.
const RESERVED_ROOM: usize = 128;
/// The longest range in one `P_OUT_OF_SYNC`, in blocks: what 8.4 accepts in any protocol version.
const MOST_BLOCKS: u64 = 256;

/// A node that is Ahead.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    /// Blocks are marked here of which the peer was not told.
    pub untold: bool,
    /// All marks are being told, from this block on.
    telling: Option<u64>,
    /// Since when all that was mirrored is confirmed.
    quiet_since: Option<u64>,
}

/// What counts as congestion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Congestion {
    Fill,
    Extents,
    Room,
}

impl Resource<'_> {
    /// A write is about to start. True where it has to look again, or to wait, because of congestion.
    pub(super) fn is_held_by_congestion(&mut self, index: DeviceIndex) -> bool {
        let Some(policy) = self.congestion_policy(index) else {
            return false;
        };
        if let Some(congestion) = self.congestion(index) {
            self.react_to_congestion(index, policy, congestion);
            return true;
        }
        // Were all places taken by writes on their way, pulling ahead would help nobody.
        let waits = policy == OnCongestion::PullAhead && self.is_short_of_room(index);
        self.wishes.timer |= waits;
        waits
    }

    fn congestion_policy(&self, index: DeviceIndex) -> Option<OnCongestion> {
        use ConnectionState as C;
        let policy = self.connection.conf.as_ref()?.on_congestion;
        let state = self.device(index)?.state;
        let applies = policy != OnCongestion::Block
            && self.connection.agreed_protocol >= 96
            && state.disk == DiskState::UpToDate
            && state.peer_disk >= DiskState::Inconsistent
            && (state.connection == C::Connected || state.connection.is_sync_source());
        applies.then_some(policy)
    }

    fn congestion(&self, index: DeviceIndex) -> Option<Congestion> {
        let conf: &NetConf = self.connection.conf.as_ref()?;
        let device = self.device(index)?;
        let extents = u64::from(device.disk.as_ref()?.activity_log.statistics().used);
        if conf.cong_fill > 0 && device.in_flight >= u64::from(conf.cong_fill) {
            Some(Congestion::Fill)
        } else if extents >= u64::from(conf.cong_extents) {
            Some(Congestion::Extents)
        } else {
            (self.is_short_of_room(index) && self.oldest_write_is_old()).then_some(Congestion::Room)
        }
    }

    fn is_short_of_room(&self, index: DeviceIndex) -> bool {
        let places = self
            .device(index)
            .map_or(0, |device| device.requests.capacity());
        let most = places.saturating_sub(places / 4).max(1);
        self.connection.transfer_log.len() >= most
    }

    fn oldest_write_is_old(&self) -> bool {
        let oldest = self
            .connection
            .transfer_log
            .front()
            .and_then(|entry| self.request(entry.device, entry.request));
        oldest.is_some_and(|request| self.now.saturating_sub(request.asked_at) >= PATIENCE)
    }

    fn react_to_congestion(
        &mut self,
        index: DeviceIndex,
        policy: OnCongestion,
        congestion: Congestion,
    ) {
        self.log(
            index,
            LogMessage::Congested(match congestion {
                Congestion::Fill => "Congestion-fill threshold reached",
                Congestion::Extents => "Congestion-extents threshold reached",
                Congestion::Room => "Congestion: no room for more writes on their way to the peer",
            }),
        );
        let wanted = match policy {
            OnCongestion::PullAhead => return self.pull_ahead(index),
            _ => Change::none().connection(ConnectionState::Disconnecting),
        };
        match self.change_connection(wanted, false) {
            Ok(()) => self.disconnected(),
            Err(code) => self.log(index, LogMessage::StateChangeFailed(code)),
        }
    }

    fn pull_ahead(&mut self, index: DeviceIndex) {
        let wanted = Change::none().connection(ConnectionState::Ahead);
        if let Err(code) = self.change(index, wanted, false) {
            return self.log(index, LogMessage::StateChangeFailed(code));
        }
        if let Some(device) = self.device_mut(index) {
            let marked = device.disk.as_ref().map_or(0, |disk| disk.bitmap.weight());
            device.ahead = Ahead {
                // The word that blocks are equal, on the other socket, may come after that of a mark.
                untold: marked > 0 || device.resync.checksums,
                ..Ahead::default()
            };
        }
        if self.bitmap_uuid(index) == Some(0) {
            self.new_current_uuid(index);
            self.send_data(DataItem::Uuids(index));
        }
        self.wishes.timer = true;
    }

    /// A write that is not mirrored marked `newly` blocks that were not marked before.
    pub(super) fn tell_of_write(&mut self, index: DeviceIndex, io: &Io, newly: u64) {
        let has_room = self.data_room() >= RESERVED_ROOM;
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if device.state.connection == ConnectionState::Ahead {
            // Those that were marked before were told before, or will be.
            if newly == 0 {
                return;
            }
            if !has_room {
                device.ahead.untold = true;
                return;
            }
        }
        let epoch = self.connection.epoch;
        self.send_data(DataItem::OutOfSync(index, io.sector, io.size, epoch));
    }

    /// The peer has written blocks, and forgot that they were marked. Those that are, are not equal: this node is Ahead.
    pub(super) fn peer_forgot_marks(&mut self, index: DeviceIndex) {
        if let Some(device) = self.device_mut(index) {
            device.ahead.untold = true;
        }
    }

    /// Whether a timer looks at some device that is Ahead, or may have to go there.
    pub(super) fn looks_at_congestion(&self) -> bool {
        let pulls = self
            .connection
            .conf
            .as_ref()
            .is_some_and(|conf| conf.on_congestion == OnCongestion::PullAhead);
        self.present().any(|(_, device)| {
            device.state.connection == ConnectionState::Ahead
                || (pulls && !device.waiting.is_empty())
        })
    }

    /// Some time has passed.
    pub(super) fn check_congestion(&mut self) {
        if !self.looks_at_congestion() {
            return;
        }
        for index in self.indices() {
            let Some(device) = self.device_mut(index) else {
                continue;
            };
            if device.state.connection == ConnectionState::Ahead {
                self.check_ahead(index);
            } else {
                self.progress |= device.retry_if_any_wait();
            }
        }
    }

    /// Ends being Ahead when the time has come.
    fn check_ahead(&mut self, index: DeviceIndex) {
        let now = self.now;
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let mirrored = device.requests.iter().any(|(_, request)| request.logged);
        if mirrored {
            device.ahead.quiet_since = None;
            return;
        }
        let since = *device.ahead.quiet_since.get_or_insert(now);
        let resyncing = device.resync_unconfirmed > 0
            || device.peer_requests.iter().any(|(_, request)| {
                matches!(request.purpose, Purpose::ResyncRead | Purpose::ChecksumRead)
            });
        if now.saturating_sub(since) < QUIET || resyncing || device.ahead.telling.is_some() {
            return;
        }
        if core::mem::take(&mut device.ahead.untold) {
            device.ahead.telling = Some(0);
            self.wishes.send_data = true;
            return;
        }
        self.prepare_resync(index, ConnectionState::SyncSource);
    }

    /// Whether a resync may follow now: the peer knows all marks.
    pub(super) fn all_marks_are_told(&self, index: DeviceIndex) -> bool {
        self.device(index).is_some_and(|device| {
            device.state.connection != ConnectionState::Ahead
                || (!device.ahead.untold && device.ahead.telling.is_none())
        })
    }

    /// The next of all marks that are told.
    pub(super) fn next_mark(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        if self.connection.phase != Phase::Open {
            return None;
        }
        for index in self.indices() {
            let block = self.device_mut(index).and_then(|device| {
                let ahead = device.state.connection == ConnectionState::Ahead;
                let from = device.ahead.telling.filter(|_| ahead)?;
                let next = device.disk.as_ref().and_then(|disk| {
                    let first = disk.bitmap.find_next_set(from)?;
                    let length = disk.bitmap.next_run(first)?.length.clamp(1, MOST_BLOCKS);
                    Some((first, first.saturating_add(length)))
                });
                device.ahead.telling = next.map(|(_, end)| end);
                let (first, end) = next?;
                let sector = first.checked_mul(SECTORS_PER_BLOCK)?;
                let sectors = end
                    .checked_mul(SECTORS_PER_BLOCK)?
                    .min(device.size)
                    .checked_sub(sector)?;
                let size = u32::try_from(sectors.checked_mul(512)?).ok()?;
                Some(BlockDescriptor { sector, size })
            });
            if let Some(block) = block {
                let volume = self.device(index)?.volume;
                return self.plain(&Packet::OutOfSync(block), volume, buffer);
            }
        }
        None
    }
}
