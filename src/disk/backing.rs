// SPDX-License-Identifier: GPL-2.0-only

//! The devices below: one with the data, and perhaps another with the metadata.

use super::io::{
    LocalIo,
    LocalIoContext, //
};
use crate::kernel_api::{
    bio::OpFlags,
    bio_set::{
        BioSet,
        RangeOperation, //
    },
    block_device::BackingDevice, //
};
use drbd_core::wire::QueueLimits as PeerLimits;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
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

    /// Starts a range operation. A discard on a device that has none is one that left everything as it was, which is
    /// what a discard may do.
    pub(crate) fn submit_range(
        &self,
        copies: &BioSet<LocalIo>,
        operation: RangeOperation,
        sector: u64,
        sectors: u32,
        context: LocalIoContext,
    ) {
        let operation = match operation {
            // What the peer reads as zeroes after a discard must do so here as well.
            RangeOperation::Discard if self.data.limits().max_discard_sectors == 0 => {
                RangeOperation::WriteZeroes
            }
            operation => operation,
        };
        copies.submit_range(
            &self.data,
            operation,
            OpFlags::NONE,
            sector,
            sectors,
            context,
        );
    }
}
