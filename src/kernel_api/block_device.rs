// SPDX-License-Identifier: GPL-2.0-only

//! The block device below: data or metadata of a volume.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::{
    bio::OpFlags,
    gendisk::{BlockOps, GenDisk},
    in_flight::InFlight,
};
use crate::bindings as shims;
use core::ptr::{addr_of, addr_of_mut, NonNull};
use drbd_core::discard::Units;
use kernel::{
    bindings,
    error::{from_err_ptr, to_result},
    page::PAGE_SIZE,
    prelude::*,
    str::CStr,
    sync::Arc, //
};

/// Who holds a device exclusively.
///
/// The kernel lets the same holder open a device several times, and nobody else beside it. A volume has one for its data
/// and its internal metadata; one is shared by all volumes whose metadata lies on a common device.
#[derive(Clone)]
pub(crate) enum Holder {
    /// See [`Holder::new`].
    Own(Arc<HolderMark>),
    /// The module, for devices that several volumes share.
    Shared,
}

/// Its address is what tells holders apart, so it must have one of its own.
pub(crate) struct HolderMark(#[expect(dead_code)] u64);

static SHARED: HolderMark = HolderMark(0);

impl Holder {
    /// A holder that is like no other.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self::Own(Arc::new(HolderMark(0), GFP_KERNEL)?))
    }

    fn as_ptr(&self) -> *mut c_void {
        let mark: *const HolderMark = match self {
            Self::Own(mark) => &**mark,
            Self::Shared => &SHARED,
        };
        mark.cast_mut().cast()
    }
}

/// One block of metadata in memory, placed so that a device can take it as it is: it exists on the heap only.
#[derive(Zeroable)]
#[repr(C, align(4096))]
pub(crate) struct MetaBlock([u8; 4096]);

const _: () = assert!(size_of::<MetaBlock>() <= PAGE_SIZE);

impl MetaBlock {
    /// A block of zeros. Sleeps.
    pub(crate) fn new() -> Result<KBox<Self>> {
        KBox::init(pin_init::init_zeroed(), GFP_KERNEL)
    }

    /// Its bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8; 4096] {
        &self.0
    }

    /// Its bytes, to be changed.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; 4096] {
        &mut self.0
    }
}

/// What a device can do, in the units that it is asked in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceLimits {
    /// Bytes: the unit of I/O.
    pub(crate) logical_block_size: u32,
    /// Bytes: what it writes without reading first.
    pub(crate) physical_block_size: u32,
    /// Bytes: the smallest I/O that it likes.
    pub(crate) io_min: u32,
    /// Bytes: the I/O that it likes best, 0 for no opinion.
    pub(crate) io_opt: u32,
    /// Sectors in one I/O at most, by hardware.
    pub(crate) max_hw_sectors: u32,
    /// Pieces of memory in one I/O at most.
    pub(crate) max_segments: u16,
    /// Sectors in one discard at most; 0: it cannot discard.
    pub(crate) max_discard_sectors: u32,
    /// Sectors in one discard at most, by hardware.
    pub(crate) max_hw_discard_sectors: u32,
    /// Bytes: discards work on multiples of it.
    pub(crate) discard_granularity: u32,
    /// Bytes: where the first multiple begins.
    pub(crate) discard_alignment: u32,
    /// Sectors in one write-zeroes at most; 0: it cannot.
    pub(crate) max_write_zeroes_sectors: u32,
    /// Whether it has a cache that a power cut empties, so that flushes matter.
    pub(crate) write_cache: bool,
    /// Whether it knows [`OpFlags::FUA`].
    pub(crate) fua: bool,
    /// Whether it wants pages to stay as they are during a write.
    pub(crate) stable_writes: bool,
    /// Whether it is a spinning disk.
    pub(crate) rotational: bool,
}

/// A block device that is open for us alone, for reading and writing.
///
/// Dropping it sleeps: it waits for the I/O on it to end, and closes it. Not under a lock, and not in a completion.
///
/// # Invariants
///
/// `file` is an open block device, `bdev` its device. Each I/O on it that has not ended, and was not waited for by a
/// borrow, is counted in `in_flight`. `above` was linked with the device, and stands for a reference to that disk.
pub(crate) struct BackingDevice {
    file: NonNull<bindings::file>,
    bdev: NonNull<bindings::block_device>,
    above: Option<NonNull<bindings::gendisk>>,
    in_flight: KBox<InFlight>,
    _holder: Holder,
}

// SAFETY: An open block device belongs to no task.
unsafe impl Send for BackingDevice {}
// SAFETY: Nothing but I/O, which may come from all sides, and reads are done through a shared reference.
unsafe impl Sync for BackingDevice {}

impl BackingDevice {
    /// Opens the device with this path, for reading and writing.
    ///
    /// # Errors
    ///
    /// Those of the kernel: `ENOENT`, `ENOTBLK`, `ENXIO`, `EBUSY` (another holder: mounted, in use by another volume),
    /// `EROFS`/`EACCES` (read-only). Sleeps.
    pub(crate) fn open(path: &CStr, holder: Holder) -> Result<Self> {
        let in_flight = KBox::new(InFlight::new(), GFP_KERNEL)?;
        let mode = shims::BLK_OPEN_READ | shims::BLK_OPEN_WRITE;
        // SAFETY: The path is a string; the address of the holder is its own as long as the holder lives, and that is
        // as long as the device is open. Without operations nobody follows the address.
        let file = from_err_ptr(unsafe {
            bindings::bdev_file_open_by_path(
                path.as_char_ptr(),
                mode,
                holder.as_ptr(),
                core::ptr::null(),
            )
        })?;
        // SAFETY: A file that was opened like this has a block device.
        let bdev = unsafe { bindings::file_bdev(file) };
        // INVARIANT: Just opened, and no I/O yet.
        Ok(Self {
            file: NonNull::new(file).ok_or(ENODEV)?,
            bdev: NonNull::new(bdev).ok_or(ENODEV)?,
            above: None,
            in_flight,
            _holder: holder,
        })
    }

    /// The device.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::block_device {
        self.bdev.as_ptr()
    }

    /// The count that I/O takes part in.
    #[inline]
    pub(super) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// How many I/Os are under way, for reports.
    pub(crate) fn in_flight_count(&self) -> i64 {
        self.in_flight.count()
    }

    /// Its size at this instant, in sectors of 512 bytes. It may change at any time.
    pub(crate) fn sectors(&self) -> u64 {
        // SAFETY: The device is open.
        unsafe { addr_of!((*self.as_ptr()).bd_nr_sectors).read_volatile() }
    }

    /// Sectors that were read, written and discarded on the whole disk on which it lies, by everybody, since the disk
    /// exists.
    pub(crate) fn sectors_done(&self) -> u64 {
        // SAFETY: The device is open, so its disk is there.
        unsafe { shims::drbd_shim_bdev_sectors_done(self.as_ptr()) }
    }

    /// Major and minor number.
    pub(crate) fn number(&self) -> (u32, u32) {
        // SAFETY: The device is open; the number does not change.
        let number = unsafe { (*self.as_ptr()).bd_dev };
        (number >> 20, number & ((1 << 20) - 1))
    }

    /// Calls `f` with its name, as in the messages of the kernel: `sda1`.
    pub(crate) fn with_name<R>(&self, f: impl FnOnce(&CStr) -> R) -> R {
        let mut name = [0_u8; 32];
        // SAFETY: The buffer has this size; the function ends what it writes with a 0.
        unsafe {
            shims::drbd_shim_bdev_name(self.as_ptr(), name.as_mut_ptr().cast(), name.len());
        }
        f(CStr::from_bytes_until_nul(&name).unwrap_or(c""))
    }

    /// Whether both are the same device: internal metadata.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.bdev == other.bdev
    }

    /// Whether it cannot be written to.
    pub(crate) fn is_read_only(&self) -> bool {
        // SAFETY: The device is open.
        unsafe { shims::drbd_shim_bdev_read_only(self.as_ptr()) }
    }

    /// What it can do, at this instant.
    pub(crate) fn limits(&self) -> DeviceLimits {
        // SAFETY: The device is open, and so its queue is there. Limits change under our eyes; each is read by itself,
        // by C and by this alike.
        let (limits, write_cache) = unsafe {
            let queue = (*self.as_ptr()).bd_queue;
            let write_cache = shims::drbd_shim_bdev_write_cache(self.as_ptr());
            (addr_of!((*queue).limits).read_volatile(), write_cache)
        };
        DeviceLimits {
            logical_block_size: limits.logical_block_size,
            physical_block_size: limits.physical_block_size,
            io_min: limits.io_min,
            io_opt: limits.io_opt,
            max_hw_sectors: limits.max_hw_sectors,
            max_segments: limits.max_segments,
            max_discard_sectors: limits.max_discard_sectors,
            max_hw_discard_sectors: limits.max_hw_discard_sectors,
            discard_granularity: limits.discard_granularity,
            discard_alignment: limits.discard_alignment,
            max_write_zeroes_sectors: limits.max_write_zeroes_sectors,
            write_cache,
            fua: limits.features & shims::BLK_FEAT_FUA != 0,
            stable_writes: limits.features & shims::BLK_FEAT_STABLE_WRITES != 0,
            rotational: limits.features & shims::BLK_FEAT_ROTATIONAL != 0,
        }
    }

    /// In which units it discards, counted from its own first sector; `None` where it does not.
    pub(crate) fn discard_units(&self) -> Option<Units> {
        let limits = self.limits();
        // SAFETY: The device is open; where a partition begins does not change meanwhile.
        let start = unsafe { addr_of!((*self.as_ptr()).bd_start_sect).read_volatile() };
        let granularity = u64::from(limits.discard_granularity >> 9).max(1);
        let first = u64::from(limits.discard_alignment >> 9) + granularity;
        (limits.max_discard_sectors > 0).then(|| Units {
            granularity,
            // A partition does not begin where a unit does.
            boundary: first + (granularity - start % granularity) % granularity,
        })
    }

    /// Reads the 4096 bytes at `sector`, and waits. Sleeps; allocates nothing.
    pub(crate) fn read_block(&self, sector: u64, block: &mut MetaBlock) -> Result {
        let op = bindings::req_op_REQ_OP_READ | (OpFlags::META | OpFlags::PRIO).as_raw();
        // SAFETY: The block is ours for writing until the call returns, when the I/O is over.
        unsafe { self.transfer_block(sector, block.0.as_mut_ptr(), op) }
    }

    /// Writes 4096 bytes at `sector`, and waits. `flags` in addition to those of metadata: [`OpFlags::FUA`],
    /// [`OpFlags::PREFLUSH`] where the order against other writes matters. Sleeps; allocates nothing.
    pub(crate) fn write_block(&self, sector: u64, block: &MetaBlock, flags: OpFlags) -> Result {
        let flags = flags | OpFlags::META | OpFlags::PRIO | OpFlags::SYNC;
        let op = bindings::req_op_REQ_OP_WRITE | flags.as_raw();
        // SAFETY: The block does not change until the call returns, when the I/O is over; a write only reads it.
        unsafe { self.transfer_block(sector, block.0.as_ptr().cast_mut(), op) }
    }

    /// # Safety
    ///
    /// `data` has 4096 bytes at an alignment of 4096, in memory of `kmalloc` or a page, as fit for the direction of `op`.
    unsafe fn transfer_block(&self, sector: u64, data: *mut u8, op: u32) -> Result {
        // SAFETY: By the safety requirements; the device is open, and the bio of the callee ends before it returns.
        to_result(unsafe {
            bindings::bdev_rw_virt(
                self.as_ptr(),
                sector,
                data.cast(),
                size_of::<MetaBlock>(),
                op,
            )
        })
    }

    /// Brings all that it has acknowledged to stable storage, and waits. Sleeps; allocates nothing.
    pub(crate) fn flush(&self) -> Result {
        // SAFETY: The device is open.
        to_result(unsafe { bindings::blkdev_issue_flush(self.as_ptr()) })
    }

    /// Makes a range read as zeros, by writing zeros where the device knows no better way, and waits. Sleeps. With
    /// `keep_space` the device may not give the space back.
    pub(crate) fn zero_out(&self, sector: u64, sectors: u64, keep_space: bool) -> Result {
        let flags = if keep_space {
            bindings::BLKDEV_ZERO_NOUNMAP
        } else {
            0
        };
        // SAFETY: The device is open.
        to_result(unsafe {
            bindings::blkdev_issue_zeroout(self.as_ptr(), sector, sectors, shims::GFP_NOIO, flags)
        })
    }

    /// Gives a range back, and waits. Sleeps.
    pub(crate) fn discard(&self, sector: u64, sectors: u64) -> Result {
        // SAFETY: The device is open.
        to_result(unsafe {
            bindings::blkdev_issue_discard(self.as_ptr(), sector, sectors, shims::GFP_NOIO)
        })
    }

    /// Shows in sysfs that `disk` lies on this device (`slaves/`, `holders/`), which `lsblk` draws its tree from, until the
    /// device is dropped. That has to be before the disk is, or the kernel warns, and the link stays. Sleeps.
    pub(crate) fn link_holder<T: BlockOps>(&mut self, disk: &GenDisk<T>) -> Result {
        if self.above.is_some() {
            return Err(EEXIST);
        }
        let disk = disk.as_ptr();
        // SAFETY: The device is open exclusively, and the disk was added.
        to_result(unsafe { bindings::bd_link_disk_holder(self.as_ptr(), disk) })?;
        // SAFETY: The disk has its whole-disk device as long as it lives, and it lives during the call.
        unsafe { bindings::get_device(addr_of_mut!((*(*disk).part0).bd_device)) };
        // INVARIANT: Linked, and the reference taken, just now.
        self.above = NonNull::new(disk);
        Ok(())
    }
}

impl Drop for BackingDevice {
    fn drop(&mut self) {
        if let Some(disk) = self.above.take() {
            // SAFETY: By the type invariant both are linked, and the reference to the disk is ours.
            unsafe {
                bindings::bd_unlink_disk_holder(self.as_ptr(), disk.as_ptr());
                bindings::put_disk(disk.as_ptr());
            }
        }
        self.in_flight.wait_idle();
        // SAFETY: The file is open by the type invariant, and no I/O uses the device any more.
        unsafe { bindings::bdev_fput(self.file.as_ptr()) };
    }
}
