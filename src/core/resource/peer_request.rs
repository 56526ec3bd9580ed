// SPDX-License-Identifier: GPL-2.0-only

//! Work on the backing disk that the peer, or a resync, is the reason for.

use super::request::Operation;
use crate::wire::data::DataFlags;

/// Why there is a peer request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The peer's application wrote (`P_DATA`, `P_TRIM`, `P_ZEROES`).
    Write,
    /// The peer's application reads (`P_DATA_REQUEST`).
    Read,
    /// This node is sync source and reads for the target (`P_RS_DATA_REQUEST`).
    ResyncRead,
    /// This node is sync target: asked for the blocks, gets them (`P_RS_DATA_REPLY`), writes them.
    ResyncWrite,
    /// This node is sync target, and reads blocks to ask for them with their digest (`P_CSUM_RS_REQUEST`); once that is
    /// sent, it is a [`ResyncWrite`](Self::ResyncWrite).
    ChecksumRequest,
    /// This node is sync source, and reads to compare with the target's digest (`P_CSUM_RS_REQUEST`).
    ChecksumRead,
    /// This node verifies: asks for a digest (`P_OV_REQUEST`), gets it (`P_OV_REPLY`), reads, compares.
    VerifySource,
    /// This node reads for the digest that the verifying peer asks for (`P_OV_REQUEST`).
    VerifyTarget,
}

/// How far a peer request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The peer was asked; its answer has not come.
    Requested,
    /// A read for a resync or a verify that keeps out of the way of others; it has no place in the order of the disk yet.
    Paced,
    /// The payload is being read from the socket.
    Receiving,
    /// Something else has to end first: an overlapping range, an earlier epoch, the activity log.
    Waiting,
    /// The backing disk works on it.
    Submitted,
    /// The shell computes the digest of what was read.
    Digesting,
    /// The data or the digest waits to be sent, or is being sent.
    Replying,
    /// The digest was sent, and the peer has not told the result: the range must not change before it has compared.
    Answered,
    /// Nothing is left to do but to free the pages.
    Released,
}

/// A peer request. Its pages belong to the shell, under the same number.
#[derive(Clone, Copy, Debug)]
pub struct PeerRequest {
    /// Why.
    pub purpose: Purpose,
    /// What is done to the disk.
    pub operation: Operation,
    /// The first sector.
    pub sector: u64,
    /// Bytes, a multiple of 512.
    pub size: u32,
    /// What the peer calls it: goes back in the answer.
    pub block_id: u64,
    /// The peer's sequence number: goes back in the answer.
    pub sequence: u32,
    /// What the peer said about the write.
    pub flags: DataFlags,
    /// The receiving epoch of a write; the run that a verify belongs to.
    pub epoch: u64,
    /// Its place in the order in which data came: of two that overlap, the lower goes first. `u64::MAX` while the data
    /// has not come.
    pub order: u64,
    /// How far it has come.
    pub stage: Stage,
    /// The connection that it came from is gone: no answer.
    pub orphaned: bool,
    /// Its range is in the overlap index.
    pub registered: bool,
    /// The peer has no disk of its own: this write is in the activity log here.
    pub needs_extents: bool,
    /// It keeps its extents of the activity log hot.
    pub holds_extents: bool,
    /// A resync read: the target would rather hear that the block is all zeros (`P_RS_THIN_REQ`).
    pub thin: bool,
    /// What was read for a thin request is all zeros.
    pub zeros: bool,
    /// The bytes of the reply are being sent: the pages must stay.
    pub sending: bool,
}

impl PeerRequest {
    /// The length in sectors.
    pub fn sectors(&self) -> u64 {
        u64::from(self.size >> 9)
    }

    /// Whether it keeps data that the peer's application wrote.
    pub fn has_data_of_peer(&self) -> bool {
        self.purpose == Purpose::Write && self.operation == Operation::Write
    }

    /// Whether it is part of an online verify.
    pub fn is_verify(&self) -> bool {
        matches!(self.purpose, Purpose::VerifySource | Purpose::VerifyTarget)
    }

    /// Whether blocks were asked for, for a resync that was given up, and have not come: they will not be written.
    pub fn is_given_up(&self) -> bool {
        self.orphaned
            && self.purpose == Purpose::ResyncWrite
            && matches!(self.stage, Stage::Requested | Stage::Receiving)
    }

    /// Whether it changes the disk.
    pub fn is_write(&self) -> bool {
        matches!(self.purpose, Purpose::Write | Purpose::ResyncWrite)
    }
}
