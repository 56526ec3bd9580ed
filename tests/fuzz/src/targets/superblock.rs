// SPDX-License-Identifier: GPL-2.0-only

//! The superblock, and where it says that the rest of the metadata lies. Bytes: the kind of metadata and the sizes of both
//! devices, then the superblock; what is missing of it is zero.

use drbd_core::meta::layout::{Layout, MetaIndex};
use drbd_core::meta::superblock::{MetaFlags, Superblock, SUPERBLOCK_BYTES};

use super::Source;

/// The fields end here; zeros follow.
const FIELDS: usize = 96;

pub fn run(data: &[u8]) {
    let mut source = Source(data);
    let index = i32::from(source.byte() as i8);
    let backing = source.word() >> 20;
    let meta = source.word() >> 20;
    let mut block = [0; SUPERBLOCK_BYTES];
    let given = source.bytes(SUPERBLOCK_BYTES);
    block[..given.len()].copy_from_slice(given);
    let decoded = Superblock::decode_any(&block);
    match (Superblock::decode(&block), &decoded) {
        (Ok(one), Ok((other, true))) => assert_eq!(one, *other),
        (Err(_), Ok((_, false)) | Err(_)) => {}
        (one, other) => panic!("{one:?} and {other:?}"),
    }
    let (superblock, clean) = match decoded {
        Ok(decoded) => decoded,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!([119, 165].contains(&error.return_code()));
            return;
        }
    };
    encodes_again(&superblock, clean, &block);
    if let Some(index) = MetaIndex::from_raw(index) {
        match superblock.layout(index, backing, meta) {
            Ok(layout) => lies_in_order(&layout, &superblock, meta),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fn encodes_again(superblock: &Superblock, clean: bool, block: &[u8; SUPERBLOCK_BYTES]) {
    let mut again = [0xff; SUPERBLOCK_BYTES];
    if clean {
        superblock.encode_clean(&mut again);
        let flags = superblock.flags.with(MetaFlags::AL_CLEAN);
        let expected = Superblock {
            flags,
            ..*superblock
        };
        assert_eq!(Superblock::decode_any(&again), Ok((expected, true)));
    } else {
        superblock.encode(&mut again);
        assert_eq!(Superblock::decode_any(&again), Ok((*superblock, false)));
    }
    for (at, (one, other)) in again[..FIELDS].iter().zip(block).enumerate() {
        // Reserved (48), flag and magic that together say whether it is clean (56), the striping of older metadata: 0 (88).
        let may_differ = (48..64).contains(&at) || (88..96).contains(&at);
        assert!(
            one == other || may_differ,
            "byte {at}: {other} becomes {one}"
        );
    }
}

/// Superblock, activity log and bitmap lie inside the device, and apart; what they describe does not reach into them.
fn lies_in_order(layout: &Layout, superblock: &Superblock, meta: u64) {
    let block = (layout.superblock_sector(), 8);
    let log = (layout.al_sector(), u64::from(layout.stripes().sectors()));
    let bitmap = (layout.bitmap_sector(), layout.bitmap_sectors());
    for (first, sectors) in [block, log, bitmap] {
        let end = first
            .checked_add(sectors)
            .expect("no sector has a number as large");
        assert!(end <= meta, "a part lies outside of the device");
        assert!(first >= layout.first_sector() && end <= layout.last_sector() + 1);
    }
    for (one, other) in [(block, log), (block, bitmap), (log, bitmap)] {
        let apart = one.0 + one.1 <= other.0 || other.0 + other.1 <= one.0;
        assert!(apart, "{one:?} and {other:?} overlap");
    }
    assert!(layout.bitmap_bits() >= superblock.effective_size.div_ceil(8));
    for number in [0, 1, u32::MAX / 2, u32::MAX] {
        let place = layout.transaction(number);
        assert!(place.sector >= log.0 && place.sector + 8 <= log.0 + log.1);
    }
    for page in [
        0,
        1,
        layout.bitmap_bits() / 32768,
        u64::MAX / 4096,
        u64::MAX,
    ] {
        if let Some(place) = layout.bitmap_page(page) {
            assert!(place.sector >= bitmap.0);
            assert!(place.sector + u64::from(place.sectors) <= bitmap.0 + bitmap.1);
        }
    }
}
