// SPDX-License-Identifier: GPL-2.0-only

//! What the engine asks of its shell.
//!
//! There are three queues, by the context in which an entry may be carried out: completions anywhere, block I/O where
//! the caller may sleep, events by the worker alone and strictly in order.

use super::device::DeviceIndex;
use super::log::LogMessage;
use crate::slab::Id;
use crate::state::State;

/// How an application's request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The data is where the replication protocol promises it to be.
    Success,
    /// Neither this node nor the peer could do it: `BLK_STS_IOERR`.
    IoError,
}

/// An application's request that is to be ended (`bio_endio`). Allowed in any context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The device of the request.
    pub device: DeviceIndex,
    /// The request: a token for the bio that the shell holds. The engine forgets the token by this.
    pub request: Id,
    /// How it ended.
    pub outcome: Outcome,
}

impl Completion {
    /// Fills unused storage.
    pub const FILL: Self = Self {
        device: DeviceIndex(0),
        request: Id::FILL,
        outcome: Outcome::Success,
    };
}

/// Block I/O to be started. Carried out by whoever finds it, where sleeping is allowed.
///
/// Whoever writes metadata takes its bytes, and asks [`data_goes_first`](super::Resource::data_goes_first) in the same moment;
/// if so, it flushes the backing disk before it writes them. A flush that fails is a write that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: fills unused storage.
    None,
    /// Clone the bio of `request` and submit the clone to the backing disk; answer with
    /// [`request_written`](super::Resource::local_io_done).
    SubmitRequest {
        /// The device.
        device: DeviceIndex,
        /// The request whose bio is cloned.
        request: Id,
    },
    /// Do the I/O that [`peer_request`](super::Resource::peer_request) describes on the backing disk, with the pages
    /// that belong to it; answer with [`peer_io_done`](super::Resource::peer_io_done).
    SubmitPeerRequest {
        /// The device.
        device: DeviceIndex,
        /// The peer request.
        peer_request: Id,
    },
    /// Compute the digest of the pages that belong to the peer request, with the algorithm of
    /// [`Purpose::algorithm`](super::peer_request::Purpose::algorithm); answer with
    /// [`digest_done`](super::Resource::digest_done). Where there are no pages, the block could not be read: the answer
    /// is as many zeros as the digest has bytes. Pages that are of no use after it
    /// ([`needs_data_after_digest`](super::peer_request::Purpose::needs_data_after_digest)) are to be freed before the answer.
    Digest {
        /// The device.
        device: DeviceIndex,
        /// The peer request.
        peer_request: Id,
    },
    /// Free the pages of a peer request: the engine forgot it.
    ReleasePeerRequest {
        /// The device.
        device: DeviceIndex,
        /// The peer request.
        peer_request: Id,
    },
    /// Flush the volatile cache of the backing disk; answer with [`flush_done`](super::Resource::flush_done).
    FlushDisk {
        /// The device.
        device: DeviceIndex,
    },
    /// Write the block that [`superblock`](super::Resource::superblock) gives; answer with
    /// [`superblock_written`](super::Resource::superblock_written).
    WriteSuperblock {
        /// The device.
        device: DeviceIndex,
    },
    /// Write the block that [`activity_log_block`](super::Resource::activity_log_block) gives; answer with
    /// [`activity_log_written`](super::Resource::activity_log_written).
    WriteActivityLog {
        /// The device.
        device: DeviceIndex,
    },
    /// Write the block that [`bitmap_page`](super::Resource::bitmap_page) gives; answer with
    /// [`bitmap_page_written`](super::Resource::bitmap_page_written).
    WriteBitmapPage {
        /// The device.
        device: DeviceIndex,
        /// The number of the 4 KiB page in the bitmap.
        page: u32,
    },
}

/// A user-mode helper, as 8.4 names it on the command line of `drbdadm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// `before-resync-target`
    BeforeResyncTarget,
    /// `after-resync-target`
    AfterResyncTarget,
    /// `before-resync-source`
    BeforeResyncSource,
    /// `out-of-sync`
    OutOfSync,
    /// `pri-on-incon-degr`
    PrimaryOnInconsistentDegraded,
    /// `pri-lost`
    PrimaryLost,
    /// `pri-lost-after-sb`
    PrimaryLostAfterSplitBrain,
    /// `local-io-error`
    LocalIoError,
    /// `initial-split-brain`
    InitialSplitBrain,
    /// `split-brain`
    SplitBrain,
    /// `fence-peer`
    FencePeer,
    /// `unfence-peer`
    UnfencePeer,
}

impl Helper {
    /// The first argument of the helper program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeResyncTarget => "before-resync-target",
            Self::AfterResyncTarget => "after-resync-target",
            Self::BeforeResyncSource => "before-resync-source",
            Self::OutOfSync => "out-of-sync",
            Self::PrimaryOnInconsistentDegraded => "pri-on-incon-degr",
            Self::PrimaryLost => "pri-lost",
            Self::PrimaryLostAfterSplitBrain => "pri-lost-after-sb",
            Self::LocalIoError => "local-io-error",
            Self::InitialSplitBrain => "initial-split-brain",
            Self::SplitBrain => "split-brain",
            Self::FencePeer => "fence-peer",
            Self::UnfencePeer => "unfence-peer",
        }
    }
}

/// Something for the worker to carry out, in the order in which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing: fills unused storage.
    None,
    /// A line for the kernel log.
    Log {
        /// The device it is about; `None` for the resource's connection.
        device: Option<DeviceIndex>,
        /// What to say.
        message: LogMessage,
    },
    /// The state of a device changed: log it and tell user space.
    StateChanged {
        /// The device.
        device: DeviceIndex,
        /// The state before.
        old: State,
        /// The state after.
        new: State,
    },
    /// The size of `/dev/drbdN` is now this many sectors.
    Resized {
        /// The device.
        device: DeviceIndex,
        /// The new size in sectors.
        sectors: u64,
    },
    /// The device may be written to (Primary) or not (Secondary).
    Writable {
        /// The device.
        device: DeviceIndex,
        /// Whether writing is allowed.
        writable: bool,
    },
    /// What the peer or the own disk can do changed: work the queue limits out anew.
    LimitsChanged {
        /// The device.
        device: DeviceIndex,
    },
    /// Run a helper and forget its exit code.
    CallHelper {
        /// The device it is about; `None` for the connection.
        device: Option<DeviceIndex>,
        /// Which one.
        helper: Helper,
    },
    /// Run a helper, then call [`helper_finished`](super::Resource::helper_finished) with its exit code.
    CallHelperAndReport {
        /// The device it is about.
        device: DeviceIndex,
        /// Which one.
        helper: Helper,
    },
    /// The connection is configured: start the receiver thread.
    StartReceiver,
    /// Shut both sockets down if [`link_is_given_up`](super::Resource::link_is_given_up) says so, so that whoever sleeps in one
    /// wakes and calls [`link_down`](super::Resource::link_down); wake whoever looks for the peer.
    ShutSockets,
    /// The receiver has nothing more to do: the connection is StandAlone.
    StopReceiver,
    /// No I/O is on its way to the backing disk and none will be: call
    /// [`take_disk`](super::Resource::take_disk) and close it.
    DiskIsIdle {
        /// The device.
        device: DeviceIndex,
    },
    /// A resync or verify made progress that `events2` shows.
    Progress {
        /// The device.
        device: DeviceIndex,
    },
}

impl From<crate::uuid::handshake::Helper> for Helper {
    fn from(helper: crate::uuid::handshake::Helper) -> Self {
        use crate::uuid::handshake::Helper as Called;
        match helper {
            Called::InitialSplitBrain => Self::InitialSplitBrain,
            Called::SplitBrain => Self::SplitBrain,
            Called::PrimaryLost => Self::PrimaryLost,
            Called::PrimaryLostAfterSplitBrain => Self::PrimaryLostAfterSplitBrain,
        }
    }
}
