// SPDX-License-Identifier: GPL-2.0-only

//! Conversions that lose nothing, and the sizes that everything is counted in.

/// Bytes in a sector, the unit of every position and length in this crate.
pub const SECTOR_SIZE: u32 = 512;
/// Sectors in a block: what one bit of the bitmap stands for (`BM_SECT_PER_BIT`).
pub const SECTORS_PER_BLOCK: u64 = 8;
/// Bytes in a block (`BM_BLOCK_SIZE`).
pub const BLOCK_SIZE: u32 = 4096;
/// Sectors in an extent of the activity log, 4 MiB (`AL_EXTENT_SIZE`).
pub const SECTORS_PER_AL_EXTENT: u64 = 8192;

const _: () = assert!(
    usize::BITS == 64,
    "the engine is written for 64-bit machines"
);

/// A `usize` as `u64`: the same number on every machine that this crate builds for.
#[inline]
#[expect(clippy::as_conversions, reason = "usize has 64 bits, asserted above")]
pub const fn usize_to_u64(value: usize) -> u64 {
    value as u64
}

/// A `u32` as `usize`.
#[inline]
#[expect(clippy::as_conversions, reason = "usize has 64 bits, asserted above")]
pub const fn u32_to_usize(value: u32) -> usize {
    value as usize
}

/// A `u64` as `usize`.
#[inline]
#[expect(clippy::as_conversions, reason = "usize has 64 bits, asserted above")]
pub const fn u64_to_usize(value: u64) -> usize {
    value as usize
}

/// The whole sectors in `bytes`.
#[inline]
pub const fn bytes_to_sectors(bytes: u64) -> u64 {
    bytes >> 9
}
