// SPDX-License-Identifier: GPL-2.0-only

//! Digests of the kernel's crypto API, plain and keyed, computed in the context of the caller.
//!
//! C header: [`include/crypto/hash.h`](srctree/include/crypto/hash.h)

use core::{
    mem::MaybeUninit,
    ptr::NonNull, //
};

use kernel::{
    prelude::*,
    str::CString, //
};

use super::bio_vecs::BioVecs;
use crate::bindings as shims;

/// The longest digest that the kernel knows, in bytes (`HASH_MAX_DIGESTSIZE`).
pub(crate) const MAX_DIGEST_SIZE: usize = 64;

/// Bytes that are given to the algorithm in one call.
const MAX_STEP: usize = 1 << 20;

/// Whether the kernel has this digest, if need be after loading a module. May sleep.
pub(crate) fn exists(name: &CStr) -> bool {
    // SAFETY: `name` is only read; type and mask ask for any implementation.
    unsafe { shims::crypto_has_shash(name.as_char_ptr(), 0, 0) != 0 }
}

/// An algorithm that is ready to compute.
///
/// # Invariants
///
/// `algorithm` is of `crypto_alloc_shash()`, belongs to this, is keyed if it has to be, and does not change; its digests
/// are of at most [`MAX_DIGEST_SIZE`] bytes, and its state fits into `HASH_MAX_DESCSIZE` bytes.
pub(crate) struct Digest {
    algorithm: NonNull<shims::crypto_shash>,
}

// SAFETY: An algorithm belongs to no task.
unsafe impl Send for Digest {}
// SAFETY: After the key is set an algorithm is only read; what a computation changes is in its descriptor, and each has
// its own.
unsafe impl Sync for Digest {}

/// Where the crypto API keeps a computation: `SHASH_DESC_ON_STACK`.
#[repr(C)]
struct Descriptor {
    head: shims::shash_desc,
    context: [MaybeUninit<u8>; shims::HASH_MAX_DESCSIZE],
}

/// A computation under way: takes the bytes, in order.
///
/// # Invariants
///
/// `descriptor` was initialized for an algorithm that lives longer, and is used by nobody else.
pub(crate) struct Computation<'d> {
    descriptor: &'d mut Descriptor,
}

impl Computation<'_> {
    /// What the crypto API calls the descriptor.
    fn as_raw(&mut self) -> *mut shims::shash_desc {
        // The pointer is to all of it, not to the head only.
        core::ptr::from_mut(self.descriptor).cast()
    }

    /// Takes `bytes`.
    pub(crate) fn update(&mut self, bytes: &[u8]) -> Result {
        // SAFETY: They are there to be read.
        unsafe { self.update_raw(bytes.as_ptr(), bytes.len()) }
    }

    /// Takes the bytes of a bio as they are now. Whoever writes to them meanwhile gets a digest of no use, and does no
    /// harm.
    pub(crate) fn update_vecs(&mut self, vecs: BioVecs<'_>) -> Result {
        // SAFETY: The bytes are mapped for the time of the call. C reads them, so it is no data race of ours.
        vecs.for_each_mapped(|bytes, len| unsafe { self.update_raw(bytes, len) })
    }

    /// # Safety
    ///
    /// From `bytes` on `len` can be read. Others may write to them.
    unsafe fn update_raw(&mut self, mut bytes: *const u8, mut len: usize) -> Result {
        while len != 0 {
            let step = len.min(MAX_STEP);
            // SAFETY: The descriptor is initialized by the type invariant; so many bytes are left. The length fits: it is
            // at most `MAX_STEP`.
            to_result(unsafe { shims::drbd_shim_shash_update(self.as_raw(), bytes, step as u32) })?;
            // SAFETY: At most to the end.
            bytes = unsafe { bytes.add(step) };
            len -= step;
        }
        Ok(())
    }
}

impl Digest {
    /// The algorithm of this name, if need be after loading a module. May sleep; never on the path of I/O.
    ///
    /// `ENOENT` where there is none, `ENOKEY` where it needs a key.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        let digest = Self::allocate(name)?;
        // SAFETY: The algorithm is alive by the type invariant.
        if unsafe { shims::drbd_shim_shash_needs_key(digest.algorithm.as_ptr()) } {
            return Err(ENOKEY);
        }
        Ok(digest)
    }

    /// `hmac(name)` with a key of any length but 0. As [`Digest::new`].
    pub(crate) fn hmac(name: &str, key: &[u8]) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("hmac({name})"))?;
        let digest = Self::allocate(&name)?;
        let len = u32::try_from(key.len())?;
        // SAFETY: The algorithm is alive, and nobody uses it yet; the key is copied.
        to_result(unsafe {
            shims::crypto_shash_setkey(digest.algorithm.as_ptr(), key.as_ptr(), len)
        })?;
        Ok(digest)
    }

    /// Without a look at whether there is a key: whoever calls this takes care of it.
    fn allocate(name: &CStr) -> Result<Self> {
        // SAFETY: The name is only read; type and mask ask for any implementation.
        let algorithm = unsafe { shims::crypto_alloc_shash(name.as_char_ptr(), 0, 0) };
        let algorithm = kernel::error::from_err_ptr(algorithm)?;
        // INVARIANT: It was just made; the sizes are checked below, before anybody computes.
        let digest = Self {
            algorithm: NonNull::new(algorithm).ok_or(ENOENT)?,
        };
        // SAFETY: Alive until `digest` is dropped.
        let descriptor = unsafe { shims::drbd_shim_shash_descsize(algorithm) } as usize;
        if digest.size() > MAX_DIGEST_SIZE || descriptor > shims::HASH_MAX_DESCSIZE {
            return Err(EINVAL);
        }
        Ok(digest)
    }

    /// The length of a digest, in bytes: 1 to [`MAX_DIGEST_SIZE`].
    pub(crate) fn size(&self) -> usize {
        // SAFETY: The algorithm is alive by the type invariant.
        unsafe { shims::drbd_shim_shash_digestsize(self.algorithm.as_ptr()) as usize }
    }

    /// Computes the digest of what `feed` gives, into the front of `buffer`. Any context but hard interrupts; does not
    /// sleep and allocates nothing, needs half a KiB of stack. Any number of tasks at the same time.
    pub(crate) fn compute<'b>(
        &self,
        buffer: &'b mut [u8; MAX_DIGEST_SIZE],
        feed: impl FnOnce(&mut Computation<'_>) -> Result,
    ) -> Result<&'b [u8]> {
        let mut descriptor = Descriptor {
            head: shims::shash_desc {
                tfm: self.algorithm.as_ptr(),
                ..Default::default()
            },
            context: [MaybeUninit::uninit(); shims::HASH_MAX_DESCSIZE],
        };
        // INVARIANT: Initialized before it is given to anybody; the algorithm lives as long as `self`.
        let mut computation = Computation {
            descriptor: &mut descriptor,
        };
        // SAFETY: The descriptor names its algorithm and has room for its state, by the type invariant.
        let started = to_result(unsafe { shims::crypto_shash_init(computation.as_raw()) });
        let result = started
            .and_then(|()| feed(&mut computation))
            .and_then(|()| {
                // SAFETY: The descriptor is initialized; a digest fits into the buffer, by the type invariant.
                to_result(unsafe {
                    shims::drbd_shim_shash_final(computation.as_raw(), buffer.as_mut_ptr())
                })
            });
        // With a key, what is left on the stack would say something about it.
        // SAFETY: The whole descriptor is ours, and has no value from here on.
        unsafe {
            shims::drbd_shim_memzero_explicit(computation.as_raw().cast(), size_of::<Descriptor>());
        }
        result?;
        buffer.get(..self.size()).ok_or(EINVAL)
    }

    /// The digest of `bytes`; see [`Digest::compute`].
    pub(crate) fn of_bytes<'b>(
        &self,
        bytes: &[u8],
        buffer: &'b mut [u8; MAX_DIGEST_SIZE],
    ) -> Result<&'b [u8]> {
        self.compute(buffer, |computation| computation.update(bytes))
    }

    /// The digest of the bytes of a bio, as they are now; see [`Digest::compute`].
    pub(crate) fn of_vecs<'b>(
        &self,
        vecs: BioVecs<'_>,
        buffer: &'b mut [u8; MAX_DIGEST_SIZE],
    ) -> Result<&'b [u8]> {
        self.compute(buffer, |computation| computation.update_vecs(vecs))
    }
}

impl Drop for Digest {
    fn drop(&mut self) {
        // SAFETY: Ours, and no computation is under way: each borrows `self`. The crypto API wipes the key.
        unsafe { shims::drbd_shim_shash_free(self.algorithm.as_ptr()) };
    }
}

/// What the crypto API returns: 0, or a negative error.
fn to_result(number: kernel::ffi::c_int) -> Result {
    kernel::error::to_result(number)
}
