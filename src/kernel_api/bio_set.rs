// SPDX-License-Identifier: GPL-2.0-only

//! I/O of our own that carries no pages of our own: copies of bios from above, flushes, discards.
//!
//! A [`BioSet`] is a reserve of bios, each with room for a value of the caller in front of it, so that an I/O always
//! starts without an allocation that could fail.
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use super::{
    bio::{self, BioPin, OpFlags},
    block_device::BackingDevice,
    block_status::BlkStatus,
    in_flight::InFlight,
};
use crate::bindings as shims;
use core::{
    marker::PhantomData,
    mem::{align_of, size_of},
    ptr::NonNull,
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// What happens when an I/O ends.
///
/// `end_io` is called exactly once for each submission, in whatever context the device below ends it: a hard interrupt,
/// a worker, or the submitter itself, before the submitting call returns. So: no sleeping, irq-safe locks, none that the
/// submitter holds, and no last reference to something whose destructor sleeps.
pub(crate) trait EndIo: 'static {
    /// What the submitter gives along.
    type Context: Send + 'static;

    /// The I/O ended.
    fn end_io(context: Self::Context, status: BlkStatus);
}

/// What stands in front of each bio.
struct FrontPad<E: EndIo> {
    context: E::Context,
    set: *const BioSet<E>,
    bdev_in_flight: *const InFlight,
    source: Option<BioPin>,
}

/// A reserve of bios.
///
/// # Invariants
///
/// `raw` is an initialised `bio_set` with a front pad of `FRONT_PAD` bytes, without vectors of its own. Each bio of it
/// that is out is counted in `in_flight`.
#[pin_data(PinnedDrop)]
pub(crate) struct BioSet<E: EndIo> {
    #[pin]
    raw: Opaque<bindings::bio_set>,
    in_flight: InFlight,
    _end_io: PhantomData<fn() -> E>,
}

// SAFETY: A `bio_set` may be used from any task.
unsafe impl<E: EndIo> Send for BioSet<E> {}
// SAFETY: As above, and concurrently.
unsafe impl<E: EndIo> Sync for BioSet<E> {}

impl<E: EndIo> BioSet<E> {
    /// Bytes in front of each bio, a multiple of the alignment of a bio.
    const FRONT_PAD: usize = size_of::<FrontPad<E>>().next_multiple_of(align_of::<bindings::bio>());

    /// The slab gives at least the alignment of a pointer, and so does a multiple of it before the bio.
    const ALIGNED: () = assert!(align_of::<FrontPad<E>>() <= 8 && align_of::<bindings::bio>() <= 8);

    /// A set that has `reserve` bios in any case, and as many more as there is memory for.
    pub(crate) fn new(reserve: u32) -> impl PinInit<Self, Error> {
        const { Self::ALIGNED };
        try_pin_init!(Self {
            raw <- Opaque::try_ffi_init(|slot: *mut bindings::bio_set| {
                // A bio that was made while the same task is inside a `submit_bio` waits for that to return: the
                // rescuer submits it when the reserve is empty.
                let flags = bindings::BIOSET_NEED_RESCUER as c_int;
                // SAFETY: `slot` is valid for writes; `bioset_init` wants it zeroed and not moved afterwards.
                unsafe {
                    slot.write_bytes(0, 1);
                    to_result(bindings::bioset_init(slot, reserve, Self::FRONT_PAD as u32, flags))
                        .inspect_err(|_| bindings::bioset_exit(slot))
                }
            }),
            in_flight: InFlight::new(),
            _end_io: PhantomData,
        }? Error)
    }

    /// Submits a copy of the bio that `source` pins to `bdev`, at the same sector, with `flags` in the place of those that
    /// it has.
    ///
    /// The bio does not end before the copy has, whoever ends it in the meantime: its pages are in use. Sleeps at most
    /// until another bio of the set ends; makes no more than one bio, so it may be called in `submit_bio`.
    pub(crate) fn submit_copy(
        &self,
        bdev: &BackingDevice,
        source: BioPin,
        flags: OpFlags,
        context: E::Context,
    ) {
        // SAFETY: `source` is live, and the pin in the front pad keeps it so until the copy is freed.
        let bio = NonNull::new(unsafe {
            bindings::bio_alloc_clone(
                bdev.as_ptr(),
                source.as_ptr(),
                shims::GFP_NOIO,
                self.raw.get(),
            )
        });
        let Some(bio) = bio else {
            // Only where the copy of an integrity or encryption context found no memory.
            return E::end_io(context, BlkStatus::RESOURCE);
        };
        // SAFETY: The bio is ours and not yet submitted.
        unsafe {
            let bio = bio.as_ptr();
            (*bio).bi_opf = ((*bio).bi_opf & !OpFlags::ALL.as_raw()) | flags.as_raw();
        }
        self.submit(bio, bdev, Some(source), context);
    }

    /// Asks `bdev` to bring all that it has acknowledged to stable storage.
    pub(crate) fn submit_flush(&self, bdev: &BackingDevice, context: E::Context) {
        let opf = bindings::req_op_REQ_OP_WRITE | (OpFlags::PREFLUSH | OpFlags::SYNC).as_raw();
        let bio = self.alloc(bdev, opf);
        self.submit(bio, bdev, None, context);
    }

    /// A bio without vectors. May sleep.
    fn alloc(&self, bdev: &BackingDevice, opf: u32) -> NonNull<bindings::bio> {
        // SAFETY: The set is initialised by the type invariant.
        let bio = unsafe {
            bindings::bio_alloc_bioset(bdev.as_ptr(), 0, opf, shims::GFP_NOIO, self.raw.get())
        };
        // SAFETY: With `GFP_NOIO` and no vectors the allocation waits rather than fail.
        unsafe { NonNull::new_unchecked(bio) }
    }

    /// Fills the front pad and submits.
    fn submit(
        &self,
        bio: NonNull<bindings::bio>,
        bdev: &BackingDevice,
        source: Option<BioPin>,
        context: E::Context,
    ) {
        self.in_flight.get();
        bdev.in_flight().get();
        let pad = FrontPad {
            context,
            set: self,
            bdev_in_flight: bdev.in_flight(),
            source,
        };
        // SAFETY: The bio is of this set, so `FRONT_PAD` bytes in front of it are ours. `end_io` takes the value out of
        // them again. The set and the device stay until their counts, just taken, are given back.
        unsafe {
            Self::pad(bio.as_ptr()).write(pad);
            (*bio.as_ptr()).bi_end_io = Some(Self::end_io_callback);
            bindings::submit_bio_noacct(bio.as_ptr());
        }
    }

    /// Where the front pad of `bio` is.
    ///
    /// # Safety
    ///
    /// `bio` is of a set of this type.
    #[inline]
    unsafe fn pad(bio: *mut bindings::bio) -> *mut FrontPad<E> {
        // SAFETY: The bio stands `FRONT_PAD` bytes into its allocation.
        unsafe { bio.byte_sub(Self::FRONT_PAD).cast() }
    }

    /// The `bi_end_io` of the bios of this set.
    ///
    /// # Safety
    ///
    /// Called by the block layer, once, for a bio that [`Self::submit`] submitted.
    unsafe extern "C" fn end_io_callback(bio: *mut bindings::bio) {
        // SAFETY: `submit` wrote the front pad, and nobody takes the value but this one call. The bio is ours again.
        let (pad, status) = unsafe { (Self::pad(bio).read(), bio::status_of(bio)) };
        // SAFETY: The bio is ours, and not used after this.
        unsafe { bindings::bio_put(bio) };
        drop(pad.source);
        E::end_io(pad.context, status);
        // SAFETY: The set stays until its count is given back here.
        unsafe { (*pad.set).in_flight.put() };
        // Last, so that whoever waits for the I/O of the device also waits for the end of what the context refers to.
        // SAFETY: The device stays until its count is given back here.
        unsafe { (*pad.bdev_in_flight).put() };
    }
}

#[pinned_drop]
impl<E: EndIo> PinnedDrop for BioSet<E> {
    /// Waits until all I/O of the set has ended. Sleeps.
    fn drop(self: Pin<&mut Self>) {
        self.in_flight.wait_idle();
        // SAFETY: The set is initialised, and no bio of it is out.
        unsafe { bindings::bioset_exit(self.raw.get()) };
    }
}

/// Runs `f`, and holds the I/O that it submits back until it is over (or sleeps), so that neighbours are merged.
///
/// C header: [`include/linux/blk_plug.h`](srctree/include/linux/blk_plug.h)
pub(crate) fn with_plug<R>(f: impl FnOnce() -> R) -> R {
    let plug = Opaque::<bindings::blk_plug>::zeroed();
    // SAFETY: The plug stays in its place until it is finished below, in the same task.
    unsafe { bindings::blk_start_plug(plug.get()) };
    let result = f();
    // SAFETY: It was started above.
    unsafe { bindings::blk_finish_plug(plug.get()) };
    result
}
