// SPDX-License-Identifier: GPL-2.0-only

//! What `drbdmeta` does before a disk is attached: `create-md`, and `apply-al`.

use drbd_core::bitmap::{bits_for_sectors, Bitmap, Storage};
use drbd_core::meta::layout::{AlStripes, Layout, MetaIndex};
use drbd_core::meta::superblock::{MetaFlags, Superblock, SUPERBLOCK_BYTES};
use drbd_core::meta::transaction::{encode_initialized, replay, FREE_EXTENT, TRANSACTION_BYTES};
use drbd_core::uuid::Uuids;

use crate::disk::Disk;

/// Blocks that a page of the bitmap knows of.
const BITS_IN_PAGE: u64 = 32768;

/// Slots that an activity log has here, at most.
const SLOTS: usize = 2048;

fn layout_of(disk: &Disk) -> (MetaIndex, u64) {
    if disk.internal {
        (MetaIndex::FlexInternal, disk.device_sectors)
    } else {
        // Room for superblock, activity log, and a bitmap of the whole device.
        let bitmap = bits_for_sectors(disk.device_sectors).div_ceil(8 * 4096) * 8;
        (MetaIndex::FlexExternal, 8 + 64 + bitmap)
    }
}

/// `drbdmeta create-md`
pub fn create(disk: &mut Disk, device_uuid: u64) {
    let (index, meta_sectors) = layout_of(disk);
    let stripes = AlStripes::standard();
    let layout = Layout::new(disk.device_sectors, meta_sectors, index, stripes)
        .expect("the simulated device is large enough");
    let superblock = Superblock {
        effective_size: 0,
        uuids: Uuids::NEW_DISK.to_array(),
        device_uuid,
        flags: MetaFlags::NONE,
        offsets: layout.offsets(),
        stripes,
        al_nr_extents: 1237,
        la_peer_max_bio_size: 0,
    };
    disk.meta_first = layout.first_sector();
    let sectors = layout.last_sector() + 1 - layout.first_sector();
    disk.meta = vec![0; sectors as usize * 512];
    let mut block = [0; SUPERBLOCK_BYTES];
    superblock.encode_clean(&mut block);
    disk.write_meta(layout.superblock_sector(), &block);
    empty_log(disk, &layout);
    for page in 0.. {
        let Some(place) = layout.bitmap_page(page) else {
            break;
        };
        disk.write_meta(place.sector, &vec![0xff; place.sectors as usize * 512]);
    }
}

fn empty_log(disk: &mut Disk, layout: &Layout) {
    let mut block = [0; TRANSACTION_BYTES];
    encode_initialized(&mut block);
    for number in 0..layout.stripes().blocks() {
        let place = layout.transaction(number);
        disk.write_meta(place.sector, &block);
    }
}

/// What a slot of the activity log stands for: 4 MiB.
const BLOCKS_IN_EXTENT: u64 = 1024;

/// What an attach needs to know of a disk.
pub struct Found {
    pub superblock: Superblock,
    pub layout: Layout,
    pub max_capacity: u64,
}

/// Where the superblock lies is known without reading it.
fn superblock_sector(disk: &Disk) -> u64 {
    let (index, meta_sectors) = layout_of(disk);
    Layout::new(
        disk.device_sectors,
        meta_sectors,
        index,
        AlStripes::standard(),
    )
    .expect("it was large enough")
    .superblock_sector()
}

/// `drbdmeta apply-al`, where it is needed; then what is there. An error says what a crash must never leave behind.
pub fn open(disk: &mut Disk) -> Result<Found, String> {
    let (index, meta_sectors) = layout_of(disk);
    let at = superblock_sector(disk);
    let bytes = disk.read_meta(at, SUPERBLOCK_BYTES).to_vec();
    let (mut superblock, clean) =
        Superblock::decode_any(&bytes).map_err(|error| format!("superblock: {error:?}"))?;
    let layout = superblock
        .layout(index, disk.device_sectors, meta_sectors)
        .map_err(|error| format!("layout: {error:?}"))?;
    if !clean {
        apply_log(disk, &layout, &superblock)?;
        superblock.flags = superblock.flags.with(MetaFlags::AL_CLEAN);
        let mut block = [0; SUPERBLOCK_BYTES];
        superblock.encode_clean(&mut block);
        disk.write_meta(at, &block);
    }
    let bytes = disk.read_meta(at, SUPERBLOCK_BYTES);
    let superblock = Superblock::decode(bytes).map_err(|error| format!("attach: {error:?}"))?;
    Ok(Found {
        superblock,
        max_capacity: layout.max_capacity(disk.device_sectors),
        layout,
    })
}

/// What the metadata on a disk says at this moment.
pub struct Look {
    superblock: Superblock,
    layout: Layout,
}

/// Looks at the metadata, and changes nothing.
pub fn look(disk: &Disk) -> Result<Look, String> {
    let (index, meta_sectors) = layout_of(disk);
    let bytes = disk.read_meta(superblock_sector(disk), SUPERBLOCK_BYTES);
    let (superblock, _) =
        Superblock::decode_any(bytes).map_err(|error| format!("superblock: {error:?}"))?;
    let layout = superblock
        .layout(index, disk.device_sectors, meta_sectors)
        .map_err(|error| format!("layout: {error:?}"))?;
    Ok(Look { superblock, layout })
}

impl Look {
    pub fn is_consistent(&self) -> bool {
        self.superblock.flags.contains(MetaFlags::CONSISTENT)
    }

    /// All blocks are to be replaced, whatever the bitmap says.
    pub fn is_full_sync(&self) -> bool {
        self.superblock.flags.contains(MetaFlags::FULL_SYNC)
    }

    /// Whether this block is out of sync after a loss of power: the bitmap marks it, or the activity log will.
    pub fn marks(&self, disk: &Disk, block: u64) -> bool {
        self.bitmap_marks(disk, block)
            || hot_extents(disk, &self.layout).is_ok_and(|extents| {
                let mut extents = extents.into_iter().map(u64::from);
                extents.any(|extent| extent == block / BLOCKS_IN_EXTENT)
            })
    }

    fn bitmap_marks(&self, disk: &Disk, block: u64) -> bool {
        let Some(place) = self.layout.bitmap_page(block / BITS_IN_PAGE) else {
            return false;
        };
        let bit = block % BITS_IN_PAGE;
        let at = (place.sector - disk.meta_first) * 512 + bit / 8;
        disk.meta[at as usize] & 1 << (bit % 8) != 0
    }
}

/// The extents in the activity log.
fn hot_extents(disk: &Disk, layout: &Layout) -> Result<Vec<u32>, String> {
    let mut slots = vec![FREE_EXTENT; SLOTS];
    let al_sector = layout.al_sector();
    let replayed = replay(
        layout.stripes(),
        |block| disk.read_meta(al_sector + u64::from(block) * 8, TRANSACTION_BYTES),
        &mut slots,
    )
    .map_err(|error| format!("activity log: {error:?}"))?;
    if replayed.out_of_range > 0 {
        return Err(format!("activity log: more than {SLOTS} slots"));
    }
    slots.retain(|extent| *extent != FREE_EXTENT);
    Ok(slots)
}

fn apply_log(disk: &mut Disk, layout: &Layout, superblock: &Superblock) -> Result<(), String> {
    let bits = bits_for_sectors(superblock.effective_size);
    for extent in hot_extents(disk, layout)? {
        for bit in u64::from(extent) * BLOCKS_IN_EXTENT..(u64::from(extent) + 1) * BLOCKS_IN_EXTENT
        {
            if bit >= bits {
                break;
            }
            let place = layout.bitmap_page(bit / 32768).expect("inside the bitmap");
            let byte = (bit % 32768) / 8;
            let at = ((place.sector - disk.meta_first) * 512 + byte) as usize;
            disk.meta[at] |= 1 << (bit % 8);
        }
    }
    empty_log(disk, layout);
    Ok(())
}

/// The bitmap as it is on the disk.
pub fn read_bitmap<'a>(
    disk: &Disk,
    found: &Found,
    words: &'a mut [u64],
    dirty: &'a mut [u64],
) -> Bitmap<'a> {
    let bits = bits_for_sectors(found.superblock.effective_size);
    let mut bitmap =
        Bitmap::new(Storage { words, dirty }, bits).expect("storage for the whole disk");
    for page in 0..bitmap.pages() {
        let place = found.layout.bitmap_page(page).expect("inside the bitmap");
        bitmap.load_page(
            page,
            disk.read_meta(place.sector, place.sectors as usize * 512),
        );
    }
    bitmap
}
