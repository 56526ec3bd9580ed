// SPDX-License-Identifier: GPL-2.0-only

//! The devices below: one with the data, and perhaps another with the metadata.

use crate::kernel_api::{
    bio::OpFlags,
    block_device::BackingDevice, //
};
use drbd_core::{
    discard::divide,
    wire::QueueLimits as PeerLimits, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// An opened backing disk.
pub(crate) struct Backing {
    /// The device with the data.
    pub(crate) data: BackingDevice,
    /// The device with the metadata, where that is another.
    pub(crate) separate: Option<BackingDevice>,
    /// Metadata goes through the cache of its device: `md-flushes`, which may change at any time.
    pub(crate) flush_metadata: Atomic<bool>,
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
