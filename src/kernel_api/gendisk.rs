// SPDX-License-Identifier: GPL-2.0-only

//! The disk that we offer: `/dev/drbdN`, which takes whole bios.
//!
//! # How a disk goes
//!
//! 1. The owner sees to it that I/O on the disk *ends*: with errors if need be. Removal writes back what the page cache
//!    has for the disk and waits for it, so a disk that keeps I/O waiting cannot go.
//! 2. Dropping [`GenDisk`] takes the name away: from then on nobody opens it, new bios fail, and no call of
//!    [`BlockOps::submit_bio`] is under way.
//! 3. Somebody may still have it open. Until the last of them closes it, [`BlockOps::release`] is called, and the data
//!    of the disk stays; then it is dropped, in the context of that last closer.
//! 4. The module is held by each opener, and [`BlockMajor`] waits for the last disk to be gone.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::{bio::Bio, in_flight::InFlight, queue_limits::QueueLimits};
use crate::bindings as shims;
use core::{
    marker::PhantomData,
    ptr::{addr_of, NonNull},
};
use kernel::{
    bindings,
    error::{from_err_ptr, from_result, to_result},
    fmt::{self, Write},
    module::this_module,
    prelude::*,
    static_lock_class,
    str::{CStr, NullTerminatedFormatter},
    types::{ForeignOwnable, ScopeGuard}, //
};

/// How a disk is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OpenMode {
    /// To write to it.
    pub(crate) write: bool,
    /// For its properties only, not to wait for anything (`O_NONBLOCK`).
    pub(crate) no_delay: bool,
}

type Borrowed<'a, T> = <<T as BlockOps>::Data as ForeignOwnable>::Borrowed<'a>;

/// What a disk does.
pub(crate) trait BlockOps: Sized + 'static {
    /// What belongs to a disk: an `Arc` of the device.
    type Data: ForeignOwnable + Send + Sync + 'static;

    /// Takes a bio, no longer than the limits of the disk allow.
    ///
    /// Process context; may sleep, but what it waits for must not need a change of the limits of this disk
    /// ([`GenDisk::update_limits_frozen`]). I/O that it submits starts when it returns.
    fn submit_bio(data: Borrowed<'_, Self>, bio: Bio);

    /// Somebody opens the disk: an error refuses it. Process context, with the open mutex of the disk held.
    fn open(data: Borrowed<'_, Self>, mode: OpenMode) -> Result;

    /// Somebody closes it: one call for each open that was not refused. Process context, with the open mutex held.
    fn release(data: Borrowed<'_, Self>);
}

/// Disks whose data is not yet dropped.
static DISKS: InFlight = InFlight::new();

/// A block major number that is ours, 147 in `/proc/devices`.
pub(crate) struct BlockMajor {
    major: u32,
    name: &'static CStr,
}

impl BlockMajor {
    /// Takes the number. `EBUSY` if somebody has it: the other drbd module. Sleeps.
    pub(crate) fn register(major: u32, name: &'static CStr) -> Result<Self> {
        // SAFETY: The name is a string.
        to_result(unsafe { bindings::__register_blkdev(major, name.as_char_ptr(), None) })?;
        Ok(Self { major, name })
    }

    /// The number.
    pub(crate) fn number(&self) -> u32 {
        self.major
    }
}

impl Drop for BlockMajor {
    /// Waits for the last disk to be gone. Sleeps.
    fn drop(&mut self) {
        DISKS.wait_idle();
        // SAFETY: It was registered under this name.
        unsafe { bindings::unregister_blkdev(self.major, self.name.as_char_ptr()) };
    }
}

/// A disk that is there for all to see. Dropping it takes it away, see the module.
///
/// # Invariants
///
/// `disk` was allocated by `__blk_alloc_disk` and added, and its `private_data` is a `T::Data` of `into_foreign`, that
/// [`free_disk_callback`](GenDisk::free_disk_callback) takes back.
pub(crate) struct GenDisk<T: BlockOps> {
    disk: NonNull<bindings::gendisk>,
    _ops: PhantomData<fn() -> T>,
}

// SAFETY: The disk belongs to no task, and its data is `Send` and `Sync`.
unsafe impl<T: BlockOps> Send for GenDisk<T> {}
// SAFETY: What can be done through `&GenDisk` is locked by the block layer.
unsafe impl<T: BlockOps> Sync for GenDisk<T> {}

impl<T: BlockOps> GenDisk<T> {
    const OPERATIONS: bindings::block_device_operations = bindings::block_device_operations {
        submit_bio: Some(Self::submit_bio_callback),
        open: Some(Self::open_callback),
        release: Some(Self::release_callback),
        free_disk: Some(Self::free_disk_callback),
        owner: this_module::<crate::LocalModule>().as_ptr(),
        ..pin_init::zeroed()
    };

    /// Makes the disk `name` with this minor number and 0 sectors, and adds it. It may be opened before this returns.
    /// Partitions are not looked for. Sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY`, `EEXIST` for a minor or name in use; `EINVAL` for limits that make no sense or a name that is too long.
    pub(crate) fn new(
        major: &BlockMajor,
        minor: u32,
        name: fmt::Arguments<'_>,
        limits: &mut QueueLimits,
        data: T::Data,
    ) -> Result<Self> {
        // SAFETY: The limits are valid for the call, and the lock class is static.
        let disk = from_err_ptr(unsafe {
            bindings::__blk_alloc_disk(
                limits.as_raw(),
                bindings::NUMA_NO_NODE,
                static_lock_class!().as_ptr(),
            )
        })?;
        // SAFETY: The disk is ours, and was not added when this runs.
        let mut disk = ScopeGuard::new_with_data(disk, |disk| unsafe { bindings::put_disk(disk) });
        // SAFETY: The disk is initialised, and ours alone until it is added.
        let raw = unsafe { &mut **disk };
        raw.major = i32::try_from(major.number()).map_err(|_| EINVAL)?;
        raw.first_minor = i32::try_from(minor).map_err(|_| EINVAL)?;
        raw.minors = 1;
        raw.flags |= bindings::GENHD_FL_NO_PART as i32;
        raw.fops = const { &Self::OPERATIONS };
        NullTerminatedFormatter::new(&mut raw.disk_name)
            .ok_or(EINVAL)?
            .write_fmt(name)?;
        raw.private_data = data.into_foreign();
        DISKS.get();
        let data = raw.private_data;
        // SAFETY: The disk is set up, and not yet added.
        to_result(unsafe {
            bindings::device_add_disk(core::ptr::null_mut(), *disk, core::ptr::null_mut())
        })
        .inspect_err(|_| {
            // SAFETY: A disk that could not be added calls no operation any more, `free_disk` in particular, so the data
            // is still ours.
            drop(unsafe { T::Data::from_foreign(data) });
            DISKS.put();
        })?;
        // INVARIANT: Allocated and added, and the data is with the disk.
        Ok(Self {
            disk: NonNull::new(disk.dismiss()).ok_or(ENOMEM)?,
            _ops: PhantomData,
        })
    }

    /// The disk.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::gendisk {
        self.disk.as_ptr()
    }

    /// Sets its size, in sectors of 512 bytes, and tells user space about a change. Whether it told: it does not when the
    /// size was or is now 0. Sleeps.
    pub(crate) fn set_capacity(&self, sectors: u64) -> bool {
        // SAFETY: The disk was added.
        unsafe { bindings::set_capacity_and_notify(self.as_ptr(), sectors) }
    }

    /// Its size, in sectors of 512 bytes.
    pub(crate) fn capacity(&self) -> u64 {
        // SAFETY: The disk has its whole-disk device as long as it lives.
        unsafe { addr_of!((*(*self.as_ptr()).part0).bd_nr_sectors).read_volatile() }
    }

    /// Whether it may be written to: `blockdev --getro`. Tells user space about a change. Sleeps.
    pub(crate) fn set_read_only(&self, read_only: bool) {
        // SAFETY: The disk was added.
        unsafe { bindings::set_disk_ro(self.as_ptr(), read_only) };
    }

    /// How many have it open at this instant.
    pub(crate) fn openers(&self) -> i32 {
        // SAFETY: The disk has its whole-disk device as long as it lives.
        unsafe { addr_of!((*(*self.as_ptr()).part0).bd_openers.counter).read_volatile() }
    }

    /// Changes its limits while I/O goes on: bios that were split for the old limits still come. Sleeps.
    ///
    /// `f` runs with the lock of the limits held. `EINVAL` if they make no sense: then they are as before.
    pub(crate) fn update_limits(&self, f: impl FnOnce(&mut QueueLimits)) -> Result {
        self.update_limits_with(f, bindings::queue_limits_commit_update)
    }

    /// As [`GenDisk::update_limits`], with no call of [`BlockOps::submit_bio`] under way: waits for those that are. Not for
    /// a task that such a call may wait for.
    pub(crate) fn update_limits_frozen(&self, f: impl FnOnce(&mut QueueLimits)) -> Result {
        self.update_limits_with(f, bindings::queue_limits_commit_update_frozen)
    }

    fn update_limits_with(
        &self,
        f: impl FnOnce(&mut QueueLimits),
        commit: unsafe extern "C" fn(
            *mut bindings::request_queue,
            *mut bindings::queue_limits,
        ) -> c_int,
    ) -> Result {
        let mut limits: bindings::queue_limits = pin_init::zeroed();
        // SAFETY: The queue lives as long as the disk. The lock that is taken here is given back by `commit`, in any case.
        let queue = unsafe { (*self.as_ptr()).queue };
        // SAFETY: As above.
        unsafe { shims::drbd_shim_queue_limits_start_update(queue, &mut limits) };
        let mut limits = QueueLimits::from_raw(limits);
        f(&mut limits);
        // SAFETY: As above.
        to_result(unsafe { commit(queue, limits.as_raw()) })
    }

    /// The data of a disk.
    ///
    /// # Safety
    ///
    /// `disk` is of this type, and its data is not dropped for `'a`.
    #[inline]
    unsafe fn data<'a>(disk: *mut bindings::gendisk) -> Borrowed<'a, T> {
        // SAFETY: By the safety requirements and the type invariant.
        unsafe { T::Data::borrow((*disk).private_data) }
    }

    /// # Safety
    ///
    /// Called by the block layer for a bio on a disk of this type, that it hands over.
    unsafe extern "C" fn submit_bio_callback(bio: *mut bindings::bio) {
        // SAFETY: The bio is ours. What is too long is split, and the rest comes again.
        let Some(bio) = NonNull::new(unsafe { bindings::bio_split_to_limits(bio) }) else {
            return;
        };
        // SAFETY: The bio names its device. The block layer holds the queue of the disk during the call, and whoever
        // submits the bio has the disk open, so the data is there.
        unsafe {
            let disk = (*(*bio.as_ptr()).bi_bdev).bd_disk;
            T::submit_bio(Self::data(disk), Bio::from_raw(bio));
        }
    }

    /// # Safety
    ///
    /// Called by the block layer, with a disk of this type that is not yet freed.
    unsafe extern "C" fn open_callback(disk: *mut bindings::gendisk, mode: u32) -> c_int {
        let mode = OpenMode {
            write: mode & shims::BLK_OPEN_WRITE != 0,
            no_delay: mode & shims::BLK_OPEN_NDELAY != 0,
        };
        from_result(|| {
            // SAFETY: Until `free_disk` the data is there.
            T::open(unsafe { Self::data(disk) }, mode)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As for [`Self::open_callback`].
    unsafe extern "C" fn release_callback(disk: *mut bindings::gendisk) {
        // SAFETY: Until `free_disk` the data is there.
        T::release(unsafe { Self::data(disk) });
    }

    /// # Safety
    ///
    /// Called by the block layer, once, when nobody has the disk any more.
    unsafe extern "C" fn free_disk_callback(disk: *mut bindings::gendisk) {
        // SAFETY: The data was given to the disk by `new`, and nobody borrows it any more.
        drop(unsafe { T::Data::from_foreign((*disk).private_data) });
        DISKS.put();
    }
}

impl<T: BlockOps> Drop for GenDisk<T> {
    /// See the module. Sleeps; not in a callback of the disk.
    fn drop(&mut self) {
        // SAFETY: The disk was added by the type invariant, and the reference of its making is ours.
        unsafe {
            bindings::del_gendisk(self.as_ptr());
            bindings::put_disk(self.as_ptr());
        }
    }
}
