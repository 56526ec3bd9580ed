// SPDX-License-Identifier: GPL-2.0-only

//! Which disk serves a read, and what becomes of a read that one of them could not serve.
//!
//! A read goes to one place. Where both could serve it, `read-balancing` decides. When that place fails, the read begins
//! anew, and finds its way by what is known then: a block that could not be read here is out of sync, a disk that failed
//! is gone, a peer that is lost is not asked.

use super::device::{Device, DeviceIndex};
use super::request::{Io, Local, Operation, Remote, Request};
use super::submit::Route;
use super::Resource;
use crate::config::policy::ReadBalancing;
use crate::slab::Id;
use crate::state::{ConnectionState, DiskState};

/// Times that disks may refuse the same read, or a write that waits for data. A node whose disk went says so on the data socket, its refusals come on the
/// meta socket: for a moment they overtake the news.
pub(super) const MOST_REFUSALS: u8 = 100;

impl Resource<'_> {
    /// Lets a request that ended badly begin anew, where there is a use in that.
    pub(super) fn tries_again(&mut self, index: DeviceIndex, id: Id) -> bool {
        let waits = self
            .request(index, id)
            .is_some_and(|request| self.waits_for_data(index, request));
        let entry = Device::request_entry(id);
        let Some(device) = self.device_mut(index) else {
            return false;
        };
        let Some(request) = device.requests.get_mut(id) else {
            return false;
        };
        if !waits && !request.read_may_be_repeated() {
            return false;
        }
        if core::mem::replace(&mut request.registered, false) {
            device.overlap.remove(entry);
        }
        let Some(request) = device.requests.get_mut(id) else {
            return false;
        };
        if request.remote != Remote::Lost {
            request.refusals = request.refusals.saturating_add(1);
        }
        request.started = false;
        request.local = Local::Unneeded;
        request.remote = Remote::Unneeded;
        let full = device.waiting.push(id).is_err();
        if full {
            self.break_down();
        }
        self.retry_when_drained(index);
        true
    }
}

impl Request {
    fn read_may_be_repeated(&self) -> bool {
        let was_somewhere =
            self.local == Local::Failed || matches!(self.remote, Remote::Failed | Remote::Lost);
        was_somewhere
            && self.io.operation == Operation::Read
            && !self.io.read_ahead
            && self.refusals < MOST_REFUSALS
    }
}

impl Device<'_> {
    /// Where a read goes; `None` where it has to wait. A read that was refused somewhere stays here, if it can.
    pub(super) fn route_read(&mut self, io: &Io, refusals: u8) -> Option<Route> {
        let here = self.can_read(io);
        let there = self.state.peer_disk == DiskState::UpToDate
            && self.state.connection >= ConnectionState::Connected;
        if !there || (here && (refusals > 0 || !self.prefers_peer(io))) {
            return Some(Route::read(here, false));
        }
        // The disk of a peer that runs 8.4 may do a read before a write that came earlier.
        if self.peer_may_lack(io.sector, io.sectors()) {
            return here.then(|| Route::read(true, false));
        }
        Some(Route::read(false, true))
    }

    /// Whether the own disk has what is to be read.
    pub(super) fn can_read(&self, io: &Io) -> bool {
        let usable = self.disk.is_some() && self.state.disk >= DiskState::Inconsistent;
        usable && self.reads_locally(io)
    }

    fn reads_locally(&self, io: &Io) -> bool {
        match self.state.disk {
            DiskState::UpToDate => true,
            DiskState::Inconsistent => !self.is_out_of_sync(io.sector, io.size),
            _ => false,
        }
    }

    /// What `read-balancing` says of a read that either disk could serve (`remote_due_to_read_balancing`).
    fn prefers_peer(&mut self, io: &Io) -> bool {
        let Some(disk) = self.disk.as_ref() else {
            return true;
        };
        let method = disk.conf.read_balancing;
        // Whatever made these blocks differ: applications have seen those of the own disk.
        if method == ReadBalancing::PreferLocal || self.is_out_of_sync(io.sector, io.size) {
            return false;
        }
        match method {
            // The kernel no longer says whether a disk is congested: in 8.4 as here nothing leaves this node.
            ReadBalancing::PreferLocal | ReadBalancing::CongestedRemote => false,
            ReadBalancing::PreferRemote => true,
            ReadBalancing::RoundRobin => {
                self.peer_reads_next = !self.peer_reads_next;
                !self.peer_reads_next
            }
            // This read counts, as it would be one more here.
            ReadBalancing::LeastPending => disk.in_flight >= self.pending(),
            striping => striping.stripe_shift().is_some_and(|shift| {
                io.sector
                    .checked_shr(shift)
                    .is_some_and(|stripe| stripe & 1 != 0)
            }),
        }
    }

    /// Whether the application was told that something was written to `sectors` from `sector` which the peer's disk may not
    /// have: with protocols A and B.
    pub(super) fn peer_may_lack(&self, sector: u64, sectors: u64) -> bool {
        if self.unconfirmed == 0 {
            return false;
        }
        let end = sector.saturating_add(sectors);
        self.requests.iter().any(|(_, other)| {
            other.is_unconfirmed()
                && other.io.sector < end
                && sector < other.io.sector.saturating_add(other.io.sectors())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::request::{Request, WaitFor};

    #[test]
    fn what_was_nowhere_is_not_repeated() {
        let mut request = Request::started(Operation::Read);
        assert!(!request.read_may_be_repeated());
        request.local = Local::Failed;
        assert!(request.read_may_be_repeated());
        request.io.read_ahead = true;
        assert!(!request.read_may_be_repeated());
    }

    #[test]
    fn writes_are_not_repeated() {
        let mut request = Request::started(Operation::Read);
        request.io.operation = Operation::Write;
        request.remote = Remote::Lost;
        assert!(!request.read_may_be_repeated());
    }

    #[test]
    fn refusals_come_to_an_end() {
        let mut request = Request::started(Operation::Read);
        request.remote = Remote::Failed;
        request.refusals = MOST_REFUSALS;
        assert!(!request.read_may_be_repeated());
    }

    #[test]
    fn the_peer_owes_an_answer() {
        let mut request = Request::started(Operation::Read);
        request.remote = Remote::Sent;
        assert!(request.is_pending() && !request.is_unconfirmed());
        request.io.operation = Operation::Write;
        request.wait_for = WaitFor::Sent;
        assert!(!request.is_pending() && request.is_unconfirmed());
    }
}
