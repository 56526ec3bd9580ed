// SPDX-License-Identifier: GPL-2.0-only

//! One request of an application, from the moment the device takes it to the moment nobody needs to know of it.
//!
//! A write is known for longer than the application waits for it: it stays in the transfer log until the peer has
//! confirmed, with a barrier acknowledgement, that it is on stable storage there. Should the connection be lost before,
//! its blocks are marked out of sync.

use super::effect::Outcome;
use crate::state::DiskState;

/// What is done to a range of sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read data.
    Read,
    /// Write data.
    Write,
    /// Write nothing, but make what was written durable.
    Flush,
    /// The data is no longer needed.
    Discard,
    /// Let the range read as zeroes.
    WriteZeroes,
}

/// A piece of I/O as an application submits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Io {
    /// What to do.
    pub operation: Operation,
    /// The first sector.
    pub sector: u64,
    /// Bytes, a multiple of 512; 0 for a flush.
    pub size: u32,
    /// Everything completed before must be durable before this is done (`REQ_PREFLUSH`).
    pub preflush: bool,
    /// This must be durable when it completes (`REQ_FUA`).
    pub fua: bool,
    /// Somebody waits for it (`REQ_SYNC`).
    pub sync: bool,
    /// A write-zeroes may free the storage (not `REQ_NOUNMAP`).
    pub unmap: bool,
    /// Nobody asked for it yet (`REQ_RAHEAD`): it may fail, and that says nothing about the disk.
    pub read_ahead: bool,
}

impl Io {
    /// The length in sectors.
    pub fn sectors(&self) -> u64 {
        u64::from(self.size >> 9)
    }

    /// Whether it changes data.
    pub fn is_write(&self) -> bool {
        matches!(
            self.operation,
            Operation::Write | Operation::Discard | Operation::WriteZeroes
        )
    }
}

/// What the backing disk has to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// Nothing.
    Unneeded,
    /// It was submitted, or is about to be.
    Pending,
    /// It succeeded.
    Done,
    /// It failed.
    Failed,
}

/// What the peer has to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remote {
    /// Nothing.
    Unneeded,
    /// It waits to be sent.
    Queued,
    /// It was handed to the socket.
    Sent,
    /// The peer has it in memory (protocol B).
    Received,
    /// The peer's disk did it; or, for a read, the data arrived.
    Done,
    /// The peer could not do it.
    Failed,
    /// The peer could not do it, and that is no end: it begins anew once its epoch is over.
    Refused,
    /// The connection was lost before the peer's answer.
    Lost,
}

/// What an application waits for before its write is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Protocol A: the own disk, and the data handed to the socket.
    Sent,
    /// Protocol B: the peer has the data in memory.
    Received,
    /// Protocol C: the peer's disk has the data.
    Written,
}

/// An application's request.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// What the application asked for.
    pub io: Io,
    /// When the peer was asked to do its part, in milliseconds: it was queued for that, then the socket took the last of it.
    pub asked_at: u64,
    /// When it passed admission, in milliseconds.
    pub started_at: u64,
    /// Its part on the backing disk.
    pub local: Local,
    /// Its part at the peer.
    pub remote: Remote,
    /// What completes it.
    pub wait_for: WaitFor,
    /// The epoch that it is part of, when it is mirrored.
    pub epoch: u32,
    /// It passed admission.
    pub started: bool,
    /// Its range is in the overlap index.
    pub registered: bool,
    /// It keeps its extents of the activity log hot.
    pub holds_extents: bool,
    /// The transfer log refers to it.
    pub logged: bool,
    /// The shell reads its pages into a socket: they must stay.
    pub sending: bool,
    /// A socket had it, all or in part: the peer may answer, even where that socket said later that it failed.
    pub handed_over: bool,
    /// The outcome is in the queue of completions, or was told.
    pub ending: bool,
    /// The application was told the outcome.
    pub completed: bool,
    /// The peer was told that success may clear bits.
    pub may_set_in_sync: bool,
    /// The peer has written it and calls these blocks equal; the own disk has not written it yet.
    pub in_sync_at_peer: bool,
    /// Disks that could not do it: a read begins anew after each.
    pub refusals: u8,
}

impl Request {
    /// A request that nothing was decided about yet.
    pub fn new(io: Io, now: u64) -> Self {
        Self {
            io,
            asked_at: now,
            started_at: now,
            local: Local::Unneeded,
            remote: Remote::Unneeded,
            wait_for: WaitFor::Written,
            epoch: 0,
            started: false,
            registered: false,
            holds_extents: false,
            logged: false,
            sending: false,
            handed_over: false,
            ending: false,
            completed: false,
            may_set_in_sync: false,
            in_sync_at_peer: false,
            refusals: 0,
        }
    }

    /// Whether the peer owes the answer that the application waits for, or would, had its own disk not been slower.
    pub fn is_pending(&self) -> bool {
        match self.remote {
            Remote::Queued => true,
            Remote::Sent => !self.io.is_write() || self.wait_for != WaitFor::Sent,
            _ => false,
        }
    }

    /// Whether the peer has got it, and has to answer by itself.
    pub fn owes_answer(&self) -> bool {
        self.remote == Remote::Sent && self.is_pending()
    }

    /// Whether this is a write that was sent, and that the peer has not confirmed to be on stable storage.
    pub fn is_in_flight(&self) -> bool {
        self.io.is_write() && matches!(self.remote, Remote::Sent | Remote::Received)
    }

    /// Whether this is a write that may complete before the peer's disk has it, which is not known yet.
    pub fn is_unconfirmed(&self) -> bool {
        self.io.is_write()
            && self.wait_for != WaitFor::Written
            && matches!(
                self.remote,
                Remote::Queued | Remote::Sent | Remote::Received
            )
    }

    /// What to tell the application, as soon as that is certain.
    pub fn outcome(&self) -> Option<Outcome> {
        if !self.started || self.sending || self.local == Local::Pending || !self.remote_settled() {
            return None;
        }
        let remote_good = matches!(self.remote, Remote::Sent | Remote::Received | Remote::Done);
        if self.local == Local::Done || remote_good {
            Some(Outcome::Success)
        } else if self.io.operation == Operation::Flush && self.local == Local::Unneeded {
            // Without a disk of its own, this node has nothing to flush; the barrier makes the peer do it.
            Some(Outcome::Success)
        } else {
            Some(Outcome::IoError)
        }
    }

    /// Whether this is a write that the peer did not do, and that the own disk did, which is the target of a resync: it will be
    /// overwritten.
    pub fn missed_the_good_disk(&self, disk: DiskState) -> bool {
        let missed = matches!(self.remote, Remote::Failed | Remote::Lost);
        missed && self.io.is_write() && disk == DiskState::Inconsistent
    }

    /// Whether nothing refers to the request any more.
    pub fn is_finished(&self) -> bool {
        self.completed
            && !self.sending
            && !self.logged
            && self.local != Local::Pending
            && self.remote != Remote::Queued
    }

    fn remote_settled(&self) -> bool {
        match self.remote {
            Remote::Unneeded | Remote::Done | Remote::Failed | Remote::Lost => true,
            Remote::Queued => false,
            Remote::Refused => !self.logged,
            Remote::Sent => self.io.is_write() && self.wait_for == WaitFor::Sent,
            Remote::Received => self.wait_for == WaitFor::Received,
        }
    }
}

#[cfg(test)]
impl Request {
    /// For tests: 4 KiB at the start of the device, begun.
    pub(super) fn started(operation: Operation) -> Self {
        let io = Io {
            operation,
            sector: 0,
            size: 4096,
            preflush: false,
            fua: false,
            sync: false,
            unmap: false,
            read_ahead: false,
        };
        Self {
            started: true,
            ..Self::new(io, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_c_waits_for_both_disks() {
        let mut request = Request::started(Operation::Write);
        request.local = Local::Done;
        request.remote = Remote::Sent;
        assert_eq!(request.outcome(), None);
        request.remote = Remote::Received;
        assert_eq!(request.outcome(), None);
        request.remote = Remote::Done;
        assert_eq!(request.outcome(), Some(Outcome::Success));
        request.local = Local::Pending;
        assert_eq!(request.outcome(), None);
    }

    #[test]
    fn each_protocol_has_its_own_moment() {
        for (wait_for, enough) in [
            (WaitFor::Sent, Remote::Sent),
            (WaitFor::Received, Remote::Received),
            (WaitFor::Written, Remote::Done),
        ] {
            let mut request = Request::started(Operation::Write);
            request.wait_for = wait_for;
            request.local = Local::Done;
            request.remote = Remote::Queued;
            assert_eq!(request.outcome(), None);
            request.remote = enough;
            assert_eq!(request.outcome(), Some(Outcome::Success));
        }
    }

    #[test]
    fn one_good_copy_is_success_and_none_is_an_error() {
        let mut request = Request::started(Operation::Write);
        request.local = Local::Failed;
        request.remote = Remote::Done;
        assert_eq!(request.outcome(), Some(Outcome::Success));
        request.remote = Remote::Lost;
        assert_eq!(request.outcome(), Some(Outcome::IoError));
        request.local = Local::Done;
        assert_eq!(request.outcome(), Some(Outcome::Success));
    }

    #[test]
    fn pages_on_their_way_into_a_socket_stay() {
        let mut request = Request::started(Operation::Write);
        request.local = Local::Done;
        request.remote = Remote::Lost;
        request.sending = true;
        assert_eq!(request.outcome(), None);
    }
}
