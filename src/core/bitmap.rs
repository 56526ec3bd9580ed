// SPDX-License-Identifier: GPL-2.0-only

//! The quick-sync bitmap: one bit for each block of 4 KiB, set where the peer's copy may differ.
//!
//! The bits lie in words that the caller lends, beside a second set with one bit for each 4 KiB page of the bitmap:
//! the pages whose on-disk copy is older. On disk and on the wire the words are little endian.
//!
//! No bit past the end is ever set, whatever the disk, the peer or the caller says, and the weight is always the
//! number of bits that are set. Methods take time in proportion to the range of bits they are given; whoever holds a
//! spinlock gives short ones.

use crate::num::{
    u64_to_usize,
    usize_to_u64,
    SECTORS_PER_BLOCK, //
};

/// Bytes in a page, the unit in which the bitmap is read and written.
pub const PAGE_BYTES: usize = 4096;
/// Words in a page.
const WORDS_PER_PAGE: usize = 512;
/// Bits in a page: it stands for 128 MiB of the device.
pub const BITS_PER_PAGE: u64 = 32768;
/// Extents of the activity log that one page stands for.
pub const AL_EXTENTS_PER_PAGE: u32 = 32;
/// Bits in an extent of the activity log.
pub const BITS_PER_AL_EXTENT: u64 = 1024;

/// The words lent are too few for the number of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageTooSmall;

/// Words outside the bitmap, or a number of bytes that is not a whole number of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange;

/// Neighbouring bits that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whether they are set.
    pub set: bool,
    /// How many they are, at least 1.
    pub length: u64,
}

/// The storage that a bitmap stands on, as it is lent and given back.
#[derive(Debug)]
pub struct Storage<'m> {
    /// One bit for each block.
    pub words: &'m mut [u64],
    /// One bit for each page of `words`.
    pub dirty: &'m mut [u64],
}

/// How many bits a device of `sectors` needs (`BM_SECT_TO_BIT` of the size rounded up).
pub fn bits_for_sectors(sectors: u64) -> u64 {
    sectors.div_ceil(SECTORS_PER_BLOCK)
}

/// The lengths of [`Storage::words`] and [`Storage::dirty`] that `bits` need.
pub fn storage_needed(bits: u64) -> (usize, usize) {
    (
        u64_to_usize(bits.div_ceil(64)),
        u64_to_usize(pages_for_bits(bits).div_ceil(64)),
    )
}

/// How many pages `bits` fill.
pub fn pages_for_bits(bits: u64) -> u64 {
    bits.div_ceil(BITS_PER_PAGE)
}

/// The page in which the bits of an extent of the activity log lie.
pub fn page_of_al_extent(extent: u32) -> u64 {
    u64::from(extent.wrapping_div(AL_EXTENTS_PER_PAGE))
}

/// The bitmap of one peer on one device.
///
/// # Invariants
///
/// * `words` and `dirty` are at least as long as [`storage_needed`] says for `bits`.
/// * Bits at and above `bits` are zero.
/// * `weight` is the number of bits set.
#[derive(Debug)]
pub struct Bitmap<'m> {
    words: &'m mut [u64],
    dirty: &'m mut [u64],
    bits: u64,
    weight: u64,
}

impl<'m> Bitmap<'m> {
    /// A bitmap of `bits`, all clear, all pages clean. The storage may be longer than needed.
    pub fn new(storage: Storage<'m>, bits: u64) -> Result<Self, StorageTooSmall> {
        let (words, dirty) = checked(storage, bits)?;
        words.fill(0);
        dirty.fill(0);
        Ok(Self {
            words,
            dirty,
            bits,
            weight: 0,
        })
    }

    /// A bitmap without a bit: for a device that has no disk.
    pub fn empty() -> Self {
        Self {
            words: &mut [],
            dirty: &mut [],
            bits: 0,
            weight: 0,
        }
    }

    /// The number of bits.
    pub fn bits(&self) -> u64 {
        self.bits
    }

    /// The number of 64-bit words, which is what the plain transfer on the wire counts in.
    pub fn word_count(&self) -> u64 {
        self.bits.div_ceil(64)
    }

    fn used_words(&mut self) -> &mut [u64] {
        let count = u64_to_usize(self.word_count());
        self.words.get_mut(..count).unwrap_or(&mut [])
    }

    /// The number of 4 KiB pages.
    pub fn pages(&self) -> u64 {
        pages_for_bits(self.bits)
    }

    /// The number of bits set.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Whether `bit` is set; one past the end is not.
    pub fn test(&self, bit: u64) -> bool {
        let word = self.words.get(word_of(bit)).copied().unwrap_or(0);
        word.wrapping_shr(bit_in_word(bit)) & 1 == 1
    }

    /// Sets `first` to `last`, both included, as far as the bitmap goes. Returns how many were clear before.
    pub fn set_range(&mut self, first: u64, last: u64) -> u64 {
        self.change(first, last, true)
    }

    /// Clears `first` to `last`, both included, as far as the bitmap goes. Returns how many were set before.
    pub fn clear_range(&mut self, first: u64, last: u64) -> u64 {
        self.change(first, last, false)
    }

    /// Sets all bits and marks all pages dirty.
    pub fn set_all(&mut self) {
        let bits = self.bits;
        let words = self.used_words();
        words.fill(u64::MAX);
        if let Some(word) = words.last_mut() {
            *word = tail_mask(bits);
        }
        self.weight = bits;
        self.mark_all_dirty();
    }

    /// Clears all bits and marks all pages dirty.
    pub fn clear_all(&mut self) {
        self.words.fill(0);
        self.weight = 0;
        self.mark_all_dirty();
    }

    /// How many of the bits `first` to `last`, both included, are set.
    pub fn count_range(&self, first: u64, last: u64) -> u64 {
        let Some(span) = Span::new(first, last, self.bits) else {
            return 0;
        };
        let words = self.words.get(span.words()).unwrap_or(&[]);
        let (mut index, mut count) = (0usize, 0u64);
        for word in words {
            count = count.saturating_add(u64::from((word & span.mask(index)).count_ones()));
            index = index.saturating_add(1);
        }
        count
    }

    /// The first bit at or after `from` that is set.
    pub fn find_next_set(&self, from: u64) -> Option<u64> {
        self.find(from, self.bits, true)
    }

    /// The first bit at or after `from`, and before `end`, that is set: a search of bounded length.
    pub fn find_next_set_before(&self, from: u64, end: u64) -> Option<u64> {
        self.find(from, end, true)
    }

    /// The first bit at or after `from` that is clear.
    pub fn find_next_clear(&self, from: u64) -> Option<u64> {
        self.find(from, self.bits, false)
    }

    /// The run of like bits that begins at `from`; `None` at the end. What the run-length code is made of.
    pub fn next_run(&self, from: u64) -> Option<Run> {
        if from >= self.bits {
            return None;
        }
        let set = self.test(from);
        let end = self.find(from, self.bits, !set).unwrap_or(self.bits);
        Some(Run {
            set,
            length: end.saturating_sub(from),
        })
    }

    /// Changes the number of bits, and moves to other storage, which may be shorter than the present one.
    ///
    /// Bits that are new are set if `set_new`. Pages stay dirty as they were; those in which a bit was added or cut off
    /// become so. Gives back the storage that is no longer used.
    pub fn resize(
        &mut self,
        storage: Storage<'m>,
        bits: u64,
        set_new: bool,
    ) -> Result<Storage<'m>, StorageTooSmall> {
        let (words, dirty) = checked(storage, bits)?;
        words.fill(0);
        dirty.fill(0);
        for (new, old) in words.iter_mut().zip(self.words.iter()) {
            *new = *old;
        }
        for (new, old) in dirty.iter_mut().zip(self.dirty.iter()) {
            *new = *old;
        }
        let old = Storage {
            words: core::mem::replace(&mut self.words, words),
            dirty: core::mem::replace(&mut self.dirty, dirty),
        };
        self.change_bits(bits, set_new);
        Ok(old)
    }

    /// Changes the number of bits in the storage that there is; else as [`resize`](Self::resize).
    pub fn resize_in_place(&mut self, bits: u64, set_new: bool) -> Result<(), StorageTooSmall> {
        let (words_needed, dirty_needed) = storage_needed(bits);
        if self.words.len() < words_needed || self.dirty.len() < dirty_needed {
            return Err(StorageTooSmall);
        }
        self.change_bits(bits, set_new);
        Ok(())
    }

    fn change_bits(&mut self, bits: u64, set_new: bool) {
        let old_bits = self.bits;
        if bits < old_bits {
            if let Some(last) = old_bits.checked_sub(1) {
                self.clear_range(bits, last);
            }
            self.mark_page(bits.wrapping_div(BITS_PER_PAGE), true);
            self.bits = bits;
        } else if bits > old_bits {
            self.bits = bits;
            // Clear bits that are new differ from what lies on the disk there, which is unknown.
            let pages = old_bits.wrapping_div(BITS_PER_PAGE)..self.pages();
            pages.for_each(|page| self.mark_page(page, true));
            if set_new {
                self.set_range(old_bits, bits.saturating_sub(1));
            }
        }
    }

    /// Ends the bitmap and gives back its storage.
    pub fn into_storage(self) -> Storage<'m> {
        Storage {
            words: self.words,
            dirty: self.dirty,
        }
    }

    /// Writes page `page` as it lies on the disk; past the end there are zeroes.
    ///
    /// Call [`Bitmap::mark_clean`] in the same critical section: what changes afterwards belongs to the next write.
    pub fn page_bytes(&self, page: u64, target: &mut [u8; PAGE_BYTES]) {
        target.fill(0);
        let used = u64_to_usize(self.word_count());
        let words = self
            .words
            .get(first_word_of_page(page)..used)
            .unwrap_or(&[]);
        for (bytes, word) in target.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
    }

    /// Takes over page `page` as it was read from the disk, and marks it clean. Bits past the end are dropped.
    ///
    /// A page that is outside the bitmap is ignored; so is what `source` lacks or has too much.
    pub fn load_page(&mut self, page: u64, source: &[u8]) {
        let used = u64_to_usize(self.word_count());
        let words = self
            .words
            .get_mut(first_word_of_page(page)..used)
            .unwrap_or(&mut []);
        let words = words.iter_mut().take(WORDS_PER_PAGE);
        for (word, bytes) in words.zip(source.chunks_exact(8)) {
            let new = word_from_le(bytes);
            self.weight = self
                .weight
                .saturating_sub(u64::from(word.count_ones()))
                .saturating_add(u64::from(new.count_ones()));
            *word = new;
        }
        self.trim();
        self.mark_page(page, false);
    }

    /// Whether page `page` has changed since it was last written.
    pub fn is_dirty(&self, page: u64) -> bool {
        let word = self.dirty.get(word_of(page)).copied().unwrap_or(0);
        word.wrapping_shr(bit_in_word(page)) & 1 == 1
    }

    /// Page `page` is on its way to the disk, as [`Bitmap::page_bytes`] gave it.
    pub fn mark_clean(&mut self, page: u64) {
        self.mark_page(page, false);
    }

    /// Page `page` has to be written, for instance because a write of it failed.
    pub fn mark_dirty(&mut self, page: u64) {
        self.mark_page(page, true);
    }

    /// The whole bitmap has to be written.
    pub fn mark_all_dirty(&mut self) {
        self.dirty.fill(u64::MAX);
        if let Some(word) = self.dirty.last_mut() {
            *word = tail_mask(pages_for_bits(self.bits));
        }
    }

    /// The first page at or after `from` that has to be written.
    pub fn next_dirty(&self, from: u64) -> Option<u64> {
        find_in(self.dirty, from, self.pages(), true)
    }

    /// Writes words as the wire carries them, from word `offset` on, as many as there are and as `target` holds.
    /// Returns how many words were written.
    pub fn copy_words(&self, offset: u64, target: &mut [u8]) -> usize {
        let used = u64_to_usize(self.word_count());
        let words = self.words.get(u64_to_usize(offset)..used).unwrap_or(&[]);
        let mut copied: usize = 0;
        for (bytes, word) in target.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
            copied = copied.saturating_add(1);
        }
        copied
    }

    /// Adds the peer's words, from word `offset` on: a bit is set afterwards where either side had it set.
    ///
    /// Returns how many bits were clear before. Changes nothing where the words do not lie in the bitmap.
    pub fn merge_words(&mut self, offset: u64, source: &[u8]) -> Result<u64, OutOfRange> {
        let count = usize_to_u64(source.len()).wrapping_shr(3);
        let end = offset.checked_add(count).ok_or(OutOfRange)?;
        if end > self.word_count() || source.len() & 7 != 0 {
            return Err(OutOfRange);
        }
        let before = self.weight;
        let mut bit = offset.wrapping_shl(6);
        for bytes in source.chunks_exact(8) {
            self.change_word(bit, word_from_le(bytes), true);
            bit = bit.saturating_add(64);
        }
        Ok(self.weight.saturating_sub(before))
    }

    /// Changes bits of the word that begins at `bit`: those that are set in `mask` and inside the bitmap.
    fn change_word(&mut self, bit: u64, mask: u64, set: bool) {
        let last = word_of(bit).checked_add(1) == Some(u64_to_usize(self.word_count()));
        let mask = if last {
            mask & tail_mask(self.bits)
        } else {
            mask
        };
        let Some(word) = self.used_words().get_mut(word_of(bit)) else {
            return;
        };
        let old = *word;
        *word = if set { old | mask } else { old & !mask };
        let changed = u64::from((old ^ *word).count_ones());
        if changed != 0 {
            self.weight = if set {
                self.weight.saturating_add(changed)
            } else {
                self.weight.saturating_sub(changed)
            };
            self.mark_page(bit.wrapping_div(BITS_PER_PAGE), true);
        }
    }

    fn change(&mut self, first: u64, last: u64, set: bool) -> u64 {
        let Some(span) = Span::new(first, last, self.bits) else {
            return 0;
        };
        let before = self.weight;
        for (index, word) in span.words().enumerate() {
            self.change_word(usize_to_u64(word).wrapping_shl(6), span.mask(index), set);
        }
        self.weight.abs_diff(before)
    }

    fn find(&self, from: u64, end: u64, set: bool) -> Option<u64> {
        find_in(self.words, from, end.min(self.bits), set)
    }

    fn mark_page(&mut self, page: u64, dirty: bool) {
        if page >= self.pages() {
            return;
        }
        if let Some(word) = self.dirty.get_mut(word_of(page)) {
            let mask = 1u64.wrapping_shl(bit_in_word(page));
            *word = if dirty { *word | mask } else { *word & !mask };
        }
    }

    /// Drops bits past the end.
    fn trim(&mut self) {
        let mask = tail_mask(self.bits);
        if let Some(word) = self.used_words().last_mut() {
            let surplus = *word & !mask;
            *word ^= surplus;
            self.weight = self.weight.saturating_sub(u64::from(surplus.count_ones()));
        }
    }
}

/// The words that a range of bits touches.
struct Span {
    first: u64,
    last: u64,
}

impl Span {
    /// `first` to `last`, cut at `bits`; `None` if nothing is left.
    fn new(first: u64, last: u64, bits: u64) -> Option<Self> {
        let last = last.min(bits.checked_sub(1)?);
        (first <= last).then_some(Self { first, last })
    }

    fn words(&self) -> core::ops::Range<usize> {
        word_of(self.first)..word_of(self.last).saturating_add(1)
    }

    /// The bits of the range in the word that is the `index`th of it.
    fn mask(&self, index: usize) -> u64 {
        let mut mask = u64::MAX;
        if index == 0 {
            mask &= u64::MAX.wrapping_shl(bit_in_word(self.first));
        }
        if word_of(self.first).saturating_add(index) == word_of(self.last) {
            mask &= u64::MAX.wrapping_shr(63 ^ bit_in_word(self.last));
        }
        mask
    }
}

/// The first bit at or after `from`, and before `end`, that is set, or clear.
fn find_in(words: &[u64], from: u64, end: u64, set: bool) -> Option<u64> {
    let span = Span::new(from, u64::MAX, end)?;
    let flip = if set { 0 } else { u64::MAX };
    let found = words
        .get(span.words())
        .unwrap_or(&[])
        .iter()
        .enumerate()
        .find_map(|(index, word)| {
            let hits = (word ^ flip) & span.mask(index);
            let word = usize_to_u64(word_of(from).saturating_add(index));
            (hits != 0).then(|| word.wrapping_shl(6) | u64::from(hits.trailing_zeros()))
        });
    found
}

/// Cuts storage to the length that `bits` need.
fn checked(storage: Storage<'_>, bits: u64) -> Result<(&mut [u64], &mut [u64]), StorageTooSmall> {
    let (words_needed, dirty_needed) = storage_needed(bits);
    if storage.words.len() < words_needed || storage.dirty.len() < dirty_needed {
        return Err(StorageTooSmall);
    }
    Ok((storage.words, storage.dirty))
}

fn word_of(bit: u64) -> usize {
    u64_to_usize(bit.wrapping_shr(6))
}

fn bit_in_word(bit: u64) -> u32 {
    u32::try_from(bit & 63).unwrap_or(0)
}

fn first_word_of_page(page: u64) -> usize {
    u64_to_usize(page.saturating_mul(usize_to_u64(WORDS_PER_PAGE)))
}

/// The bits of the last word that exist, where there are `bits` in all.
fn tail_mask(bits: u64) -> u64 {
    u64::MAX.wrapping_shr(bit_in_word(bits.wrapping_neg()))
}

fn word_from_le(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
