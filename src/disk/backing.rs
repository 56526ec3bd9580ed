// SPDX-License-Identifier: GPL-2.0-only

//! The devices below: one with the data, and perhaps another with the metadata.

use super::slot::Slot;
use crate::kernel_api::{
    bio::OpFlags,
    block_device::BackingDevice,
    wait::{
        new_wait_queue,
        WaitQueue, //
    }, //
};
use core::ops::Deref;
use drbd_core::{
    discard::divide,
    wire::QueueLimits as PeerLimits, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc, //
    },
};

/// An opened backing disk.
pub(crate) struct Backing {
    /// The device with the data.
    pub(crate) data: BackingDevice,
    /// The device with the metadata, where that is another.
    pub(crate) separate: Option<BackingDevice>,
    /// Metadata goes through the cache of its device: `md-flushes`, which may change at any time.
    pub(crate) flush_metadata: Atomic<bool>,
    /// The place of the metadata on a device that others use as well. Given back once that is closed.
    pub(super) _slot: Option<Slot>,
}

impl Backing {
    /// The device with the metadata.
    pub(crate) fn metadata(&self) -> &BackingDevice {
        self.separate.as_ref().unwrap_or(&self.data)
    }

    /// How metadata is written: it is there when the write ends.
    pub(crate) fn metadata_flags(&self) -> OpFlags {
        let flags = OpFlags::SYNC | OpFlags::META | OpFlags::PRIO;
        if self.flush_metadata.load(Relaxed) {
            flags | OpFlags::FUA | OpFlags::PREFLUSH
        } else {
            flags
        }
    }

    /// What the peer is told of the queue of the data device.
    pub(crate) fn limits_for_peer(&self) -> PeerLimits {
        let limits = self.data.limits();
        PeerLimits {
            physical_block_size: limits.physical_block_size,
            logical_block_size: limits.logical_block_size,
            alignment_offset: 0,
            io_min: limits.io_min,
            io_opt: limits.io_opt,
            discard_enabled: u8::from(limits.max_discard_sectors > 0),
            discard_zeroes_data: 0,
            write_same_capable: 0,
        }
    }

    /// Makes a range read as zeros, and waits: by giving it back, as far as the device does that in whole units, or by
    /// writing. Sleeps.
    pub(crate) fn clear(&self, how: Clear, sector: u64, sectors: u64) -> Result {
        let units = match how {
            Clear::Discard => self.data.discard_units(),
            Clear::Zero { .. } => None,
        };
        let keep_space = matches!(how, Clear::Zero { keep_space: true });
        let Some(units) = units else {
            return self.data.zero_out(sector, sectors, keep_space);
        };
        let parts = divide(sector, sectors, units);
        if parts.head > 0 {
            self.data.zero_out(sector, parts.head, keep_space)?;
        }
        if parts.middle > 0 {
            self.data.discard(sector + parts.head, parts.middle)?;
        }
        if parts.tail > 0 {
            let last = sector + parts.head + parts.middle;
            self.data.zero_out(last, parts.tail, keep_space)?;
        }
        Ok(())
    }
}

/// A backing disk that is attached. Whoever starts I/O on it has a reference until that is started, perhaps longer than
/// the I/O takes.
///
/// Dropping the last reference closes nothing where [`Attached::close`] is called: not everybody may wait for that.
pub(crate) struct Attached {
    backing: Arc<Backing>,
    /// Dropped after `backing`.
    users: Users,
}

/// Tells that nobody uses the disk any more.
struct Users(Arc<UsersGone>);

#[pin_data]
struct UsersGone {
    gone: Atomic<bool>,
    #[pin]
    queue: WaitQueue,
}

impl Attached {
    /// Shares a disk. `ENOMEM`, and the disk is closed.
    pub(crate) fn new(backing: Backing) -> Result<Arc<Self>> {
        let gone = Arc::pin_init(
            pin_init!(UsersGone {
                gone: Atomic::new(false),
                queue <- new_wait_queue!(c"drbd_backing"),
            }),
            GFP_KERNEL,
        )?;
        let attached = Self {
            backing: Arc::new(backing, GFP_KERNEL)?,
            users: Users(gone),
        };
        Ok(Arc::new(attached, GFP_KERNEL)?)
    }

    /// Waits until nobody else uses the disk, and closes it. From then on nobody gets a reference any more. Sleeps.
    pub(crate) fn close(attached: Arc<Self>) {
        let backing = attached.backing.clone();
        let users = attached.users.0.clone();
        drop(attached);
        users.queue.wait_event(|| users.gone.load(Acquire));
        drop(backing);
    }
}

impl Deref for Attached {
    type Target = Backing;

    #[inline]
    fn deref(&self) -> &Backing {
        &self.backing
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.0.gone.store(true, Release);
        self.0.queue.wake_all();
    }
}

/// How a range is cleared.
#[derive(Clone, Copy)]
pub(crate) enum Clear {
    /// Given back; reads as zeros where the disk keeps what `discard-zeroes-if-aligned` says of it.
    Discard,
    /// Zeros for certain.
    Zero {
        /// The space stays taken.
        keep_space: bool,
    },
}
