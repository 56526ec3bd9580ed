// SPDX-License-Identifier: GPL-2.0-only

//! I/O with pages of our own: what the peer sent, what it will be sent, resync, metadata that is not waited for.
//!
//! A [`PageBio`] is a buffer of up to 1 MiB that is at the same time the bio which writes or reads it: a payload goes
//! from the socket straight to where the disk takes it. It comes from a [`PagePool`], which has a reserve of both pages
//! and bios, so that there is no allocation on the way that could fail.
//!
//! Use one pool for what is received and another for what is read to be sent. What is received is held no longer than the
//! local disk takes; what is to be sent waits for the peer. With one pool, two nodes that wait for each other could
//! have all pages of both on the way out, and no page to receive with.
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h),
//! [`include/linux/mempool.h`](srctree/include/linux/mempool.h)

use super::{
    bio::{self, OpFlags},
    bio_vecs::{BioVecs, BioVecsMut},
    block_device::BackingDevice,
    block_status::BlkStatus,
    in_flight::InFlight,
};
use crate::bindings as shims;
use core::{
    marker::PhantomData,
    mem::{align_of, size_of, ManuallyDrop, MaybeUninit},
    ptr::NonNull,
};
use kernel::{
    bindings,
    error::to_result,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::Mutex,
    types::Opaque, //
};

/// Bytes in a [`PageBio`] at most: `DRBD_MAX_BIO_SIZE`, and what one bio of single pages can hold.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// Pages in a [`PageBio`] at most.
const MAX_PAGES: usize = MAX_BYTES / PAGE_SIZE;

const _: () = assert!(MAX_PAGES <= bindings::BIO_MAX_VECS as usize);

/// What happens when an I/O of a [`PageBio`] ends. The rules are those of [`EndIo`](super::bio_set::EndIo).
pub(crate) trait PagesEndIo: Sized + 'static {
    /// What the submitter gives along.
    type Context: Send + 'static;

    /// The I/O ended. The buffer comes back: keep it, or drop it, which frees its pages (any context).
    fn end_io(context: Self::Context, pages: PageBio<Self>, status: BlkStatus);
}

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// From the device.
    Read,
    /// To the device.
    Write,
}

impl Direction {
    fn as_raw(self) -> u32 {
        match self {
            Self::Read => bindings::req_op_REQ_OP_READ,
            Self::Write => bindings::req_op_REQ_OP_WRITE,
        }
    }
}

/// What stands in front of each bio.
struct FrontPad<E: PagesEndIo> {
    pool: *const PagePool<E>,
    /// Initialised while the bio is submitted.
    context: MaybeUninit<E::Context>,
    /// Of the device that it is submitted to, while it is.
    bdev_in_flight: *const InFlight,
}

/// A reserve of bios and pages.
///
/// # Invariants
///
/// `bios` and `pages` are initialised, the bios with a front pad of `FRONT_PAD` bytes. Each [`PageBio`] of the pool is
/// counted in `in_flight`.
#[pin_data(PinnedDrop)]
pub(crate) struct PagePool<E: PagesEndIo> {
    #[pin]
    bios: Opaque<bindings::bio_set>,
    #[pin]
    pages: Opaque<bindings::mempool_t>,
    /// Held by whoever waits for pages of the reserve, so that two do not each wait for what the other has taken.
    #[pin]
    waiting: Mutex<()>,
    in_flight: InFlight,
    _end_io: PhantomData<fn() -> E>,
}

// SAFETY: A `bio_set` and a `mempool_t` may be used from any task.
unsafe impl<E: PagesEndIo> Send for PagePool<E> {}
// SAFETY: As above, and concurrently.
unsafe impl<E: PagesEndIo> Sync for PagePool<E> {}

impl<E: PagesEndIo> PagePool<E> {
    /// Bytes in front of each bio, a multiple of the alignment of a bio.
    const FRONT_PAD: usize = size_of::<FrontPad<E>>().next_multiple_of(align_of::<bindings::bio>());

    /// The slab gives at least the alignment of a pointer, and so does a multiple of it before the bio.
    const ALIGNED: () = assert!(align_of::<FrontPad<E>>() <= 8 && align_of::<bindings::bio>() <= 8);

    /// A pool that has `reserve` buffers of the greatest size in any case, at least one. Sleeps.
    pub(crate) fn new(reserve: u32) -> impl PinInit<Self, Error> {
        const { Self::ALIGNED };
        let reserve = reserve.clamp(1, 1 << 16);
        try_pin_init!(Self {
            bios <- Opaque::try_ffi_init(|slot: *mut bindings::bio_set| {
                let flags = bindings::BIOSET_NEED_BVECS as c_int;
                // SAFETY: `slot` is valid for writes; `bioset_init` wants it zeroed and not moved afterwards. Where it
                // fails `bioset_exit` frees what it made.
                unsafe {
                    slot.write_bytes(0, 1);
                    to_result(bindings::bioset_init(slot, reserve, Self::FRONT_PAD as u32, flags))
                        .inspect_err(|_| bindings::bioset_exit(slot))
                }
            }),
            pages <- Opaque::try_ffi_init(|slot: *mut bindings::mempool_t| {
                let pages = reserve as c_int * MAX_PAGES as c_int;
                // SAFETY: As above.
                unsafe {
                    slot.write_bytes(0, 1);
                    to_result(shims::drbd_shim_mempool_init_pages(slot, pages))
                }
            }),
            waiting <- new_mutex!((), "PagePool::waiting"),
            in_flight: InFlight::new(),
            _end_io: PhantomData,
        }? Error)
    }

    /// How many buffers are out, for reports.
    pub(crate) fn in_flight_count(&self) -> i64 {
        self.in_flight.count()
    }

    /// A buffer of `bytes` bytes, whose content is what was there before. `EINVAL` for none or more than [`MAX_BYTES`].
    ///
    /// Sleeps as long as there are no pages: until others of this pool are dropped. It does not fail.
    pub(crate) fn alloc(&self, bytes: usize) -> Result<PageBio<E>> {
        Self::check(bytes)?;
        if let Some(pages) = self.fill(bytes, bindings::GFP_NOWAIT, bindings::GFP_NOWAIT) {
            return Ok(pages);
        }
        let _waiting = self.waiting.lock();
        self.fill(bytes, shims::GFP_NOIO, shims::GFP_NOIO)
            .ok_or(ENOMEM)
    }

    /// As [`PagePool::alloc`], without sleeping: `ENOMEM` where that would be needed. Any context.
    pub(crate) fn try_alloc(&self, bytes: usize) -> Result<PageBio<E>> {
        Self::check(bytes)?;
        self.fill(bytes, bindings::GFP_NOWAIT, bindings::GFP_NOWAIT)
            .ok_or(ENOMEM)
    }

    fn check(bytes: usize) -> Result {
        if bytes == 0 || bytes > MAX_BYTES {
            return Err(EINVAL);
        }
        Ok(())
    }

    fn fill(&self, bytes: usize, bio_gfp: u32, page_gfp: u32) -> Option<PageBio<E>> {
        let vecs = bytes.div_ceil(PAGE_SIZE);
        // SAFETY: The set is initialised, and has vectors.
        let bio = NonNull::new(unsafe {
            bindings::bio_alloc_bioset(
                core::ptr::null_mut(),
                vecs as u16,
                0,
                bio_gfp,
                self.bios.get(),
            )
        })?;
        self.in_flight.get();
        let pad = FrontPad {
            pool: self,
            context: MaybeUninit::uninit(),
            bdev_in_flight: core::ptr::null(),
        };
        // SAFETY: The bio is of this pool, and `FRONT_PAD` bytes in front of it are ours.
        unsafe { Self::pad(bio.as_ptr()).write(pad) };
        // INVARIANT: The bio is of this pool, counted, and has no page yet. Dropping it frees those it has.
        let pages = PageBio {
            bio,
            _pool: PhantomData,
        };
        let mut left = bytes;
        while left != 0 {
            let len = left.min(PAGE_SIZE);
            // SAFETY: The pool is initialised, and what it gives is a page.
            let page = unsafe { shims::drbd_shim_mempool_alloc(self.pages.get(), page_gfp) };
            let page = NonNull::new(page)?;
            // SAFETY: The bio has `vecs` vectors, one for each page. (`__bio_add_page` makes a vector for each call.)
            unsafe {
                bindings::__bio_add_page(bio.as_ptr(), page.as_ptr().cast(), len as u32, 0);
            }
            left -= len;
        }
        Some(pages)
    }

    /// Where the front pad of `bio` is.
    ///
    /// # Safety
    ///
    /// `bio` is of a pool of this type.
    #[inline]
    unsafe fn pad(bio: *mut bindings::bio) -> *mut FrontPad<E> {
        // SAFETY: The bio stands `FRONT_PAD` bytes into its allocation.
        unsafe { bio.byte_sub(Self::FRONT_PAD).cast() }
    }

    /// The `bi_end_io` of the bios of the pool.
    ///
    /// # Safety
    ///
    /// Called by the block layer, once, for a bio that [`PageBio::submit`] submitted.
    unsafe extern "C" fn end_io_callback(bio: *mut bindings::bio) {
        // SAFETY: `submit` filled the front pad, and this one call takes the context. The bio is ours again.
        let (context, bdev_in_flight, status) = unsafe {
            let pad = Self::pad(bio);
            let context = (*pad).context.assume_init_read();
            (context, (*pad).bdev_in_flight, bio::status_of(bio))
        };
        // SAFETY: A bio that ended is there.
        let bio = unsafe { NonNull::new_unchecked(bio) };
        // INVARIANT: `submit` gave up the value that this one takes over.
        let pages = PageBio {
            bio,
            _pool: PhantomData,
        };
        E::end_io(context, pages, status);
        // Last, so that whoever waits for the I/O of the device also waits for the end of what the context refers to.
        // SAFETY: The device stays until its count is given back here.
        unsafe { (*bdev_in_flight).put() };
    }
}

#[pinned_drop]
impl<E: PagesEndIo> PinnedDrop for PagePool<E> {
    /// Waits until all buffers of the pool are dropped. Sleeps.
    fn drop(self: Pin<&mut Self>) {
        self.in_flight.wait_idle();
        // SAFETY: Both are initialised, and nothing of them is out.
        unsafe {
            bindings::mempool_exit(self.pages.get());
            bindings::bioset_exit(self.bios.get());
        }
    }
}

/// A buffer of pages, and the bio that reads or writes it.
///
/// Dropping it frees its pages, in any context. Pages that a socket still holds to send them again stay until it lets go
/// of them, and do not go back to the reserve; but a buffer that is filled anew while a socket has it is sent as it is then.
///
/// # Invariants
///
/// `bio` is of a [`PagePool`] of this type which is still there, since it counts this value. It is not submitted, and its
/// vectors, one to a page, are pages of the pool that belong to nobody else.
pub(crate) struct PageBio<E: PagesEndIo> {
    bio: NonNull<bindings::bio>,
    _pool: PhantomData<fn() -> E>,
}

// SAFETY: The pages belong to the value, which belongs to no task.
unsafe impl<E: PagesEndIo> Send for PageBio<E> {}
// SAFETY: Through a shared reference the bytes are only read.
unsafe impl<E: PagesEndIo> Sync for PageBio<E> {}

impl<E: PagesEndIo> PageBio<E> {
    /// The vectors, one for each page.
    fn table(&self) -> &[bindings::bio_vec] {
        // SAFETY: The bio is ours, and has as many vectors as pages were added.
        unsafe {
            let bio = self.bio.as_ptr();
            core::slice::from_raw_parts((*bio).bi_io_vec, usize::from((*bio).bi_vcnt))
        }
    }

    /// The number of bytes.
    pub(crate) fn len(&self) -> usize {
        match self.table().split_last() {
            Some((last, others)) => others.len() * PAGE_SIZE + last.bv_len as usize,
            None => 0,
        }
    }

    /// Whether there are none: never so.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Leaves off the end of the last page, so that `bytes` remain. `EINVAL` where there are fewer, or that would leave nothing of
    /// the last page.
    pub(crate) fn truncate(&mut self, bytes: usize) -> Result {
        let (last, others) = self.table().split_last().ok_or(EINVAL)?;
        let (index, most) = (others.len(), last.bv_len as usize);
        let left = bytes
            .checked_sub(index * PAGE_SIZE)
            .filter(|left| (1..=most).contains(left))
            .ok_or(EINVAL)?;
        // SAFETY: The bio is ours alone, and `index` is that of its last vector, which covers no more of its page than before.
        unsafe { (*(*self.bio.as_ptr()).bi_io_vec.add(index)).bv_len = left as u32 };
        Ok(())
    }

    /// The bytes, to be sent or looked at.
    pub(crate) fn vecs(&self) -> BioVecs<'_> {
        // SAFETY: The table covers `len` bytes, and is alive and unchanged as long as `self` is borrowed.
        unsafe { BioVecs::from_raw(self.table().as_ptr(), 0, 0, self.len() as u32) }
    }

    /// The bytes, to be filled.
    pub(crate) fn vecs_mut(&mut self) -> BioVecsMut<'_> {
        // SAFETY: The pages are ours alone.
        unsafe { BioVecsMut::new(self.vecs()) }
    }

    /// Copies `to.len()` bytes from `offset` on; `EINVAL` where there are not as many.
    pub(crate) fn copy_out(&self, offset: usize, to: &mut [u8]) -> Result {
        self.vecs().copy_out(offset, to)
    }

    /// Copies `from` to the bytes from `offset` on; `EINVAL` where there are not as many.
    pub(crate) fn copy_in(&mut self, offset: usize, from: &[u8]) -> Result {
        self.vecs_mut().copy_in(offset, from)
    }

    /// Calls `f` with all bytes in order, in slices of up to a page. Stops at an error.
    ///
    /// The pages may be read by others meanwhile (a socket that has not yet sent them), never written.
    pub(crate) fn for_each_slice(&self, mut f: impl FnMut(&[u8]) -> Result) -> Result {
        self.vecs().for_each_mapped(|bytes, len| {
            // SAFETY: Valid for `len` bytes until the closure returns, and nobody writes to pages that are ours while
            // they are borrowed. All of a page was initialised when it was allocated, read or filled: whatever it holds is
            // some byte, the kernel knows no other.
            f(unsafe { core::slice::from_raw_parts(bytes, len) })
        })
    }

    /// Whether all bytes are 0.
    pub(crate) fn is_all_zero(&self) -> bool {
        self.for_each_slice(|bytes| {
            // Zero if the first few are, and each equals the one so many before it: what the compiler makes fast.
            let all_zero = bytes.iter().fold(0_u8, |acc, byte| acc | byte) == 0;
            if all_zero {
                Ok(())
            } else {
                Err(EINVAL)
            }
        })
        .is_ok()
    }

    /// Makes the bio ready for (another) I/O.
    fn prepare(&mut self, bdev: &BackingDevice, direction: Direction, flags: OpFlags, sector: u64) {
        let len = self.len() as u32;
        let opf = direction.as_raw() | flags.as_raw();
        // SAFETY: The bio is ours and not submitted. `bio_reuse` sets everything but the vectors back, and would look at
        // the device of the last time, which may be gone.
        unsafe {
            let bio = self.bio.as_ptr();
            (*bio).bi_bdev = core::ptr::null_mut();
            bindings::bio_reuse(bio, opf);
            (*bio).bi_iter.bi_size = len;
            (*bio).bi_iter.bi_sector = sector;
            shims::drbd_shim_bio_set_dev(bio, bdev.as_ptr());
        }
    }

    /// Reads or writes the whole buffer at `sector` of `bdev`. The length must be a multiple of its block size, or the I/O
    /// ends with an error. What is larger than the device takes at once is split below.
    ///
    /// `E::end_io` gets the buffer back, perhaps before this returns. May sleep, for a slot in the queue of the device.
    pub(crate) fn submit(
        mut self,
        bdev: &BackingDevice,
        direction: Direction,
        flags: OpFlags,
        sector: u64,
        context: E::Context,
    ) {
        self.prepare(bdev, direction, flags, sector);
        bdev.in_flight().get();
        let bio = ManuallyDrop::new(self).bio.as_ptr();
        // SAFETY: The bio is ours, and handed over here; its end makes a value of it again. The front pad is ours too. The
        // device stays until its count, just taken, is given back.
        unsafe {
            let pad = PagePool::<E>::pad(bio);
            (*pad).context.write(context);
            (*pad).bdev_in_flight = bdev.in_flight();
            (*bio).bi_end_io = Some(PagePool::<E>::end_io_callback);
            bindings::submit_bio(bio);
        }
    }

    /// Reads or writes the whole buffer at `sector` of `bdev`, and waits. Sleeps.
    pub(crate) fn submit_wait(
        &mut self,
        bdev: &BackingDevice,
        direction: Direction,
        flags: OpFlags,
        sector: u64,
    ) -> Result {
        self.prepare(bdev, direction, flags, sector);
        // SAFETY: The bio is ours, and is again when the call returns. It sets the end function itself.
        to_result(unsafe { bindings::submit_bio_wait(self.bio.as_ptr()) })
    }
}

impl<E: PagesEndIo> Drop for PageBio<E> {
    fn drop(&mut self) {
        let bio = self.bio.as_ptr();
        // SAFETY: The bio is of a pool that is still there, and the pages of its table are that pool's, and ours alone.
        // Nothing of the pool is touched after its count is given back.
        unsafe {
            let pool = (*PagePool::<E>::pad(bio)).pool;
            for vec in self.table() {
                shims::drbd_shim_mempool_free_page(vec.bv_page, (*pool).pages.get());
            }
            bindings::bio_put(bio);
            (*pool).in_flight.put();
        }
    }
}
