// SPDX-License-Identifier: GPL-2.0-only

//! From the application's bio to both disks: admission, and what ends a request.
//!
//! A request is admitted when the state allows new I/O, no overlapping range is busy, and its extents of the activity
//! log are hot on the disk. Until then it waits. Then, in one step, it is decided where it goes: the backing disk, the
//! peer, or both; a block that only one of them gets is marked out of sync before the disk sees it.

use super::connection::{DataItem, LogEntry};
use super::device::{Device, DeviceIndex};
use super::effect::{Completion, Effect, Outcome};
use super::log::LogMessage;
use super::request::{Io, Local, Operation, Remote, Request, WaitFor};
use super::Resource;
use crate::config::policy::Protocol;
use crate::slab::Id;
use crate::state::{ConnectionState, DiskState, State};

/// What became of a submitted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The engine has it. Keep the bio under the number of this.
    Accepted(Id),
    /// There is no room: try again when [`Wishes::room`](super::Wishes::room) says so.
    Wait,
    /// It lies outside the device: end it with an error.
    Refused,
}

/// Whether a write goes to the peer as well (`drbd_should_do_remote`).
pub(super) fn mirrors(state: &State) -> bool {
    state.peer_disk == DiskState::UpToDate
        || (state.peer_disk >= DiskState::Inconsistent
            && state.connection >= ConnectionState::WFBitMapT
            && state.connection < ConnectionState::Ahead)
}

/// Whether the peer is told of a write that it does not get (`drbd_should_send_out_of_sync`).
fn tells_out_of_sync(state: &State) -> bool {
    matches!(
        state.connection,
        ConnectionState::Ahead | ConnectionState::WFBitMapS
    )
}

/// Whether new I/O may start: not while bitmaps are compared as target, nor while a disk comes or goes
/// (`drbd_state_is_stable`).
fn accepts_io(state: &State, agreed_protocol: u32) -> bool {
    let connection = match state.connection {
        ConnectionState::WFBitMapS => agreed_protocol >= 96,
        ConnectionState::WFBitMapT | ConnectionState::WFSyncUUID => false,
        _ => true,
    };
    let disk = !matches!(
        state.disk,
        DiskState::Attaching | DiskState::Negotiating | DiskState::Unknown
    );
    connection && disk && !state.is_suspended()
}

/// Where an admitted request goes.
pub(super) struct Route {
    local: bool,
    remote: bool,
    out_of_sync: bool,
    /// Current data cannot be reached: it fails.
    no_data: bool,
}

impl Route {
    const NO_DATA: Self = Self {
        local: false,
        remote: false,
        out_of_sync: false,
        no_data: true,
    };

    /// To one disk, or to none.
    pub(super) const fn read(local: bool, remote: bool) -> Self {
        if !local && !remote {
            return Self::NO_DATA;
        }
        Self {
            local,
            remote,
            out_of_sync: false,
            no_data: false,
        }
    }
}

impl Resource<'_> {
    /// Takes a request of an application.
    pub fn submit(&mut self, index: DeviceIndex, io: Io) -> Admission {
        let now = self.now;
        let Some(device) = self.device_mut(index) else {
            return Admission::Refused;
        };
        if io.operation != Operation::Flush
            && (io.size == 0 || !device.holds(io.sector, io.sectors()))
        {
            return Admission::Refused;
        }
        let Ok(id) = device.requests.insert(Request::new(io, now)) else {
            self.room_wanted = true;
            return Admission::Wait;
        };
        if !device.waiting.is_empty() || !self.try_start(index, id) {
            self.wait(index, id);
        }
        Admission::Accepted(id)
    }

    fn wait(&mut self, index: DeviceIndex, id: Id) {
        if let Some(device) = self.device_mut(index) {
            let full = device.waiting.push(id).is_err();
            if full {
                self.break_down();
            }
        }
    }

    /// Gives each waiting request of a device one more chance.
    pub(super) fn retry_waiting(&mut self, index: DeviceIndex) {
        let count = self.device(index).map_or(0, |device| device.waiting.len());
        for _ in 0..count {
            let Some(id) = self
                .device_mut(index)
                .and_then(|device| device.waiting.pop())
            else {
                return;
            };
            if !self.try_start(index, id) {
                self.wait(index, id);
            }
        }
    }

    /// There are more effects than anybody carried out so far: once that is done, those who wait get another chance.
    pub(super) fn retry_when_drained(&mut self, index: DeviceIndex) {
        if let Some(device) = self.device_mut(index) {
            device.retry_waiting = true;
        }
        self.progress = true;
    }

    /// Starts a request if nothing stands in its way.
    fn try_start(&mut self, index: DeviceIndex, id: Id) -> bool {
        if self.effect_room() < 8 {
            self.retry_when_drained(index);
            return false;
        }
        if self.data_room() < 64 || self.connection.transfer_log.room() == 0 {
            self.connection.close_epoch();
            self.wishes.send_data = true;
            return false;
        }
        let agreed_protocol = self.connection.agreed_protocol;
        let Some(device) = self.device_mut(index) else {
            return false;
        };
        let Some((io, refusals)) = device
            .requests
            .get(id)
            .map(|request| (request.io, request.refusals))
        else {
            return true;
        };
        if !accepts_io(&device.state, agreed_protocol) || device.is_held() {
            return false;
        }
        if io.is_write() && !device.is_free_for_write(io.sector, io.sectors()) {
            return false;
        }
        if io.is_write() && self.is_held_by_congestion(index) {
            return false;
        }
        let Some(device) = self.device_mut(index) else {
            return false;
        };
        let Some(route) = device.route(&io, refusals) else {
            return false;
        };
        let Some(route) = self.route_within_limits(index, &io, route) else {
            return false;
        };
        if io.is_write() && route.local && !self.hold_extents(index, id, io.sector, io.sectors()) {
            return false;
        }
        self.start(index, id, io, route);
        true
    }

    /// The same route, or another where the peer cannot be sent this request; `None` where it has to wait.
    ///
    /// The block layer hears of a peer's limits some time after the engine: what it made before may be too much. A write
    /// goes to the own disk alone, as one does that finds no peer, and the resync of the next connection brings it there.
    /// Where the own disk is not good, that would be no way on: it fails.
    fn route_within_limits(&mut self, index: DeviceIndex, io: &Io, route: Route) -> Option<Route> {
        if !route.remote || self.peer_takes(io) {
            return Some(route);
        }
        self.log(
            index,
            LogMessage::TooMuchForPeer {
                sector: io.sector,
                sectors: io.sectors(),
            },
        );
        let good = self
            .device(index)
            .is_some_and(|device| device.state.disk == DiskState::UpToDate);
        if io.is_write() && route.local && good {
            self.connection_failed(ConnectionState::NetworkFailure);
            return None;
        }
        let device = self.device_mut(index)?;
        if io.operation == Operation::Read {
            return Some(Route::read(device.can_read(io), false));
        }
        Some(Route::NO_DATA)
    }

    fn start(&mut self, index: DeviceIndex, id: Id, io: Io, route: Route) {
        let now = self.now;
        let wait_for = match self.connection.conf.as_ref().map(|conf| conf.wire_protocol) {
            Some(Protocol::A) => WaitFor::Sent,
            Some(Protocol::B) => WaitFor::Received,
            _ => WaitFor::Written,
        };
        if io.operation == Operation::Flush || io.preflush {
            self.connection.close_epoch();
        }
        let epoch = self.connection.epoch;
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let syncing = device.state.connection >= ConnectionState::SyncSource
            && device.state.connection <= ConnectionState::PausedSyncT;
        let entry = Device::request_entry(id);
        let registered = io.is_write() && device.overlap.insert(entry, io.sector, io.sectors());
        let newly = if io.is_write() && route.local && !route.remote {
            device.set_out_of_sync(io.sector, io.size)
        } else {
            0
        };
        let Some(request) = device.requests.get_mut(id) else {
            return;
        };
        request.started = true;
        request.started_at = now;
        request.asked_at = now;
        request.registered = registered;
        request.wait_for = wait_for;
        request.may_set_in_sync = syncing;
        if route.local {
            request.local = Local::Pending;
        } else if route.no_data && io.operation == Operation::Flush {
            // Elsewhere a flush without a disk of its own leaves it to the peer.
            request.local = Local::Failed;
        }
        if route.remote {
            request.epoch = epoch;
            request.logged = io.is_write();
            request.handed_over = false;
            device.set_remote(id, Remote::Queued);
            if io.is_write() && !route.local {
                device.writes_on_peer_alone();
            }
        }
        if route.no_data {
            self.log(
                index,
                LogMessage::NoDataAccess {
                    sector: io.sector,
                    sectors: io.sectors(),
                },
            );
        }
        if route.remote {
            if io.is_write() {
                self.join_epoch(LogEntry {
                    device: index,
                    request: id,
                    epoch,
                });
            }
            self.send_data(DataItem::Request(index, id));
        }
        if route.out_of_sync {
            self.tell_of_write(index, &io, newly);
        }
        if route.local {
            self.disk_io_begins(index);
            self.effect(Effect::SubmitRequest {
                device: index,
                request: id,
            });
        }
        self.advance_request(index, id);
    }

    fn join_epoch(&mut self, entry: LogEntry) {
        let limit = self
            .connection
            .conf
            .as_ref()
            .map_or(2048, |conf| conf.max_epoch_size);
        if self.connection.transfer_log.push(entry).is_err() {
            self.break_down();
        }
        self.connection.epoch_writes = self.connection.epoch_writes.saturating_add(1);
        if self.connection.epoch_writes >= limit {
            self.connection.close_epoch();
        }
    }

    /// The backing disk ended a request.
    pub fn local_io_done(&mut self, index: DeviceIndex, id: Id, success: bool) {
        let found = self.request(index, id).map(|request| request.io);
        if success && found.is_some_and(|io| io.operation != Operation::Read) {
            // First of all: a disk that is about to go is flushed.
            self.data_written(index);
        }
        self.disk_io_ends(index);
        let (Some(device), Some(io)) = (self.device_mut(index), found) else {
            return;
        };
        if let Some(request) = device.requests.get_mut(id) {
            request.local = if success { Local::Done } else { Local::Failed };
        }
        if success && io.operation == Operation::Read {
            device.counters.read = device.counters.read.saturating_add(io.sectors());
        } else if success {
            device.counters.written = device.counters.written.saturating_add(io.sectors());
        }
        if success {
            self.own_disk_has_written(index, id);
        } else {
            self.local_request_failed(index, io);
        }
        self.advance_request(index, id);
    }

    /// What was to be read here is only at the peer, as is what was to be written.
    fn local_request_failed(&mut self, index: DeviceIndex, io: Io) {
        if io.read_ahead {
            return;
        }
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let connection = device.state.connection;
        let is_source = connection == ConnectionState::WFBitMapS || connection.is_sync_source();
        // Of a target that is Primary, the peer's word about the same write would clear the mark, and the source has none.
        let is_target = connection.is_sync_target()
            || matches!(
                connection,
                ConnectionState::WFBitMapT | ConnectionState::WFSyncUUID
            );
        // A node that is Ahead tells its marks before it becomes a source.
        let is_ahead = connection == ConnectionState::Ahead;
        // The target does not know of marks that the source makes by itself: it would never be done. A block that was not
        // read is as good as before. One that was not written is not: the resync begins anew, with that mark.
        if !(is_source || is_ahead) || io.is_write() {
            device.set_out_of_sync(io.sector, io.size);
            device.ahead.untold |= is_ahead;
        }
        self.disk_failed(index, io.sector, false);
        if (is_source || is_target) && io.is_write() {
            self.connection_failed(ConnectionState::NetworkFailure);
        }
    }

    /// Something about a request changed: ends it, and forgets it, where that is due.
    pub(super) fn advance_request(&mut self, index: DeviceIndex, id: Id) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let Some(request) = device.requests.get_mut(id) else {
            return;
        };
        if request.ending {
            self.forget_request(index, id);
            return;
        }
        let Some(outcome) = request.outcome() else {
            return;
        };
        let request = *request;
        let outcome = if request.missed_the_good_disk(device.state.disk) {
            Outcome::IoError
        } else {
            outcome
        };
        let is_done = outcome.is_success() && !self.waits_for_data(index, &request);
        if !is_done && self.tries_again(index, id) {
            return;
        }
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let Some(request) = device.requests.get_mut(id) else {
            return;
        };
        request.ending = true;
        let epoch = request.epoch;
        let logged = request.logged;
        let registered = core::mem::take(&mut request.registered);
        if registered {
            device.overlap.remove(Device::request_entry(id));
            self.progress |= device.retry_if_any_wait() || device.verify.waits();
        }
        // What an application does next may depend on what just completed: it belongs to a later epoch.
        if logged && epoch == self.connection.epoch {
            self.connection.close_epoch();
            self.wishes.send_data = true;
        }
        self.complete(Completion {
            device: index,
            request: id,
            outcome,
        });
    }

    /// The shell is about to tell the application: the token is no longer needed.
    pub(super) fn request_ended(&mut self, index: DeviceIndex, id: Id) {
        if let Some(device) = self.device_mut(index) {
            if let Some(request) = device.requests.get_mut(id) {
                request.completed = true;
            }
        }
        self.forget_request(index, id);
    }

    fn forget_request(&mut self, index: DeviceIndex, id: Id) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let Some(request) = device.requests.get(id) else {
            return;
        };
        if !request.is_finished() {
            return;
        }
        let (io, holds_extents) = (request.io, request.holds_extents);
        device.requests.remove(id);
        self.wishes.room = true;
        if holds_extents {
            self.release_extents(index, io.sector, io.sectors());
        }
    }
}

impl Device<'_> {
    /// Whether requests wait for metadata that has to be durable before them.
    pub(super) fn is_held(&self) -> bool {
        self.disk
            .as_ref()
            .is_some_and(|disk| !disk.failed && disk.metadata.holds_requests())
    }

    /// Where a request goes; `None` where it has to wait.
    fn route(&mut self, io: &Io, refusals: u8) -> Option<Route> {
        let usable = self.disk.is_some() && self.state.disk >= DiskState::Inconsistent;
        if io.operation != Operation::Read && !self.reaches_current_data(usable) {
            return Some(Route::NO_DATA);
        }
        let (remote, out_of_sync) = match io.operation {
            Operation::Read => return self.route_read(io, refusals),
            Operation::Flush => (false, false),
            Operation::Write | Operation::Discard | Operation::WriteZeroes => {
                let remote = mirrors(&self.state);
                (remote, usable && !remote && tells_out_of_sync(&self.state))
            }
        };
        Some(Route {
            local: usable,
            remote,
            out_of_sync,
            no_data: false,
        })
    }

    /// Whether a write would have a future: what only a disk gets that is not UpToDate is overwritten by the next resync, and nobody
    /// could read it before.
    fn reaches_current_data(&self, usable: bool) -> bool {
        if !usable {
            return mirrors(&self.state);
        }
        self.state.disk == DiskState::UpToDate || self.state.peer_disk == DiskState::UpToDate
    }
}

/// Whether an outcome is good: what the shell turns into a block status.
impl Outcome {
    /// Whether the application's request succeeded.
    pub fn is_success(self) -> bool {
        self == Self::Success
    }
}
