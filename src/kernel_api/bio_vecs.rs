// SPDX-License-Identifier: GPL-2.0-only

//! The bytes of a bio: runs of pages, looked at or filled.
//!
//! C header: [`include/linux/bvec.h`](srctree/include/linux/bvec.h)

use crate::bindings as shims;
use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*, //
};

/// A part of one page.
struct Piece {
    page: *mut bindings::page,
    offset: usize,
    len: usize,
}

/// A range of the bytes of a bio.
///
/// Whoever gave the pages may write to them at any time (an application that writes into a mapped file during its
/// write-back), so there is no `&[u8]` into them: bytes are copied out, or given to C as a pointer.
///
/// # Invariants
///
/// The range of `len` bytes from `skip` bytes into the first of `vecs` lies inside of `vecs`, each of which is a run of
/// contiguous page structs with all their bytes, alive for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct BioVecs<'a> {
    vecs: &'a [bindings::bio_vec],
    skip: usize,
    len: usize,
}

// SAFETY: Pages may be looked at from any task.
unsafe impl Send for BioVecs<'_> {}
// SAFETY: As above.
unsafe impl Sync for BioVecs<'_> {}

impl<'a> BioVecs<'a> {
    /// No bytes.
    #[inline]
    pub(crate) const fn empty() -> Self {
        Self {
            vecs: &[],
            skip: 0,
            len: 0,
        }
    }

    /// The bytes that a `bvec_iter` stands for.
    ///
    /// # Safety
    ///
    /// From `table[index]`, `skip` bytes in, the table has at least `size` bytes, and is alive and unchanged for `'a`
    /// together with the pages.
    pub(super) unsafe fn from_raw(
        table: *const bindings::bio_vec,
        index: u32,
        skip: u32,
        size: u32,
    ) -> Self {
        if size == 0 {
            return Self::empty();
        }
        // SAFETY: The table has an entry `index`, since there are bytes in it.
        let first = unsafe { table.add(index as usize) };
        let (skip, size) = (skip as usize, size as usize);
        let mut covered = 0_usize;
        let mut count = 0_usize;
        while covered < skip + size {
            // SAFETY: As long as the bytes are not all seen the table goes on, by the safety requirements.
            covered += unsafe { (*first.add(count)).bv_len } as usize;
            count += 1;
        }
        // INVARIANT: Exactly the entries that cover the bytes.
        Self {
            // SAFETY: `count` entries were just read.
            vecs: unsafe { core::slice::from_raw_parts(first, count) },
            skip,
            len: size,
        }
    }

    /// The number of bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The raw vectors, and how many bytes to leave out at the front of the first: what `iov_iter_bvec()` and
    /// `iov_iter.iov_offset` want, together with [`BioVecs::len`].
    #[inline]
    pub(crate) fn as_raw(&self) -> (&'a [bindings::bio_vec], usize) {
        (self.vecs, self.skip)
    }

    /// `len` bytes from `offset` on, or as many of them as there are.
    pub(crate) fn range(mut self, offset: usize, len: usize) -> Self {
        let offset = offset.min(self.len);
        self.len -= offset;
        self.len = self.len.min(len);
        self.skip += offset;
        while let Some((first, rest)) = self.vecs.split_first() {
            let first_len = first.bv_len as usize;
            if self.skip < first_len || rest.is_empty() {
                break;
            }
            self.skip -= first_len;
            self.vecs = rest;
        }
        if self.len == 0 {
            return Self::empty();
        }
        self
    }

    /// The bytes from `offset` on.
    #[inline]
    pub(crate) fn from(self, offset: usize) -> Self {
        self.range(offset, self.len)
    }

    /// Calls `f` for each piece that lies in one page.
    fn for_each_piece(&self, mut f: impl FnMut(Piece)) {
        let mut skip = self.skip;
        let mut left = self.len;
        for vec in self.vecs {
            let mut at = vec.bv_offset as usize + skip;
            let mut in_vec = (vec.bv_len as usize - skip).min(left);
            skip = 0;
            left -= in_vec;
            while in_vec != 0 {
                let offset = at % PAGE_SIZE;
                let len = (PAGE_SIZE - offset).min(in_vec);
                f(Piece {
                    // SAFETY: The pages of a vector are contiguous, and `at` is inside of it, by the type invariant.
                    page: unsafe { vec.bv_page.add(at / PAGE_SIZE) },
                    offset,
                    len,
                });
                at += len;
                in_vec -= len;
            }
        }
    }

    /// Copies `to.len()` bytes from `offset` on; `EINVAL` where there are not as many.
    pub(crate) fn copy_out(&self, offset: usize, to: &mut [u8]) -> Result {
        let range = self.range(offset, to.len());
        if range.len != to.len() {
            return Err(EINVAL);
        }
        let mut done = 0_usize;
        range.for_each_piece(|piece| {
            // SAFETY: The piece lies in its page; the lengths of all pieces add up to `to.len()`.
            unsafe {
                let to = to.as_mut_ptr().add(done);
                shims::drbd_shim_page_read(piece.page, piece.offset, to.cast(), piece.len);
            }
            done += piece.len;
        });
        Ok(())
    }

    /// Calls `f` with each piece mapped: a pointer that is valid for so many bytes until `f` returns, on this CPU's task
    /// only. For C that reads the bytes itself, such as a digest; others may be writing to them. Stops at an error.
    pub(crate) fn for_each_mapped(&self, mut f: impl FnMut(*const u8, usize) -> Result) -> Result {
        let mut result = Ok(());
        self.for_each_piece(|piece| {
            if result.is_err() {
                return;
            }
            // SAFETY: The page is alive by the type invariant.
            let address = unsafe { bindings::kmap_local_page(piece.page) };
            // SAFETY: `offset` is inside of the page.
            result = f(unsafe { address.cast::<u8>().add(piece.offset) }, piece.len);
            // SAFETY: The mapping made last is undone first, since `f` cannot leave one behind but through this function.
            unsafe { bindings::kunmap_local(address) };
        });
        result
    }
}

/// A range of the bytes of a bio, for writing.
///
/// # Invariants
///
/// As for [`BioVecs`]; for `'a` nobody else writes to the pages but those whom their owner lets.
pub(crate) struct BioVecsMut<'a>(BioVecs<'a>);

impl<'a> BioVecsMut<'a> {
    /// No bytes.
    #[inline]
    pub(crate) const fn empty() -> Self {
        Self(BioVecs::empty())
    }

    /// Allows writing to `vecs`.
    ///
    /// # Safety
    ///
    /// The owner of the pages agrees to it for `'a`.
    #[inline]
    pub(super) unsafe fn new(vecs: BioVecs<'a>) -> Self {
        // INVARIANT: By the safety requirements.
        Self(vecs)
    }

    /// For a look.
    #[inline]
    pub(crate) fn as_shared(&self) -> BioVecs<'_> {
        self.0
    }

    /// The number of bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// As [`BioVecs::as_raw`], for an `iov_iter` that is written to.
    #[inline]
    pub(crate) fn as_raw(&mut self) -> (&[bindings::bio_vec], usize) {
        (self.0.vecs, self.0.skip)
    }

    /// As [`BioVecs::range`].
    #[inline]
    pub(crate) fn range(self, offset: usize, len: usize) -> Self {
        // INVARIANT: A part of what it was.
        Self(self.0.range(offset, len))
    }

    /// A shorter borrow, to receive in steps.
    #[inline]
    pub(crate) fn reborrow(&mut self) -> BioVecsMut<'_> {
        // INVARIANT: `self` cannot be used meanwhile.
        BioVecsMut(self.0)
    }

    /// Copies `from` to the bytes from `offset` on; `EINVAL` where there are not as many.
    pub(crate) fn copy_in(&mut self, offset: usize, from: &[u8]) -> Result {
        let range = self.0.range(offset, from.len());
        if range.len != from.len() {
            return Err(EINVAL);
        }
        let mut done = 0_usize;
        range.for_each_piece(|piece| {
            // SAFETY: The piece lies in its page, which may be written to by the type invariant; the lengths of all
            // pieces add up to `from.len()`.
            unsafe {
                let from = from.as_ptr().add(done);
                shims::drbd_shim_page_write(piece.page, piece.offset, from.cast(), piece.len);
            }
            done += piece.len;
        });
        Ok(())
    }

    /// Makes them all 0.
    pub(crate) fn fill_zero(&mut self) {
        self.0.for_each_piece(|piece| {
            // SAFETY: The page is alive and may be written to, and the piece lies in it; the mapping is undone at once.
            unsafe {
                let address = bindings::kmap_local_page(piece.page);
                address
                    .cast::<u8>()
                    .add(piece.offset)
                    .write_bytes(0, piece.len);
                bindings::kunmap_local(address);
            }
        });
    }
}
