// SPDX-License-Identifier: GPL-2.0-only

//! One volume of a resource: `/dev/drbdN`, its backing disk, and what the peer has of it.

use super::activity::TransactionPhase;
use super::ahead::Ahead;
use super::digest::Digest;
use super::pace::{Courtesy, Pace};
use super::peer_request::PeerRequest;
use super::request::{Remote, Request};
use super::verify::Verify;
use crate::activity_log::ActivityLog;
use crate::bitmap::Bitmap;
use crate::config::disk::DiskConf;
use crate::meta::layout::Layout;
use crate::meta::superblock::Superblock;
use crate::num::usize_to_u64;
use crate::overlap::{Entry, OverlapIndex};
use crate::ring::Ring;
use crate::slab::{Id, Slab, Slot};
use crate::state::{ConnectionState, DiskState, Disks, State};
use crate::wire::QueueLimits;

/// Which device of the resource, by its place in the table: not the volume number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DeviceIndex(pub u8);

/// The tables of a device: storage that the shell lends for as long as the device exists.
#[derive(Debug)]
pub struct DeviceTables<'m> {
    /// Requests of applications that can be under way at once.
    pub requests: &'m mut [Slot<Request>],
    /// One number for each request.
    pub waiting: &'m mut [Id],
    /// Requests of the peer, and of resync, that can be under way at once.
    pub peer_requests: &'m mut [Slot<PeerRequest>],
    /// One number for each peer request.
    pub peer_waiting: &'m mut [Id],
    /// One entry for each request and for each peer request.
    pub overlap: &'m mut [Entry],
    /// One digest for each peer request.
    pub digests: &'m mut [Digest],
}

/// What the peer said of its side of the volume.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer {
    /// The size of its backing disk in sectors; 0 while unknown or diskless.
    pub disk_size: u64,
    /// The largest bio that it accepts, in bytes; 0 while unknown.
    pub max_bio_size: u32,
    /// Its generation UUIDs: current, bitmap, two of history, its out-of-sync blocks, its flags.
    pub uuids: Option<[u64; 6]>,
}

/// What `/proc/drbd` and netlink count, all in sectors unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sent to the peer (`ns`).
    pub sent: u64,
    /// Received from the peer (`nr`).
    pub received: u64,
    /// Written to the backing disk (`dw`).
    pub written: u64,
    /// Read from the backing disk (`dr`).
    pub read: u64,
    /// Activity log transactions (`al`), a count.
    pub activity_log_writes: u64,
    /// Bitmap pages written (`bm`), a count.
    pub bitmap_writes: u64,
}

/// The progress of a resync or verify.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resync {
    /// Blocks to do when it began.
    pub total: u64,
    /// Blocks that could not be read or written.
    pub failed: u64,
    /// Some had failed before, and were asked for again: the source may have ended for them.
    pub recounted: bool,
    /// When it began, in milliseconds.
    pub started_at: u64,
    /// Milliseconds spent paused.
    pub paused: u64,
    /// When the pause began.
    pub paused_at: Option<u64>,
    /// Target: the block where the search for the next one goes on.
    pub cursor: u64,
    /// Target: sectors asked for whose data has not been written.
    pub in_flight: u64,
    /// Target: how much may be asked for.
    pub(super) pace: Pace,
    /// Target: since when nothing is under way, and what is left waits for answers to a resync before.
    pub(super) waits_since: Option<u64>,
    /// Target: all is written; the peer has all acknowledgements when it has answered this many pings.
    pub finish_after_ping: Option<u64>,
    /// Recent points of the way: when, and how many blocks were left.
    pub marks: [(u64, u64); 8],
    /// The newest of `marks`.
    pub last_mark: usize,
    /// When user space was last told.
    pub told_at: u64,
    /// When pages of the bitmap were last written for it.
    pub saved_at: u64,
    /// Target: blocks are asked for with their digest. Source: some were.
    pub checksums: bool,
    /// Blocks that were not sent, because both digests were the same.
    pub equal_checksums: u64,
}

/// The transfer of a bitmap to the peer, and of its bitmap to us.
#[derive(Clone, Copy, Debug, Default)]
pub struct BitmapExchange {
    /// The next bit to be sent.
    pub send_position: u64,
    /// Sending is under way.
    pub sending: bool,
    /// The next bit to be received.
    pub receive_position: u64,
    /// The whole bitmap of the peer has arrived.
    pub received: bool,
    /// Turns to send a bitmap that still wait in the queue, of exchanges that were given up.
    pub overtaken: u32,
    /// One of them was sent in part over this link.
    pub broken_off: bool,
}

/// A change of the whole bitmap that must be durable before something else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitmapTask {
    /// Set all bits, as a full resync needs.
    SetAll,
    /// Clear all bits, when an initial resync is skipped.
    ClearAll,
    /// Write what changed.
    Write,
}

/// What happens once a [`BitmapTask`] is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterBitmap {
    /// Nothing.
    Nothing,
    /// Begin to exchange bitmaps: send ours.
    SendBitmap,
    /// Go on with a resync that an administrator started (`StartingSyncS`, `StartingSyncT`).
    StartSync,
    /// Finish detaching.
    Detach,
}

/// How far a [`BitmapTask`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskPhase {
    /// The superblock is being written with the full-sync flag set.
    AnnounceFullSync,
    /// Dirty pages are being written.
    WritePages,
    /// The superblock is being written with the full-sync flag cleared.
    RetractFullSync,
}

/// Writing of metadata: what is on its way, and what waits for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetadataWriter {
    /// The superblock in memory is newer than the one last handed to the disk.
    pub superblock_dirty: bool,
    /// A superblock is on its way to the disk.
    pub superblock_in_flight: bool,
    /// Counts superblocks handed to the disk.
    pub superblock_issued: u64,
    /// The number of the last superblock that is durable.
    pub superblock_durable: u64,
    /// Bitmap pages on their way to the disk.
    pub pages_in_flight: u32,
    /// How far `task` has come with the dirty pages, which it writes in ascending order; `None` before its first.
    pub next_page: Option<u64>,
    /// The activity-log transaction.
    pub transaction: TransactionPhase,
    /// The work on the whole bitmap.
    pub task: Option<(BitmapTask, TaskPhase, AfterBitmap)>,
    /// The superblock that the task waits for.
    pub task_waits_for: u64,
    /// Requests wait until this superblock is durable.
    pub hold_requests_until: Option<u64>,
}

/// The attached backing disk.
#[derive(Debug)]
pub struct Disk<'m> {
    /// Its configuration.
    pub conf: DiskConf,
    /// Where its metadata lies.
    pub layout: Layout,
    /// The superblock as it should be on the disk.
    pub superblock: Superblock,
    /// Which blocks the peer does not have.
    pub bitmap: Bitmap<'m>,
    /// Which extents are hot.
    pub activity_log: ActivityLog<'m>,
    /// All blocks are marked out of sync: there is nothing that the activity log could add.
    pub log_suspended: bool,
    /// Sectors that can hold data.
    pub max_capacity: u64,
    /// What the peer is told of its queue.
    pub limits: QueueLimits,
    /// The largest bio that it takes, in bytes.
    pub max_bio_size: u32,
    /// It has a volatile write cache, so that flushes mean something.
    pub volatile_cache: bool,
    /// Block I/O under way, data and metadata.
    pub in_flight: u32,
    /// Writing of metadata.
    pub metadata: MetadataWriter,
    /// Data was written since the last flush began.
    pub written_since_flush: bool,
    /// Flushes under way.
    pub flushes: u32,
    /// It failed: nothing more is written to it.
    pub failed: bool,
    /// When it began to work, or ended something, last: in milliseconds.
    pub active_at: u64,
}

/// One volume.
#[derive(Debug)]
pub struct Device<'m> {
    /// The volume number in the resource.
    pub volume: u16,
    /// The minor number of the block device.
    pub minor: u32,
    pub(super) state: State,
    pub(super) size: u64,
    pub(super) disk: Option<Disk<'m>>,
    pub(super) requests: Slab<'m, Request>,
    pub(super) waiting: Ring<'m, Id>,
    pub(super) peer_requests: Slab<'m, PeerRequest>,
    pub(super) peer_waiting: Ring<'m, Id>,
    pub(super) overlap: OverlapIndex<'m>,
    pub(super) digests: &'m mut [Digest],
    pub(super) peer: Peer,
    pub(super) resync: Resync,
    pub(super) courtesy: Courtesy,
    pub(super) verify: Verify,
    pub(super) exchange: BitmapExchange,
    pub(super) counters: Counters,
    /// Requests to which the peer owes an answer (`ap_pending_cnt`).
    pub(super) pending: u32,
    /// Writes that the peer's disk may not have, although the application was told that they are done.
    pub(super) unconfirmed: u32,
    /// Sectors of writes that were sent, and that the peer has not confirmed to be on stable storage (`ap_in_flight`).
    pub(super) in_flight: u64,
    /// Sectors of the peer's writes whose data is kept here.
    pub(super) buffered: u64,
    pub(super) ahead: Ahead,
    /// As source: answers to a target that it has not confirmed to be written.
    pub(super) resync_unconfirmed: u32,
    /// With `read-balancing round-robin`: whose turn it is.
    pub(super) peer_reads_next: bool,
    pub(super) crashed_primary: bool,
    pub(super) consider_resync: bool,
    pub(super) discard_my_data: bool,
    /// Our UUIDs went out over this link.
    pub(super) introduced: bool,
    /// What the peer was told of our disk when this link was made, and compares with; until that disk goes.
    pub(super) disk_told: Option<DiskState>,
    pub(super) skip_initial_sync: bool,
    /// What the peer's disk was when this node last knew.
    pub(super) last_peer_disk: DiskState,
    /// What a disk that failed was called, and the peer still has to hear.
    pub(super) uuids_of_failed_disk: Option<crate::wire::Uuids>,
    /// What ours were when they were compared with the peer's, before they were corrected: the peer hears these.
    pub(super) uuids_compared: Option<crate::wire::Uuids>,
    /// The number of marked blocks that the peer was told last; `None` where it was told nothing on this link.
    pub(super) bits_told: Option<u64>,
    /// As source: the current UUID of the target when the resync began.
    pub(super) target_current: u64,
    /// As source: what the target was called when it told us last.
    pub(super) target_name: u64,
    /// As source: what the target of the last resync is to call its data until that is finished.
    pub(super) sync_uuid: u64,
    /// As source: the target is known to have begun.
    pub(super) target_begun: bool,
    /// The target that was lost may have this node's current UUID.
    pub(super) target_may_be_equal: bool,
    /// The peer knows what our data was called when the connection was made.
    pub(super) data_told: bool,
    /// The disk went with writes of this connection in its cache, or could not flush them.
    pub(super) lost_writes: bool,
    /// The peer, a Primary, was allowed to give its disk up, and did not say that it has.
    pub(super) consent: bool,
    /// A resync in which this node has this part waits for a handler.
    pub(super) sync_wanted: Option<ConnectionState>,
    /// Handlers of such resyncs that have not ended; all but the last are of resyncs that were given up.
    pub(super) handlers_before_resync: u32,
    pub(super) resync_after_negotiation: bool,
    pub(super) use_degraded_timeout: bool,
    pub(super) attach_result: Option<Disks>,
    pub(super) exposed_uuid: u64,
    /// What the same data was called before, as long as nobody writes under the new name because that is not durable; else 0.
    pub(super) exposed_before: u64,
    /// As a Primary whose disk went: the peer's data may be called otherwise by now, and we have not heard how.
    pub(super) name_unheard: bool,
    pub(super) open_count: u32,
    pub(super) sequence: u32,
    pub(super) next_order: u64,
    pub(super) retry_waiting: bool,
    pub(super) idle_told: bool,
}

impl<'m> Device<'m> {
    /// A new device: Diskless, Secondary, not connected.
    pub fn new(volume: u16, minor: u32, tables: DeviceTables<'m>) -> Self {
        Self {
            volume,
            minor,
            state: State::default(),
            size: 0,
            disk: None,
            requests: Slab::new(tables.requests),
            waiting: Ring::new(tables.waiting),
            peer_requests: Slab::new(tables.peer_requests),
            peer_waiting: Ring::new(tables.peer_waiting),
            overlap: OverlapIndex::new(tables.overlap),
            digests: tables.digests,
            peer: Peer::default(),
            resync: Resync::default(),
            courtesy: Courtesy::default(),
            verify: Verify::default(),
            exchange: BitmapExchange::default(),
            counters: Counters::default(),
            pending: 0,
            unconfirmed: 0,
            in_flight: 0,
            buffered: 0,
            ahead: Ahead::default(),
            resync_unconfirmed: 0,
            peer_reads_next: false,
            crashed_primary: false,
            consider_resync: false,
            discard_my_data: false,
            introduced: false,
            disk_told: None,
            skip_initial_sync: false,
            last_peer_disk: DiskState::Unknown,
            uuids_of_failed_disk: None,
            uuids_compared: None,
            bits_told: None,
            target_current: 0,
            target_name: 0,
            sync_uuid: 0,
            target_begun: false,
            target_may_be_equal: false,
            data_told: false,
            lost_writes: false,
            consent: false,
            sync_wanted: None,
            handlers_before_resync: 0,
            resync_after_negotiation: false,
            use_degraded_timeout: false,
            attach_result: None,
            exposed_uuid: 0,
            exposed_before: 0,
            name_unheard: false,
            open_count: 0,
            sequence: 0,
            next_order: 0,
            retry_waiting: false,
            idle_told: false,
        }
    }

    /// Gives the tables back. The device is of no use afterwards.
    pub fn take_tables(&mut self) -> DeviceTables<'m> {
        DeviceTables {
            requests: core::mem::replace(&mut self.requests, Slab::new(&mut [])).into_storage(),
            waiting: core::mem::replace(&mut self.waiting, Ring::new(&mut [])).into_storage(),
            peer_requests: core::mem::replace(&mut self.peer_requests, Slab::new(&mut []))
                .into_storage(),
            peer_waiting: core::mem::replace(&mut self.peer_waiting, Ring::new(&mut []))
                .into_storage(),
            overlap: core::mem::replace(&mut self.overlap, OverlapIndex::new(&mut []))
                .into_storage(),
            digests: core::mem::take(&mut self.digests),
        }
    }

    /// The state of the volume.
    pub fn state(&self) -> State {
        self.state
    }

    /// The size of the block device in sectors.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Online verify: where it is, or was.
    pub fn verify(&self) -> &Verify {
        &self.verify
    }

    /// The attached disk.
    pub fn disk(&self) -> Option<&Disk<'m>> {
        self.disk.as_ref()
    }

    /// The part of a request at the peer changes, and with it what is counted of all.
    pub(super) fn set_remote(&mut self, id: Id, remote: Remote) {
        let Some(request) = self.requests.get_mut(id) else {
            return;
        };
        let before = (
            request.is_pending(),
            request.is_unconfirmed(),
            request.is_in_flight(),
        );
        request.remote = remote;
        let after = (
            request.is_pending(),
            request.is_unconfirmed(),
            request.is_in_flight(),
        );
        let sectors = request.io.sectors();
        if after.2 && !before.2 {
            self.in_flight = self.in_flight.saturating_add(sectors);
        } else if before.2 && !after.2 {
            self.in_flight = self.in_flight.saturating_sub(sectors);
        }
        count_change(&mut self.pending, before.0, after.0);
        count_change(&mut self.unconfirmed, before.1, after.1);
    }

    /// The number of a request in the overlap index.
    pub(super) fn request_entry(id: Id) -> u32 {
        id.index()
    }

    /// The number of a peer request in the overlap index: they follow the requests.
    pub(super) fn peer_request_entry(&self, id: Id) -> u32 {
        u32::try_from(usize_to_u64(self.requests.capacity()))
            .unwrap_or(u32::MAX)
            .saturating_add(id.index())
    }

    /// Those who wait get another chance; answers whether somebody does.
    pub(super) fn retry_if_any_wait(&mut self) -> bool {
        let waits = !self.waiting.is_empty() || !self.peer_waiting.is_empty();
        self.retry_waiting |= waits;
        waits
    }

    /// Whether `sectors` from `sector` lie inside the device.
    pub(super) fn holds(&self, sector: u64, sectors: u64) -> bool {
        sector
            .checked_add(sectors)
            .is_some_and(|end| end <= self.size)
    }

    /// Marks `size` bytes from `sector` as different from the peer's. Answers how many blocks were not marked before.
    pub(super) fn set_out_of_sync(&mut self, sector: u64, size: u32) -> u64 {
        let Some(disk) = self.disk.as_mut().filter(|_| size > 0) else {
            return 0;
        };
        let last_sector = sector
            .saturating_add(u64::from(size >> 9))
            .saturating_sub(1);
        disk.bitmap.set_range(sector / 8, last_sector / 8)
    }

    /// Marks the blocks that lie wholly in `size` bytes from `sector` as equal to the peer's. The last block of the
    /// device may be a short one.
    pub(super) fn set_in_sync(&mut self, sector: u64, size: u32) {
        let end = sector.saturating_add(u64::from(size >> 9));
        let whole_end = if end >= self.size {
            end.saturating_add(7) / 8
        } else {
            end / 8
        };
        let first = sector.saturating_add(7) / 8;
        let Some(last) = whole_end.checked_sub(1).filter(|last| *last >= first) else {
            return;
        };
        if let Some(disk) = self.disk.as_mut() {
            disk.bitmap.clear_range(first, last);
        }
    }

    /// Whether a bit is set in `size` bytes from `sector`.
    pub(super) fn is_out_of_sync(&self, sector: u64, size: u32) -> bool {
        let last_sector = sector
            .saturating_add(u64::from(size >> 9))
            .saturating_sub(1);
        self.disk
            .as_ref()
            .is_some_and(|disk| disk.bitmap.count_range(sector / 8, last_sector / 8) != 0)
    }
}

fn count_change(count: &mut u32, before: bool, after: bool) {
    if after && !before {
        *count = count.saturating_add(1);
    } else if before && !after {
        *count = count.saturating_sub(1);
    }
}
