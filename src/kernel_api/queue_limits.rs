// SPDX-License-Identifier: GPL-2.0-only

//! What our disk promises about the I/O that it takes.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h) (`struct queue_limits`)

use super::block_device::BackingDevice;
use crate::bindings as shims;
use kernel::{
    bindings,
    prelude::*,
    str::CStr, //
};

/// `struct queue_limits`, in the making.
///
/// The kernel checks the whole when it is put to use, and answers `EINVAL` to what does not fit together.
pub(crate) struct QueueLimits(bindings::queue_limits);

impl QueueLimits {
    /// The limits of a disk that has none of its own, to be narrowed by what it lies on: statistics are kept, everything
    /// is allowed, and nothing cached.
    pub(crate) fn stacking() -> Self {
        let mut limits: bindings::queue_limits = pin_init::zeroed();
        // SAFETY: It overwrites the limits that it is given.
        unsafe { bindings::blk_set_stacking_limits(&mut limits) };
        limits.features |= shims::BLK_FEAT_IO_STAT;
        Self(limits)
    }

    /// Those that stand in C memory.
    #[inline]
    pub(super) fn from_raw(raw: bindings::queue_limits) -> Self {
        Self(raw)
    }

    /// For C.
    #[inline]
    pub(super) fn as_raw(&mut self) -> &mut bindings::queue_limits {
        &mut self.0
    }

    /// Back to [`QueueLimits::stacking`] in all that comes from a device below; what the administrator set in sysfs
    /// (`max_sectors_kb`, `discard_max_bytes`) stays.
    pub(crate) fn reset(&mut self) -> &mut Self {
        let (sectors, discard) = (self.0.max_user_sectors, self.0.max_user_discard_sectors);
        let features = self.0.features & !BLOCK_FEATURES;
        *self = Self::stacking();
        self.0.max_user_sectors = sectors;
        self.0.max_user_discard_sectors = discard;
        self.0.features |= features;
        self
    }

    /// Narrows them to what `bdev` can do, for a disk whose sector 0 is sector 0 of `bdev`. `name` is that of the disk,
    /// for the message about a misaligned device.
    pub(crate) fn stack(&mut self, bdev: &BackingDevice, name: &CStr) -> &mut Self {
        // SAFETY: The device is open, and the name a string.
        unsafe {
            bindings::queue_limits_stack_bdev(&mut self.0, bdev.as_ptr(), 0, name.as_char_ptr());
        }
        self
    }

    /// Sectors of 512 bytes in one I/O at most; longer ones are split before they come to us.
    pub(crate) fn max_hw_sectors(&mut self, sectors: u32) -> &mut Self {
        self.0.max_hw_sectors = sectors;
        self
    }

    /// Pieces of memory in one I/O at most.
    pub(crate) fn max_segments(&mut self, segments: u16) -> &mut Self {
        self.0.max_segments = segments;
        self
    }

    /// A piece of memory does not cross a multiple of `mask + 1`.
    pub(crate) fn segment_boundary_mask(&mut self, mask: usize) -> &mut Self {
        self.0.seg_boundary_mask = mask;
        self
    }

    /// Bytes: the unit of I/O, a power of two from 512 on.
    pub(crate) fn logical_block_size(&mut self, bytes: u32) -> &mut Self {
        self.0.logical_block_size = bytes;
        self.0.physical_block_size = self.0.physical_block_size.max(bytes);
        self.0.io_min = self.0.io_min.max(bytes);
        self
    }

    /// Bytes: what is written without a read before, a power of two.
    pub(crate) fn physical_block_size(&mut self, bytes: u32) -> &mut Self {
        self.0.physical_block_size = bytes;
        self
    }

    /// Discards: sectors at most in one, and bytes that they come in multiples of. 0 sectors: none.
    pub(crate) fn discard(&mut self, max_sectors: u32, granularity: u32) -> &mut Self {
        self.0.max_hw_discard_sectors = max_sectors;
        self.0.discard_granularity = if max_sectors == 0 { 0 } else { granularity };
        if max_sectors == 0 {
            self.0.discard_alignment = 0;
        }
        self
    }

    /// Write-zeroes: sectors at most in one, 0 for none. That it may give the space back is not promised.
    pub(crate) fn write_zeroes(&mut self, max_sectors: u32) -> &mut Self {
        self.0.max_write_zeroes_sectors = max_sectors;
        self.0.max_hw_wzeroes_unmap_sectors = 0;
        self
    }

    /// Whether there is a cache that a flush empties, and whether FUA writes go past it. Without the first, the block
    /// layer answers flushes itself.
    pub(crate) fn write_cache(&mut self, cache: bool, fua: bool) -> &mut Self {
        self.feature(shims::BLK_FEAT_WRITE_CACHE, cache)
            .feature(shims::BLK_FEAT_FUA, cache && fua)
    }

    /// Whether pages must not change while they are written: where they are read more than once.
    pub(crate) fn stable_writes(&mut self, stable: bool) -> &mut Self {
        self.feature(shims::BLK_FEAT_STABLE_WRITES, stable)
    }

    /// Whether it behaves like a spinning disk.
    pub(crate) fn rotational(&mut self, rotational: bool) -> &mut Self {
        self.feature(shims::BLK_FEAT_ROTATIONAL, rotational)
    }

    fn feature(&mut self, feature: u32, on: bool) -> &mut Self {
        if on {
            self.0.features |= feature;
        } else {
            self.0.features &= !feature;
        }
        self
    }
}

/// What is taken over from the device below.
const BLOCK_FEATURES: u32 = shims::BLK_FEAT_WRITE_CACHE
    | shims::BLK_FEAT_FUA
    | shims::BLK_FEAT_ROTATIONAL
    | shims::BLK_FEAT_STABLE_WRITES;
