// SPDX-License-Identifier: GPL-2.0-only

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

const GIB: u64 = 1 << 21;

fn internal(sectors: u64) -> Layout {
    Layout::new(sectors, sectors, MetaIndex::Internal, AlStripes::standard()).unwrap()
}

#[test]
fn internal_metadata_of_one_gibibyte() {
    // The numbers that `drbdmeta dump-md` shows for such a device.
    let layout = internal(GIB);
    assert_eq!(
        layout.offsets(),
        Offsets {
            al_offset: -64,
            bm_offset: -128,
            md_size_sectors: 136,
        }
    );
    assert_eq!(layout.superblock_sector(), 2_097_144);
    assert_eq!(layout.al_sector(), 2_097_080);
    assert_eq!(layout.max_capacity(GIB), 2_097_016);
    assert_eq!(layout.first_sector(), 2_097_016);
    assert_eq!(layout.last_sector(), 2_097_151);
    assert_eq!(layout.bitmap_bits(), 64 * 4096);
}

#[test]
fn a_device_that_ends_between_blocks() {
    let layout = internal(GIB + 7);
    assert_eq!(layout.superblock_sector(), 2_097_144);
    // One sector more than 64 sectors of bitmap can count, so one block more.
    assert_eq!(layout.offsets().bm_offset, -136);
}

#[test]
fn flexible_external_metadata() {
    let layout = Layout::new(
        100 * GIB,
        4096,
        MetaIndex::FlexExternal,
        AlStripes::standard(),
    )
    .unwrap();
    assert_eq!((layout.al_sector(), layout.bitmap_sector()), (8, 72));
    assert_eq!(layout.max_capacity(100 * GIB), (4096 - 72) << 15);
    assert_eq!(layout.max_capacity(GIB), GIB);
    assert_eq!(layout.last_sector(), 4095);
    assert_eq!(
        Layout::new(GIB, 72, MetaIndex::FlexExternal, AlStripes::standard()),
        Err(LayoutError::TooSmall)
    );
}

#[test]
fn the_last_page_of_the_bitmap_may_be_short() {
    let layout = Layout::new(GIB, 72 + 11, MetaIndex::FlexExternal, AlStripes::standard()).unwrap();
    let page = |page| {
        layout
            .bitmap_page(page)
            .map(|place| (place.sector, place.sectors))
    };
    assert_eq!(page(0), Some((72, 8)));
    assert_eq!(page(1), Some((80, 3)));
    assert_eq!(page(2), None);
    assert_eq!(page(u64::MAX), None);
}

#[test]
fn indexed_metadata() {
    let sectors = 3 << 18;
    let layout = Layout::new(1 << 40, sectors, MetaIndex::Fixed(2), AlStripes::standard()).unwrap();
    assert_eq!(layout.superblock_sector(), 2 << 18);
    assert_eq!(layout.max_capacity(1 << 40), 8_587_575_296);
    assert_eq!(MetaIndex::Fixed(2).min_meta_device_sectors(), sectors);
    let new = |index, stripes| Layout::new(GIB, sectors, index, stripes);
    assert_eq!(
        new(MetaIndex::Fixed(3), AlStripes::standard()),
        Err(LayoutError::TooSmall)
    );
    assert_eq!(
        new(MetaIndex::Fixed(0), AlStripes::new(2, 8).unwrap()),
        Err(LayoutError::FixedStripes)
    );
}

#[test]
fn sizes_out_of_range_are_refused() {
    assert_eq!(AlStripes::new(0, 8), Err(AlSizeError::TooSmall));
    assert_eq!(AlStripes::new(1, 7), Err(AlSizeError::TooSmall));
    assert_eq!(AlStripes::new(u32::MAX, u32::MAX), Err(AlSizeError::TooBig));
    for sectors in [0, 7, 8, 72, 79] {
        let layout = Layout::new(sectors, sectors, MetaIndex::Internal, AlStripes::standard());
        assert_eq!(layout, Err(LayoutError::TooSmall), "{sectors}");
    }
    let huge = Layout::new(
        u64::MAX,
        u64::MAX,
        MetaIndex::Internal,
        AlStripes::standard(),
    );
    assert_eq!(huge, Err(LayoutError::TooLarge));
}

#[test]
fn as_many_slots_as_the_ring_can_keep() {
    assert_eq!(AlStripes::standard().max_extents(), 6433);
    assert_eq!(AlStripes::new(4, 64).unwrap().max_extents(), 65534);
}

#[test]
fn index_numbers_of_netlink() {
    for raw in [-3, -2, -1, 0, 7, i32::MAX] {
        assert_eq!(MetaIndex::from_raw(raw).map(MetaIndex::to_raw), Some(raw));
    }
    assert_eq!(MetaIndex::from_raw(-4), None);
}

proptest! {
    #[test]
    fn parts_do_not_overlap(
        backing in 0u64..1 << 44,
        meta in 0u64..1 << 34,
        raw in -3i32..4,
        count in 1u32..9,
        blocks in 1u32..100,
    ) {
        let index = MetaIndex::from_raw(raw).unwrap();
        let meta = if index.is_internal() { backing } else { meta };
        let Ok(stripes) = AlStripes::new(count, blocks) else { return Ok(()); };
        let Ok(layout) = Layout::new(backing, meta, index, stripes) else { return Ok(()); };
        let al = layout.al_sector()..layout.al_sector() + u64::from(stripes.sectors());
        let bitmap = layout.bitmap_sector()..layout.bitmap_sector() + layout.bitmap_sectors();
        let superblock = layout.superblock_sector()..layout.superblock_sector() + 8;
        let mut parts = [al, bitmap, superblock];
        parts.sort_by_key(|part| part.start);
        prop_assert!(parts[0].start == layout.first_sector());
        prop_assert!(parts[0].end <= parts[1].start && parts[1].end <= parts[2].start);
        prop_assert!(parts[2].end - 1 == layout.last_sector() && parts[2].end <= meta);
        let capacity = layout.max_capacity(backing);
        prop_assert!(capacity <= backing && capacity.div_ceil(8) <= layout.bitmap_bits());
        if index.is_internal() {
            prop_assert!(capacity <= layout.first_sector());
        }
        // What we write, we accept.
        let again = Layout::from_offsets(backing, meta, index, stripes, layout.offsets());
        prop_assert_eq!(again, Some(layout));
    }

    #[test]
    fn offsets_from_disk_never_lead_off_the_device(
        backing in 0u64..1 << 34, meta in 0u64..1 << 20, raw in -3i32..3,
        al_offset in prop_oneof![Just(8), Just(-64), any::<i32>()],
        bm_offset in prop_oneof![Just(72), -100_000i32..0, any::<i32>()],
        md_size_sectors in prop_oneof![Just(1 << 18), 0u32..200_000, any::<u32>()],
    ) {
        let index = MetaIndex::from_raw(raw).unwrap();
        let meta = if index.is_internal() { backing } else { meta };
        let offsets = Offsets { al_offset, bm_offset, md_size_sectors };
        if let Some(layout) = Layout::from_offsets(backing, meta, index, AlStripes::standard(), offsets) {
            prop_assert!(layout.last_sector() < meta);
            prop_assert!(layout.first_sector() <= layout.bitmap_sector());
            prop_assert!(layout.bitmap_sector() + layout.bitmap_sectors() <= meta);
            prop_assert!(layout.al_sector() + 64 <= meta);
        }
    }

    #[test]
    fn striping_uses_every_block_once(count in 1u32..20, blocks in 1u32..20) {
        if let Ok(stripes) = AlStripes::new(count, blocks) {
            let used: HashSet<u32> = (0..stripes.blocks()).map(|tr| stripes.block(stripes.position(tr))).collect();
            prop_assert_eq!(used.len() as u32, stripes.blocks());
            prop_assert!(used.iter().all(|block| *block < stripes.blocks()));
            for number in [0, u32::MAX / stripes.blocks() * stripes.blocks() - 1] {
                let next = stripes.next_number(number);
                let want = (stripes.position(number) + 1) % stripes.blocks();
                prop_assert_eq!(stripes.position(next), want);
            }
            prop_assert_eq!(stripes.block(stripes.position(1)), if count > 1 { blocks } else { 1 });
        }
    }
}
