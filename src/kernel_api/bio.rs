// SPDX-License-Identifier: GPL-2.0-only

//! An I/O that came from above: the block layer gave it to us, and waits for its end.
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use super::{
    bio_vecs::{BioVecs, BioVecsMut},
    block_status::BlkStatus,
};
use crate::bindings as shims;
use core::{
    ops::{BitAnd, BitOr, BitOrAssign},
    ptr::{addr_of, NonNull},
};
use kernel::bindings;

/// What a bio asks for (`enum req_op`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    /// Bytes from the device. `REQ_OP_READ`
    Read,
    /// Bytes to the device. With [`OpFlags::PREFLUSH`] and no data it is a flush. `REQ_OP_WRITE`
    Write,
    /// The range is not needed any more. `REQ_OP_DISCARD`
    Discard,
    /// The range reads as zeros from now on. `REQ_OP_WRITE_ZEROES`
    WriteZeroes,
    /// Anything else. Our limits do not offer it, so it is to be refused with [`BlkStatus::NOT_SUPPORTED`].
    Other(u8),
}

impl Operation {
    /// The operation in `opf` (`REQ_OP_MASK`).
    const fn from_opf(opf: u32) -> Self {
        match opf & 0xff {
            bindings::req_op_REQ_OP_READ => Self::Read,
            bindings::req_op_REQ_OP_WRITE => Self::Write,
            bindings::req_op_REQ_OP_DISCARD => Self::Discard,
            bindings::req_op_REQ_OP_WRITE_ZEROES => Self::WriteZeroes,
            other => Self::Other(other as u8),
        }
    }
}

/// How a bio wants its operation done (`REQ_*`). Combine with `|`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct OpFlags(u32);

impl OpFlags {
    /// Nothing special.
    pub(crate) const NONE: Self = Self(0);
    /// Someone waits for it. `REQ_SYNC`
    pub(crate) const SYNC: Self = Self(1 << bindings::req_flag_bits___REQ_SYNC);
    /// Metadata. `REQ_META`
    pub(crate) const META: Self = Self(1 << bindings::req_flag_bits___REQ_META);
    /// Ahead of the others. `REQ_PRIO`
    pub(crate) const PRIO: Self = Self(1 << bindings::req_flag_bits___REQ_PRIO);
    /// More follows at once. `REQ_IDLE`
    pub(crate) const IDLE: Self = Self(1 << bindings::req_flag_bits___REQ_IDLE);
    /// On stable storage before it ends. `REQ_FUA`
    pub(crate) const FUA: Self = Self(1 << bindings::req_flag_bits___REQ_FUA);
    /// What was written before is on stable storage first. `REQ_PREFLUSH`
    pub(crate) const PREFLUSH: Self = Self(1 << bindings::req_flag_bits___REQ_PREFLUSH);
    /// Read ahead: may fail at any time. `REQ_RAHEAD`
    pub(crate) const READ_AHEAD: Self = Self(1 << bindings::req_flag_bits___REQ_RAHEAD);
    /// Behind the others. `REQ_BACKGROUND`
    pub(crate) const BACKGROUND: Self = Self(1 << bindings::req_flag_bits___REQ_BACKGROUND);
    /// Of [`Operation::WriteZeroes`]: keep the space allocated. `REQ_NOUNMAP`
    pub(crate) const NO_UNMAP: Self = Self(1 << bindings::req_flag_bits___REQ_NOUNMAP);

    /// All of the above. The other bits of `bi_opf` say how a bio was made (`REQ_ALLOC_CACHE`, `REQ_INTEGRITY`), and stay
    /// with it.
    pub(super) const ALL: Self = Self(
        Self::SYNC.0
            | Self::META.0
            | Self::PRIO.0
            | Self::IDLE.0
            | Self::FUA.0
            | Self::PREFLUSH.0
            | Self::READ_AHEAD.0
            | Self::BACKGROUND.0
            | Self::NO_UNMAP.0,
    );

    /// Whether all of `flags` are set.
    #[inline]
    pub(crate) const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These without `flags`.
    #[inline]
    pub(crate) const fn without(self, flags: Self) -> Self {
        Self(self.0 & !flags.0)
    }

    /// The bits, as in `bi_opf`.
    #[inline]
    pub(crate) const fn as_raw(self) -> u32 {
        self.0
    }
}

impl BitOr for OpFlags {
    type Output = Self;
    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for OpFlags {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for OpFlags {
    type Output = Self;
    #[inline]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// A bio from above, to be ended exactly once.
///
/// Dropped without an end, it ends with [`BlkStatus::IO_ERROR`]: nobody above waits for ever because of a path that
/// forgot it. Ending calls the completion of the owner of the bio: never under a lock, and in any context, interrupts
/// included.
///
/// # Invariants
///
/// The pointer is to a live bio that was given to our `submit_bio`, and one unit of its completion count
/// (`__bi_remaining`) belongs to this value. Until the count is 0 nobody but us touches the bio, its vector table or the
/// ownership of its pages; we never advance its iterator.
pub(crate) struct Bio(NonNull<bindings::bio>);

// SAFETY: A bio belongs to no task, and may be ended in any context.
unsafe impl Send for Bio {}
// SAFETY: Through `&Bio` the bio is only read, apart from `pin`, which counts atomically.
unsafe impl Sync for Bio {}

impl Bio {
    /// Takes over a bio.
    ///
    /// # Safety
    ///
    /// `raw` is a bio that the block layer handed over (or what [`Bio::into_raw`] returned), and the caller does not use
    /// it any more.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<bindings::bio>) -> Self {
        // INVARIANT: By the safety requirements.
        Self(raw)
    }

    /// Gives up the value without an end: somebody must make a [`Bio`] of the pointer again.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<bindings::bio> {
        let raw = self.0;
        core::mem::forget(self);
        raw
    }

    /// The bio, for a look.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::bio {
        self.0.as_ptr()
    }

    #[inline]
    fn opf(&self) -> u32 {
        // SAFETY: The bio is live by the type invariant, and nobody writes this field while it is ours.
        unsafe { (*self.as_ptr()).bi_opf }
    }

    #[inline]
    fn iter(&self) -> bindings::bvec_iter {
        // SAFETY: As for `opf`. The iterator is `Copy`, so no reference into the packed struct arises.
        unsafe { (*self.as_ptr()).bi_iter }
    }

    /// What it asks for.
    #[inline]
    pub(crate) fn operation(&self) -> Operation {
        Operation::from_opf(self.opf())
    }

    /// How it asks.
    #[inline]
    pub(crate) fn flags(&self) -> OpFlags {
        OpFlags(self.opf() & OpFlags::ALL.0)
    }

    /// Where it begins, in sectors of 512 bytes.
    #[inline]
    pub(crate) fn sector(&self) -> u64 {
        self.iter().bi_sector
    }

    /// How long it is, in bytes: a multiple of 512, 0 for a flush.
    #[inline]
    pub(crate) fn size(&self) -> u32 {
        self.iter().bi_size
    }

    /// Whether it brings bytes, or room for them.
    #[inline]
    pub(crate) fn has_data(&self) -> bool {
        matches!(self.operation(), Operation::Read | Operation::Write) && self.size() != 0
    }

    /// Where its bytes are. Empty for an operation without data.
    ///
    /// The bytes of a write may change while they are read: see [`BioVecs`].
    #[inline]
    pub(crate) fn vecs(&self) -> BioVecs<'_> {
        // SAFETY: The bio is live, and the borrow of `self` keeps it from its end.
        unsafe { vecs_of(self.0) }
    }

    /// Where the bytes of a read go. Empty for anything but a read.
    pub(crate) fn vecs_mut(&mut self) -> BioVecsMut<'_> {
        if self.operation() != Operation::Read {
            return BioVecsMut::empty();
        }
        // SAFETY: The submitter of a read gives its pages for writing until the bio ends.
        unsafe { BioVecsMut::new(self.vecs()) }
    }

    /// Keeps the data of the bio alive: its owner hears of the end only when the pin is gone too, whoever ends it
    /// before.
    #[inline]
    pub(crate) fn pin(&self) -> BioPin {
        // SAFETY: The bio is live and its count is not 0 by the type invariant.
        unsafe { shims::drbd_shim_bio_inc_remaining(self.as_ptr()) };
        // INVARIANT: The unit that was just added belongs to the pin.
        BioPin(self.0)
    }

    /// Ends it.
    #[inline]
    pub(crate) fn end(self, status: BlkStatus) {
        let raw = self.into_raw();
        // SAFETY: The bio is live, and the unit of the count that the value had is given up here.
        unsafe { end_raw(raw, status) };
    }

    /// Begins the accounting of this I/O in the statistics of the disk (`/sys/block/drbdN/stat`, `iostat`).
    #[inline]
    pub(crate) fn start_accounting(&self) -> IoStart {
        // SAFETY: The bio is live, and its disk is ours, which is open as long as it has I/O.
        IoStart(unsafe { bindings::bio_start_io_acct(self.as_ptr()) })
    }

    /// Ends the bio and its accounting.
    #[inline]
    pub(crate) fn end_accounted(self, status: BlkStatus, start: IoStart) {
        // SAFETY: The bio is live; its device is read before its end.
        unsafe {
            let bdev = (*self.as_ptr()).bi_bdev;
            bindings::bio_end_io_acct_remapped(self.as_ptr(), start.0, bdev);
        }
        self.end(status);
    }
}

impl Drop for Bio {
    fn drop(&mut self) {
        // SAFETY: The bio is live, and the value that owns a unit of the count goes.
        unsafe { end_raw(self.0, BlkStatus::IO_ERROR) };
    }
}

/// When an accounted I/O began, in jiffies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IoStart(usize);

/// Holds off the end of a bio, see [`Bio::pin`].
///
/// Dropping it may be what ends the bio: the rules of [`Bio::end`] hold.
///
/// # Invariants
///
/// As for [`Bio`], with a unit of the completion count of its own.
pub(crate) struct BioPin(NonNull<bindings::bio>);

// SAFETY: As for `Bio`.
unsafe impl Send for BioPin {}
// SAFETY: There is nothing to be done with a `&BioPin`.
unsafe impl Sync for BioPin {}

impl BioPin {
    /// The bio, for a look.
    #[inline]
    pub(super) fn as_ptr(&self) -> *mut bindings::bio {
        self.0.as_ptr()
    }

    /// Where the bytes of the bio are, as [`Bio::vecs`].
    pub(crate) fn vecs(&self) -> BioVecs<'_> {
        // SAFETY: The bio is live as long as the pin.
        unsafe { vecs_of(self.0) }
    }
}

impl Drop for BioPin {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The unit of the count goes with the value.
        unsafe { bindings::bio_endio(self.0.as_ptr()) };
    }
}

/// Gives up one unit of the completion count, and leaves `status` in the bio if it is an error.
///
/// # Safety
///
/// The bio is live, and the caller gives up a unit that it owns.
unsafe fn end_raw(bio: NonNull<bindings::bio>, status: BlkStatus) {
    if !status.is_ok() {
        // SAFETY: The bio is live. Of several errors at the same time any may win, as in `bio_chain`.
        unsafe { core::ptr::write_volatile(&raw mut (*bio.as_ptr()).bi_status, status.as_raw()) };
    }
    // SAFETY: By the safety requirements.
    unsafe { bindings::bio_endio(bio.as_ptr()) };
}

/// Where the bytes of a bio are.
///
/// # Safety
///
/// The bio is live for `'a`, and nobody advances its iterator.
unsafe fn vecs_of<'a>(bio: NonNull<bindings::bio>) -> BioVecs<'a> {
    // SAFETY: The bio is live by the safety requirements.
    let (opf, table, iter) = unsafe {
        let bio = bio.as_ptr();
        ((*bio).bi_opf, (*bio).bi_io_vec, (*bio).bi_iter)
    };
    match Operation::from_opf(opf) {
        // SAFETY: That the table covers `bi_size` bytes from the place of the iterator is what makes a bio with data.
        Operation::Read | Operation::Write => unsafe {
            BioVecs::from_raw(table, iter.bi_idx, iter.bi_offset, iter.bi_size)
        },
        _ => BioVecs::empty(),
    }
}

/// The status that a bio which came back carries.
///
/// # Safety
///
/// `bio` is live.
pub(super) unsafe fn status_of(bio: *mut bindings::bio) -> BlkStatus {
    // SAFETY: The bio is live by the safety requirements.
    BlkStatus::from_raw(unsafe { addr_of!((*bio).bi_status).read() })
}
