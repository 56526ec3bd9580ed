// SPDX-License-Identifier: GPL-2.0-only

//! Where superblock, activity log and bitmap lie.
//!
//! ```text
//! internal:  [data ...][bitmap][activity log][superblock][up to 7 sectors unused]
//! external:  [superblock][activity log][bitmap]
//! ```
//!
//! Offsets to activity log and bitmap are signed sectors from the superblock, so that they are negative in internal
//! metadata.

use core::{
    fmt,
    num::NonZeroU32, //
};

/// Sectors of the superblock, and of every other block in the metadata area.
pub const BLOCK_SECTORS: u32 = 8;
/// Sectors of a slot of indexed metadata: 128 MiB (`MD_128MB_SECT`).
pub const FIXED_SLOT_SECTORS: u32 = 1 << 18;
/// The most sectors of a device with indexed metadata, where the bitmap is all of a slot that superblock and activity
/// log leave (`DRBD_MAX_SECTORS_FIXED_BM`).
pub const MAX_SECTORS_FIXED: u64 = (1 << 33) - 72 * 32768;
/// The most sectors of a device with any other metadata: what extents of 32-bit number can count, 16 PiB.
///
/// `DRBD_MAX_SECTORS_FLEX` is 64 times that, but a device of that size would wrap extent numbers in the activity log.
pub const MAX_SECTORS_FLEX: u64 = 0xffff_ffff << 13;
/// Device sectors that one sector of the bitmap stands for, as a shift: 16 MiB.
const SECTORS_PER_BITMAP_SECTOR_SHIFT: u32 = 15;
/// The fewest blocks of an activity log: 32 KiB.
const MIN_AL_BLOCKS: u64 = 8;
/// The most blocks of an activity log: 16 GiB.
const MAX_AL_BLOCKS: u64 = 16 * 1024 * 1024 / 4;
/// The fewest slots of an activity log (`DRBD_AL_EXTENTS_MIN`).
pub const MIN_AL_EXTENTS: u32 = 67;
/// The most slots of an activity log (`DRBD_AL_EXTENTS_MAX`).
pub const MAX_AL_EXTENTS: u32 = 0xfffe;
/// Slots whose content is repeated in each transaction (`AL_CONTEXT_PER_TRANSACTION`).
const CONTEXT_PER_TRANSACTION: u32 = 919;

/// Where an administrator wants metadata to lie (`meta_dev_idx`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaIndex {
    /// At the end of the backing device (`DRBD_MD_INDEX_INTERNAL`, -1).
    Internal,
    /// On a device of its own, all of it (`DRBD_MD_INDEX_FLEX_EXT`, -2).
    FlexExternal,
    /// Another name for [`MetaIndex::Internal`] (`DRBD_MD_INDEX_FLEX_INT`, -3).
    FlexInternal,
    /// In a slot of 128 MiB on a device that several share.
    Fixed(u32),
}

impl MetaIndex {
    /// Reads the number that netlink carries.
    pub fn from_raw(raw: i32) -> Option<Self> {
        match raw {
            -1 => Some(Self::Internal),
            -2 => Some(Self::FlexExternal),
            -3 => Some(Self::FlexInternal),
            _ => u32::try_from(raw).ok().map(Self::Fixed),
        }
    }

    /// The number that netlink carries.
    pub fn to_raw(self) -> i32 {
        match self {
            Self::Internal => -1,
            Self::FlexExternal => -2,
            Self::FlexInternal => -3,
            Self::Fixed(slot) => i32::try_from(slot).unwrap_or(i32::MAX),
        }
    }

    /// Whether metadata and data share a device.
    pub fn is_internal(self) -> bool {
        matches!(self, Self::Internal | Self::FlexInternal)
    }

    /// The fewest sectors of a metadata device, below which attach refuses (`ERR_MD_DISK_TOO_SMALL`).
    pub fn min_meta_device_sectors(self) -> u64 {
        match self {
            Self::Fixed(slot) => u64::from(slot)
                .saturating_add(1)
                .saturating_mul(u64::from(FIXED_SLOT_SECTORS)),
            _ => 2 << 10,
        }
    }

    /// The most sectors of a device with such metadata.
    pub fn max_sectors(self) -> u64 {
        match self {
            Self::Fixed(_) => MAX_SECTORS_FIXED,
            _ => MAX_SECTORS_FLEX,
        }
    }

    /// The sector of the superblock; `None` where the device is too small.
    fn superblock_sector(self, backing_sectors: u64) -> Option<u64> {
        match self {
            Self::Internal | Self::FlexInternal => {
                (backing_sectors & !7).checked_sub(u64::from(BLOCK_SECTORS))
            }
            Self::FlexExternal => Some(0),
            Self::Fixed(slot) => {
                Some(u64::from(slot).saturating_mul(u64::from(FIXED_SLOT_SECTORS)))
            }
        }
    }
}

/// How the ring of the activity log is spread over its area: consecutive transactions go to consecutive stripes.
///
/// # Invariants
///
/// There are 8 to 4194304 blocks in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlStripes {
    count: NonZeroU32,
    blocks_each: NonZeroU32,
}

/// The size of an activity log is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlSizeError {
    /// Less than 32 KiB (`ERR_MD_LAYOUT_TOO_SMALL`).
    TooSmall,
    /// More than 16 GiB (`ERR_MD_LAYOUT_TOO_BIG`).
    TooBig,
}

impl AlStripes {
    /// `count` stripes of `blocks_each` blocks of 4 KiB.
    pub fn new(count: u32, blocks_each: u32) -> Result<Self, AlSizeError> {
        let blocks = u64::from(count).saturating_mul(u64::from(blocks_each));
        if blocks > MAX_AL_BLOCKS {
            return Err(AlSizeError::TooBig);
        }
        match (NonZeroU32::new(count), NonZeroU32::new(blocks_each)) {
            // INVARIANT: both bounds are checked.
            (Some(count), Some(blocks_each)) if blocks >= MIN_AL_BLOCKS => {
                Ok(Self { count, blocks_each })
            }
            _ => Err(AlSizeError::TooSmall),
        }
    }

    /// One stripe of 32 KiB, the size that was fixed once and is still the default.
    pub fn standard() -> Self {
        const EIGHT: NonZeroU32 = NonZeroU32::MIN.saturating_add(7);
        Self {
            count: NonZeroU32::MIN,
            blocks_each: EIGHT,
        }
    }

    /// The number of stripes.
    pub fn count(self) -> u32 {
        self.count.get()
    }

    /// The number of 4 KiB blocks in each stripe.
    pub fn blocks_each(self) -> u32 {
        self.blocks_each.get()
    }

    /// The number of blocks in all: so many transactions are in the ring.
    pub fn blocks(self) -> u32 {
        self.count.get().saturating_mul(self.blocks_each.get())
    }

    /// The number of sectors in all.
    pub fn sectors(self) -> u32 {
        self.blocks().saturating_mul(BLOCK_SECTORS)
    }

    /// The place in the ring of transaction `tr_number`.
    pub fn position(self, tr_number: u32) -> u32 {
        tr_number.checked_rem(self.blocks()).unwrap_or(0)
    }

    /// The number of the transaction after `tr_number`, which lies in the next place of the ring.
    ///
    /// Numbers wrap where a lap ends, so that the places stay in order: where the ring is no power of two blocks, the
    /// last few numbers are left out. Readers compare numbers with wrapping, and take no offence.
    pub fn next_number(self, tr_number: u32) -> u32 {
        let blocks = u64::from(self.blocks());
        let laps = (1u64 << 32).checked_div(blocks).unwrap_or(0);
        let next = u64::from(tr_number).saturating_add(1);
        if next < laps.saturating_mul(blocks) {
            u32::try_from(next).unwrap_or(0)
        } else {
            0
        }
    }

    /// The block of the area in which place `position` of the ring lies.
    pub fn block(self, position: u32) -> u32 {
        let stripe = (position % self.count).saturating_mul(self.blocks_each.get());
        stripe.saturating_add(position / self.count)
    }

    /// The most slots that an activity log of this size may have.
    ///
    /// Every slot must be in the context of one of the transactions in the ring, of which the newest may be torn.
    pub fn max_extents(self) -> u32 {
        let safe = self
            .blocks()
            .saturating_sub(1)
            .saturating_mul(CONTEXT_PER_TRANSACTION);
        safe.min(MAX_AL_EXTENTS)
    }
}

/// Why metadata has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The device ends before its metadata does (`ERR_MD_DISK_TOO_SMALL`).
    TooSmall,
    /// The bitmap is larger than the offsets in the superblock can say.
    TooLarge,
    /// Indexed metadata has room for an activity log of the standard size only (`ERR_MD_LAYOUT_NO_FIT`).
    FixedStripes,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooSmall => "the device is too small for its meta data",
            Self::TooLarge => "the device is too large for this meta data format",
            Self::FixedStripes => "indexed meta data cannot have another activity log size",
        })
    }
}

/// A run of whole sectors on the metadata device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first sector.
    pub sector: u64,
    /// How many sectors.
    pub sectors: u32,
}

/// Where the parts of one device's metadata lie. Sectors count from the start of the metadata device.
///
/// # Invariants
///
/// All parts lie on the device: `superblock` plus an offset does not overflow, and bitmap and activity log end before
/// what follows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    index: MetaIndex,
    superblock: u64,
    al_offset: i32,
    bm_offset: i32,
    md_size_sectors: u32,
    stripes: AlStripes,
}

/// The numbers of a superblock that say where things lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// From the superblock to the activity log, in sectors.
    pub al_offset: i32,
    /// From the superblock to the bitmap, in sectors.
    pub bm_offset: i32,
    /// Sectors of the whole area.
    pub md_size_sectors: u32,
}

impl Layout {
    /// Lays out metadata of a device of `backing_sectors` on a device of `meta_sectors`, which is the same where
    /// metadata is internal (`drbd_md_set_sector_offsets`).
    pub fn new(
        backing_sectors: u64,
        meta_sectors: u64,
        index: MetaIndex,
        stripes: AlStripes,
    ) -> Result<Self, LayoutError> {
        let al_sectors = stripes.sectors();
        let after_al = al_sectors.saturating_add(BLOCK_SECTORS);
        let bm_offset = i32::try_from(after_al).map_err(|_| LayoutError::TooLarge)?;
        let block = i32::try_from(BLOCK_SECTORS).map_err(|_| LayoutError::TooLarge)?;
        let offsets = match index {
            MetaIndex::Internal | MetaIndex::FlexInternal => {
                internal_offsets(backing_sectors, stripes)?
            }
            MetaIndex::FlexExternal => Offsets {
                al_offset: block,
                bm_offset,
                md_size_sectors: u32::try_from(meta_sectors).unwrap_or(!7),
            },
            MetaIndex::Fixed(_) if stripes != AlStripes::standard() => {
                return Err(LayoutError::FixedStripes);
            }
            MetaIndex::Fixed(_) => Offsets {
                al_offset: block,
                bm_offset,
                md_size_sectors: FIXED_SLOT_SECTORS,
            },
        };
        Self::at(backing_sectors, meta_sectors, index, stripes, offsets)
            .ok_or(LayoutError::TooSmall)
    }

    /// The layout that a superblock tells, if it makes sense: the refusals are those of 8.4.
    pub fn from_offsets(
        backing_sectors: u64,
        meta_sectors: u64,
        index: MetaIndex,
        stripes: AlStripes,
        offsets: Offsets,
    ) -> Option<Self> {
        let Offsets {
            al_offset,
            bm_offset,
            md_size_sectors,
        } = offsets;
        let al_sectors = i32::try_from(stripes.sectors()).ok()?;
        let block = i32::try_from(BLOCK_SECTORS).ok()?;
        let (is_exact, first) = if al_offset < 0 {
            let fits = bm_offset <= al_offset && al_offset.checked_neg() == Some(al_sectors);
            (fits && index.is_internal(), bm_offset)
        } else {
            let fits = al_offset == block && bm_offset.checked_sub(block) == Some(al_sectors);
            (fits && !index.is_internal(), 0)
        };
        let is_fixed = matches!(index, MetaIndex::Fixed(_));
        if !is_exact
            || bm_offset & 7 != 0
            || is_fixed
                && (md_size_sectors != FIXED_SLOT_SECTORS || stripes != AlStripes::standard())
        {
            return None;
        }
        let layout = Self::at(backing_sectors, meta_sectors, index, stripes, offsets)?;
        let first = layout.superblock.checked_add_signed(i64::from(first))?;
        let end = first.checked_add(u64::from(md_size_sectors))?;
        (end <= meta_sectors).then_some(layout)
    }

    /// Puts things to their places, if all are on the device.
    fn at(
        backing_sectors: u64,
        meta_sectors: u64,
        index: MetaIndex,
        stripes: AlStripes,
        offsets: Offsets,
    ) -> Option<Self> {
        let layout = Self {
            index,
            superblock: index.superblock_sector(backing_sectors)?,
            al_offset: offsets.al_offset,
            bm_offset: offsets.bm_offset,
            md_size_sectors: offsets.md_size_sectors,
            stripes,
        };
        let from_superblock = |offset: i32| layout.superblock.checked_add_signed(i64::from(offset));
        let al_end =
            from_superblock(offsets.al_offset)?.checked_add(u64::from(stripes.sectors()))?;
        let bitmap = from_superblock(offsets.bm_offset)?;
        let size = u64::from(offsets.md_size_sectors);
        let (al_limit, end) = if index.is_internal() {
            (
                layout.superblock,
                layout.superblock.checked_add(u64::from(BLOCK_SECTORS))?,
            )
        } else {
            (bitmap, layout.superblock.checked_add(size)?)
        };
        // INVARIANT: checked here.
        (al_end <= al_limit && bitmap < end && end <= meta_sectors).then_some(layout)
    }

    /// What the administrator chose.
    pub fn index(&self) -> MetaIndex {
        self.index
    }

    /// How the activity log is striped.
    pub fn stripes(&self) -> AlStripes {
        self.stripes
    }

    /// The numbers for the superblock.
    pub fn offsets(&self) -> Offsets {
        Offsets {
            al_offset: self.al_offset,
            bm_offset: self.bm_offset,
            md_size_sectors: self.md_size_sectors,
        }
    }

    /// The sector of the superblock, which is 4 KiB long.
    pub fn superblock_sector(&self) -> u64 {
        self.superblock
    }

    /// The first sector of the activity log.
    pub fn al_sector(&self) -> u64 {
        self.superblock
            .saturating_add_signed(i64::from(self.al_offset))
    }

    /// The first sector of the bitmap.
    pub fn bitmap_sector(&self) -> u64 {
        self.superblock
            .saturating_add_signed(i64::from(self.bm_offset))
    }

    /// The first sector of the metadata area; where metadata is internal, the data ends here.
    pub fn first_sector(&self) -> u64 {
        if self.index.is_internal() {
            self.bitmap_sector()
        } else {
            self.superblock
        }
    }

    /// The last sector of the metadata area.
    pub fn last_sector(&self) -> u64 {
        self.end().saturating_sub(1)
    }

    /// How many sectors the bitmap has.
    pub fn bitmap_sectors(&self) -> u64 {
        self.bitmap_end().saturating_sub(self.bitmap_sector())
    }

    /// How many bits the bitmap on disk has room for.
    pub fn bitmap_bits(&self) -> u64 {
        self.bitmap_sectors().saturating_mul(512 * 8)
    }

    /// The block for transaction `tr_number` of the activity log.
    pub fn transaction(&self, tr_number: u32) -> Place {
        let block = self.stripes.block(self.stripes.position(tr_number));
        let offset = u64::from(block).saturating_mul(u64::from(BLOCK_SECTORS));
        Place {
            sector: self.al_sector().saturating_add(offset),
            sectors: BLOCK_SECTORS,
        }
    }

    /// Where page `page` of the bitmap lies; the last one may be shorter than 4 KiB. `None` past the end.
    pub fn bitmap_page(&self, page: u64) -> Option<Place> {
        let offset = page.checked_mul(u64::from(BLOCK_SECTORS))?;
        let sector = self.bitmap_sector().checked_add(offset)?;
        let left = self.bitmap_end().checked_sub(sector)?;
        let sectors = u32::try_from(left)
            .unwrap_or(BLOCK_SECTORS)
            .min(BLOCK_SECTORS);
        (sectors != 0).then_some(Place { sector, sectors })
    }

    /// The most sectors that the device may have: what we tell the peer (`drbd_get_max_capacity`).
    ///
    /// `backing_sectors` is the present size of the backing device.
    pub fn max_capacity(&self, backing_sectors: u64) -> u64 {
        let room = match self.index {
            MetaIndex::Internal | MetaIndex::FlexInternal => self.first_sector(),
            MetaIndex::FlexExternal => self
                .bitmap_sectors()
                .saturating_mul(1u64.wrapping_shl(SECTORS_PER_BITMAP_SECTOR_SHIFT)),
            MetaIndex::Fixed(_) => MAX_SECTORS_FIXED,
        };
        room.min(self.index.max_sectors()).min(backing_sectors)
    }

    fn end(&self) -> u64 {
        let sectors = if self.index.is_internal() {
            BLOCK_SECTORS
        } else {
            self.md_size_sectors
        };
        self.superblock.saturating_add(u64::from(sectors))
    }

    fn bitmap_end(&self) -> u64 {
        if self.index.is_internal() {
            self.al_sector()
        } else {
            self.end()
        }
    }
}

/// Metadata at the end of a device of `backing_sectors`, with a bitmap for all of it.
fn internal_offsets(backing_sectors: u64, stripes: AlStripes) -> Result<Offsets, LayoutError> {
    let sectors_per_block = 8u64.wrapping_shl(SECTORS_PER_BITMAP_SECTOR_SHIFT);
    let bitmap = backing_sectors
        .div_ceil(sectors_per_block)
        .saturating_mul(8);
    let below = bitmap.saturating_add(u64::from(stripes.sectors()));
    let size = below.saturating_add(u64::from(BLOCK_SECTORS));
    let negative = |sectors: u64| {
        i32::try_from(sectors)
            .map(i32::wrapping_neg)
            .map_err(|_| LayoutError::TooLarge)
    };
    Ok(Offsets {
        al_offset: negative(u64::from(stripes.sectors()))?,
        bm_offset: negative(below)?,
        md_size_sectors: u32::try_from(size).map_err(|_| LayoutError::TooLarge)?,
    })
}

#[cfg(test)]
mod tests;
