// SPDX-License-Identifier: GPL-2.0-only

//! The superblock, `struct meta_data_on_disk` of the C driver.

use core::fmt;

use super::layout::{
    AlStripes,
    Layout,
    MetaIndex,
    Offsets, //
};
use crate::{
    bytes::{
        Reader,
        Truncated,
        Writer, //
    },
    num::BLOCK_SIZE, //
};

/// Bytes of a superblock.
pub const SUPERBLOCK_BYTES: usize = 4096;

/// Metadata of 0.7.
const MAGIC_07: u32 = 0x8374_026a;
/// Metadata of 8.x, closed by `drbdmeta`.
const MAGIC_08: u32 = 0x8374_026b;
/// Metadata of 8.4 that a kernel has written.
const MAGIC_84_UNCLEAN: u32 = 0x8374_026c;
/// Metadata of 9.x.
const MAGIC_09: u32 = 0x8374_026d;
/// The least that a peer takes in one request (`DRBD_MAX_BIO_SIZE_SAFE`).
const MIN_PEER_BIO_BYTES: u32 = 4096;

/// Flags that outlive a reboot (`enum mdf_flag`, `linux/drbd.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetaFlags(u32);

impl MetaFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The data is consistent: it is a state that the disk once had, not half of a resync.
    pub const CONSISTENT: Self = Self(1 << 0);
    /// This node was Primary.
    pub const PRIMARY_IND: Self = Self(1 << 1);
    /// The peer was connected.
    pub const CONNECTED_IND: Self = Self(1 << 2);
    /// All blocks count as different, whatever the bitmap on disk says.
    pub const FULL_SYNC: Self = Self(1 << 3);
    /// The data was UpToDate.
    pub const WAS_UP_TO_DATE: Self = Self(1 << 4);
    /// The peer's data is Outdated or worse.
    pub const PEER_OUT_DATED: Self = Self(1 << 5);
    /// This node crashed as Primary and has not been in sync since.
    pub const CRASHED_PRIMARY: Self = Self(1 << 6);
    /// The activity log has been applied to the bitmap.
    pub const AL_CLEAN: Self = Self(1 << 7);
    /// The activity log was not written (`al-updates no`): after a crash as Primary, nothing is known.
    pub const AL_DISABLED: Self = Self(1 << 8);

    /// The flags as they are on disk, unknown ones included.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The form on disk.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `flags` are set.
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These and `flags`.
    #[must_use]
    pub const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// These but not `flags`.
    #[must_use]
    pub const fn without(self, flags: Self) -> Self {
        Self(self.0 & !flags.0)
    }

    /// These, with `flags` set or cleared.
    #[must_use]
    pub const fn set(self, flags: Self, on: bool) -> Self {
        if on {
            self.with(flags)
        } else {
            self.without(flags)
        }
    }
}

/// Why attach refuses a superblock. The texts are those of 8.4, where 8.4 has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuperblockError {
    /// Fewer bytes than a superblock has.
    Truncated,
    /// The activity log may hold extents that the bitmap does not know of.
    Unclean,
    /// Metadata of 0.7.
    Format07,
    /// Metadata of 9.x.
    Format09,
    /// No metadata at all.
    NoMagic,
    /// A bit of the bitmap stands for something else than 4 KiB.
    BytesPerBit(u32),
    /// An impossible size of the activity log.
    Stripes {
        /// As on disk.
        al_stripes: u32,
        /// As on disk, in blocks of 4 KiB.
        al_stripe_size_4k: u32,
    },
    /// Parts that overlap, leave the device, or do not fit the kind of metadata.
    Offsets {
        /// The kind of metadata that the administrator chose.
        index: MetaIndex,
        /// How the activity log is striped.
        stripes: AlStripes,
        /// As on disk.
        offsets: Offsets,
        /// As on disk, in sectors.
        effective_size: u64,
        /// Sectors of the metadata device.
        meta_sectors: u64,
    },
}

impl SuperblockError {
    /// The answer to the administrator: `ERR_MD_UNCLEAN` or `ERR_MD_INVALID` (`enum drbd_ret_code`).
    pub fn return_code(&self) -> u32 {
        match self {
            Self::Unclean => 165,
            _ => 119,
        }
    }
}

impl From<Truncated> for SuperblockError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

impl fmt::Display for SuperblockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("meta data super block is too short"),
            Self::Unclean => f.write_str("Found unclean meta data. Did you \"drbdadm apply-al\"?"),
            Self::Format07 => f.write_str("Found old (0.7) meta data magic. Did you \"drbdadm create-md\"?"),
            Self::Format09 => f.write_str(
                "Found meta data of DRBD 9, which this version cannot read. \
                 Go back to DRBD 9, or \"drbdadm create-md\" (which discards the bitmap)",
            ),
            Self::NoMagic => f.write_str("Meta data magic not found. Did you \"drbdadm create-md\"?"),
            Self::BytesPerBit(bytes) => {
                write!(f, "unexpected bm_bytes_per_bit: {bytes} (expected {BLOCK_SIZE})")
            }
            Self::Stripes {
                al_stripes,
                al_stripe_size_4k,
            } => write!(
                f,
                "invalid activity log striping: al_stripes={al_stripes}, al_stripe_size_4k={al_stripe_size_4k}"
            ),
            Self::Offsets {
                index,
                stripes,
                offsets,
                effective_size,
                meta_sectors,
            } => write!(
                f,
                "meta data offsets don't make sense: idx={} al_s={}, al_sz4k={}, al_offset={}, bm_offset={}, \
                 md_size_sect={}, la_size={effective_size}, md_capacity={meta_sectors}",
                index.to_raw(),
                stripes.count(),
                stripes.blocks_each(),
                offsets.al_offset,
                offsets.bm_offset,
                offsets.md_size_sectors,
            ),
        }
    }
}

/// The superblock of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The size that both nodes last agreed on, in sectors; 0 where there never was one (`la_size_sect`).
    pub effective_size: u64,
    /// Current, bitmap, and two history UUIDs of the data generations.
    pub uuids: [u64; 4],
    /// The identity of this metadata, made by `drbdmeta create-md`.
    pub device_uuid: u64,
    /// What outlives a reboot.
    pub flags: MetaFlags,
    /// Where the parts lie.
    pub offsets: Offsets,
    /// How the activity log is striped.
    pub stripes: AlStripes,
    /// Slots of the activity log.
    pub al_nr_extents: u32,
    /// The largest request that the peer took, in bytes; see [`Superblock::peer_max_bio_bytes`].
    pub la_peer_max_bio_size: u32,
}

impl Superblock {
    /// Reads a superblock that is fit to be attached: `drbdmeta` has applied its activity log and marked it clean.
    ///
    /// Offsets are taken as they are: [`Superblock::layout`] judges them.
    pub fn decode(bytes: &[u8]) -> Result<Self, SuperblockError> {
        // Asked first: an unclean superblock that is damaged as well must not lead to `create-md`.
        if is_clean(bytes)? {
            Self::fields(bytes)
        } else {
            Err(SuperblockError::Unclean)
        }
    }

    /// Reads a superblock, and whether its activity log has been applied.
    pub fn decode_any(bytes: &[u8]) -> Result<(Self, bool), SuperblockError> {
        let is_clean = is_clean(bytes)?;
        Ok((Self::fields(bytes)?, is_clean))
    }

    fn fields(bytes: &[u8]) -> Result<Self, SuperblockError> {
        let mut reader = Reader::new(
            bytes
                .get(..SUPERBLOCK_BYTES)
                .ok_or(SuperblockError::Truncated)?,
        );
        let effective_size = reader.u64()?;
        let uuids = [reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?];
        let device_uuid = reader.u64()?;
        let _reserved = reader.u64()?;
        let flags = MetaFlags::from_bits(reader.u32()?);
        let _magic = reader.u32()?;
        let md_size_sectors = reader.u32()?;
        let al_offset = reader.array().map(i32::from_be_bytes)?;
        let al_nr_extents = reader.u32()?;
        let bm_offset = reader.array().map(i32::from_be_bytes)?;
        let bytes_per_bit = reader.u32()?;
        if bytes_per_bit != BLOCK_SIZE {
            return Err(SuperblockError::BytesPerBit(bytes_per_bit));
        }
        let la_peer_max_bio_size = reader.u32()?;
        let stripes = stripes_from_disk(reader.u32()?, reader.u32()?)?;
        Ok(Self {
            effective_size,
            uuids,
            device_uuid,
            flags,
            offsets: Offsets {
                al_offset,
                bm_offset,
                md_size_sectors,
            },
            stripes,
            al_nr_extents,
            la_peer_max_bio_size,
        })
    }

    /// Where the parts lie, if what the superblock says about it makes sense.
    ///
    /// `backing_sectors` and `meta_sectors` are the present sizes of the two devices, the same number where metadata
    /// is internal.
    pub fn layout(
        &self,
        index: MetaIndex,
        backing_sectors: u64,
        meta_sectors: u64,
    ) -> Result<Layout, SuperblockError> {
        let layout = Layout::from_offsets(
            backing_sectors,
            meta_sectors,
            index,
            self.stripes,
            self.offsets,
        );
        layout
            .filter(|layout| bitmap_covers(layout, self.effective_size))
            .ok_or(SuperblockError::Offsets {
                index,
                stripes: self.stripes,
                offsets: self.offsets,
                effective_size: self.effective_size,
                meta_sectors,
            })
    }

    /// Takes over a new layout, to be written.
    pub fn set_layout(&mut self, layout: &Layout) {
        self.offsets = layout.offsets();
        self.stripes = layout.stripes();
    }

    /// The largest request that the peer is known to take, in bytes.
    pub fn peer_max_bio_bytes(&self) -> u32 {
        self.la_peer_max_bio_size.max(MIN_PEER_BIO_BYTES)
    }

    /// Writes the superblock as a kernel does: always unclean, so that the next attach needs `drbdmeta apply-al`.
    ///
    /// Reserved bytes become zero.
    pub fn encode(&self, target: &mut [u8; SUPERBLOCK_BYTES]) {
        self.encode_with(MAGIC_84_UNCLEAN, target);
    }

    /// Writes the superblock as `drbdmeta` leaves it once the activity log has been applied, which sets
    /// [`MetaFlags::AL_CLEAN`].
    pub fn encode_clean(&self, target: &mut [u8; SUPERBLOCK_BYTES]) {
        let clean = Self {
            flags: self.flags.with(MetaFlags::AL_CLEAN),
            ..*self
        };
        clean.encode_with(MAGIC_08, target);
    }

    fn encode_with(&self, magic: u32, target: &mut [u8; SUPERBLOCK_BYTES]) {
        target.fill(0);
        // The fields end long before the 4096 bytes do.
        let _ = self.write_fields(magic, &mut Writer::new(target));
    }

    fn write_fields(&self, magic: u32, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u64(self.effective_size)?;
        for uuid in self.uuids {
            writer.u64(uuid)?;
        }
        writer.u64(self.device_uuid)?;
        writer.u64(0)?;
        writer.u32(self.flags.bits())?;
        writer.u32(magic)?;
        writer.u32(self.offsets.md_size_sectors)?;
        writer.bytes(&self.offsets.al_offset.to_be_bytes())?;
        writer.u32(self.al_nr_extents)?;
        writer.bytes(&self.offsets.bm_offset.to_be_bytes())?;
        writer.u32(BLOCK_SIZE)?;
        writer.u32(self.la_peer_max_bio_size)?;
        writer.u32(self.stripes.count())?;
        writer.u32(self.stripes.blocks_each())
    }
}

/// Whether the activity log has been applied; refuses what is no superblock.
fn is_clean(bytes: &[u8]) -> Result<bool, SuperblockError> {
    const BYTES_BEFORE_FLAGS: usize = 56;
    let mut reader = Reader::new(bytes);
    reader.bytes(BYTES_BEFORE_FLAGS)?;
    let flags = MetaFlags::from_bits(reader.u32()?);
    match reader.u32()? {
        MAGIC_08 => Ok(flags.contains(MetaFlags::AL_CLEAN)),
        MAGIC_84_UNCLEAN => Ok(false),
        MAGIC_07 => Err(SuperblockError::Format07),
        MAGIC_09 => Err(SuperblockError::Format09),
        _ => Err(SuperblockError::NoMagic),
    }
}

/// The size of the activity log; both numbers are zero in superblocks that are older than striping.
fn stripes_from_disk(
    al_stripes: u32,
    al_stripe_size_4k: u32,
) -> Result<AlStripes, SuperblockError> {
    if al_stripes == 0 && al_stripe_size_4k == 0 {
        return Ok(AlStripes::standard());
    }
    AlStripes::new(al_stripes, al_stripe_size_4k).map_err(|_| SuperblockError::Stripes {
        al_stripes,
        al_stripe_size_4k,
    })
}

/// Whether the bitmap on disk has room for a device of `sectors`.
///
/// 8.4 rounds the need down to whole sectors of the bitmap. A block at the end would then have no bit that survives a
/// crash, so this rounds up; 8.4 and `drbdmeta` never agree on a size that only the other rounding takes.
fn bitmap_covers(layout: &Layout, sectors: u64) -> bool {
    sectors.div_ceil(8) <= layout.bitmap_bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    const SECTORS: u64 = 1 << 21;

    fn sample() -> Superblock {
        let layout =
            Layout::new(SECTORS, SECTORS, MetaIndex::Internal, AlStripes::standard()).unwrap();
        Superblock {
            effective_size: layout.max_capacity(SECTORS),
            uuids: [0x1111, 0x2222, 0x3333, 0x4444],
            device_uuid: 0x5555,
            flags: MetaFlags::CONSISTENT.with(MetaFlags::AL_CLEAN),
            offsets: layout.offsets(),
            stripes: layout.stripes(),
            al_nr_extents: 1237,
            la_peer_max_bio_size: 1 << 20,
        }
    }

    fn clean() -> [u8; SUPERBLOCK_BYTES] {
        let mut bytes = [0xee; SUPERBLOCK_BYTES];
        sample().encode_clean(&mut bytes);
        bytes
    }

    fn put(bytes: &mut [u8], at: usize, value: u32) {
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    #[test]
    fn bytes_lie_where_the_c_structure_has_them() {
        let bytes = clean();
        let at = |offset: usize| u32::from_be_bytes(bytes[offset..offset + 4].try_into().unwrap());
        assert_eq!(at(4), 2_097_016);
        assert_eq!(at(12), 0x1111);
        assert_eq!(at(44), 0x5555);
        assert_eq!(at(56), 0x81);
        assert_eq!(at(60), 0x8374_0267 + 4);
        assert_eq!(at(64), 136);
        assert_eq!(at(68), 64u32.wrapping_neg());
        assert_eq!(at(72), 1237);
        assert_eq!(at(76), 128u32.wrapping_neg());
        assert_eq!(at(80), 4096);
        assert_eq!(at(84), 1 << 20);
        assert_eq!((at(88), at(92)), (1, 8));
        assert!(bytes[96..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_a_kernel_writes_needs_apply_al() {
        let mut bytes = [0; SUPERBLOCK_BYTES];
        sample().encode(&mut bytes);
        let error = Superblock::decode(&bytes).unwrap_err();
        assert_eq!(error, SuperblockError::Unclean);
        assert_eq!(error.return_code(), 165);
        assert_eq!(
            error.to_string(),
            "Found unclean meta data. Did you \"drbdadm apply-al\"?"
        );
        assert_eq!(Superblock::decode_any(&bytes), Ok((sample(), false)));
        assert_eq!(Superblock::decode_any(&clean()), Ok((sample(), true)));
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let refused = |at: usize, value: u32| {
            let mut bytes = clean();
            put(&mut bytes, at, value);
            let error = Superblock::decode(&bytes).unwrap_err();
            assert_eq!(
                error.return_code(),
                if error == SuperblockError::Unclean {
                    165
                } else {
                    119
                }
            );
            error
        };
        assert_eq!(refused(56, 0), SuperblockError::Unclean);
        assert_eq!(refused(60, 0x8374_0267 + 3), SuperblockError::Format07);
        assert_eq!(refused(60, 0x8374_0267 + 6), SuperblockError::Format09);
        assert_eq!(refused(60, 0), SuperblockError::NoMagic);
        assert_eq!(refused(80, 512), SuperblockError::BytesPerBit(512));
        assert_eq!(
            refused(88, 0),
            SuperblockError::Stripes {
                al_stripes: 0,
                al_stripe_size_4k: 8,
            }
        );
        assert_eq!(
            Superblock::decode(&clean()[..4095]),
            Err(SuperblockError::Truncated)
        );
        assert_eq!(Superblock::decode(&[]), Err(SuperblockError::Truncated));
    }

    #[test]
    fn superblocks_older_than_striping() {
        let mut bytes = clean();
        put(&mut bytes, 88, 0);
        put(&mut bytes, 92, 0);
        assert_eq!(Superblock::decode(&bytes), Ok(sample()));
    }

    #[test]
    fn the_layout_is_judged() {
        let layout = sample()
            .layout(MetaIndex::Internal, SECTORS, SECTORS)
            .unwrap();
        assert_eq!(layout.offsets(), sample().offsets);
        assert!(sample()
            .layout(MetaIndex::FlexExternal, SECTORS, SECTORS)
            .is_err());
        let mut too_large = sample();
        too_large.effective_size = 64 << 15;
        assert!(too_large
            .layout(MetaIndex::Internal, SECTORS, SECTORS)
            .is_ok());
        too_large.effective_size = (64 << 15) + 1;
        assert!(too_large
            .layout(MetaIndex::Internal, SECTORS, SECTORS)
            .is_err());
        too_large.effective_size = 65 << 15;
        let error = too_large
            .layout(MetaIndex::Internal, SECTORS, SECTORS)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "meta data offsets don't make sense: idx=-1 al_s=1, al_sz4k=8, al_offset=-64, bm_offset=-128, \
             md_size_sect=136, la_size=2129920, md_capacity=2097152"
        );
    }

    #[test]
    fn flags_by_name() {
        let flags = MetaFlags::NONE
            .with(MetaFlags::FULL_SYNC)
            .set(MetaFlags::PRIMARY_IND, true);
        assert!(flags.contains(MetaFlags::PRIMARY_IND));
        assert_eq!(flags.without(MetaFlags::PRIMARY_IND).bits(), 8);
        assert_eq!(
            flags.set(MetaFlags::FULL_SYNC, false),
            MetaFlags::PRIMARY_IND
        );
    }

    proptest! {
        #[test]
        fn decoding_any_bytes_is_harmless(mut bytes in prop::collection::vec(any::<u8>(), 4096), with_magic: bool) {
            if with_magic {
                put(&mut bytes, 56, 0x80);
                put(&mut bytes, 60, MAGIC_08);
                put(&mut bytes, 80, 4096);
                put(&mut bytes, 88, 0);
                put(&mut bytes, 92, 0);
            }
            if let Ok(superblock) = Superblock::decode(&bytes) {
                let mut again = [0; SUPERBLOCK_BYTES];
                superblock.encode_clean(&mut again);
                prop_assert_eq!(Superblock::decode(&again), Ok(superblock));
                let _ = superblock.layout(MetaIndex::Internal, SECTORS, SECTORS);
            } else {
                prop_assert!(!with_magic);
            }
        }

        #[test]
        fn round_trip(
            effective_size: u64, uuids: [u64; 4], device_uuid: u64, flags: u32,
            al_offset: i32, bm_offset: i32, md_size_sectors: u32,
            stripes in 1u32..=1024, blocks in 8u32..=4096, al_nr_extents: u32, la_peer_max_bio_size: u32,
        ) {
            let superblock = Superblock {
                effective_size, uuids, device_uuid,
                flags: MetaFlags::from_bits(flags),
                offsets: Offsets { al_offset, bm_offset, md_size_sectors },
                stripes: AlStripes::new(stripes, blocks).unwrap(),
                al_nr_extents, la_peer_max_bio_size,
            };
            let mut bytes = [0xaa; SUPERBLOCK_BYTES];
            superblock.encode(&mut bytes);
            prop_assert_eq!(Superblock::decode_any(&bytes), Ok((superblock, false)));
        }
    }
}
