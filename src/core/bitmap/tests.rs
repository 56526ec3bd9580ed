// SPDX-License-Identifier: GPL-2.0-only

use super::*;
use proptest::prelude::*;
use std::{
    vec,
    vec::Vec, //
};

struct Memory {
    words: Vec<u64>,
    dirty: Vec<u64>,
}

impl Memory {
    /// Storage with rubbish in it, longer than needed.
    fn new(bits: u64) -> Self {
        let (words, dirty) = storage_needed(bits);
        Self {
            words: vec![u64::MAX; words + 3],
            dirty: vec![u64::MAX; dirty + 1],
        }
    }

    fn storage(&mut self) -> Storage<'_> {
        Storage {
            words: &mut self.words,
            dirty: &mut self.dirty,
        }
    }
}

fn dirty_pages(bitmap: &Bitmap<'_>) -> Vec<u64> {
    let mut pages = Vec::new();
    let mut from = 0;
    while let Some(page) = bitmap.next_dirty(from) {
        pages.push(page);
        from = page + 1;
    }
    pages
}

#[test]
fn set_and_clear_report_what_changed() {
    let mut memory = Memory::new(100_000);
    let mut bitmap = Bitmap::new(memory.storage(), 100_000).unwrap();
    assert_eq!((bitmap.pages(), bitmap.weight()), (4, 0));
    assert_eq!(bitmap.set_range(10, 200), 191);
    assert_eq!(bitmap.set_range(0, 63), 10);
    assert_eq!(bitmap.clear_range(5, 5), 1);
    assert_eq!(bitmap.clear_range(5, 5), 0);
    assert_eq!(bitmap.set_range(99_999, u64::MAX), 1);
    assert_eq!(bitmap.set_range(100_000, u64::MAX), 0);
    assert_eq!(bitmap.set_range(7, 6), 0);
    assert_eq!(bitmap.weight(), 201);
    assert_eq!(bitmap.find_next_set(201), Some(99_999));
    assert_eq!(bitmap.find_next_set_before(201, 99_999), None);
    assert_eq!(bitmap.find_next_clear(6), Some(201));
    assert_eq!(dirty_pages(&bitmap), [0, 3]);
}

#[test]
fn setting_what_is_set_leaves_the_page_clean() {
    let mut memory = Memory::new(64);
    let mut bitmap = Bitmap::new(memory.storage(), 64).unwrap();
    bitmap.set_range(1, 2);
    bitmap.mark_clean(0);
    assert_eq!(bitmap.set_range(1, 2), 0);
    assert!(!bitmap.is_dirty(0));
    bitmap.mark_dirty(0);
    assert!(bitmap.is_dirty(0));
    bitmap.mark_dirty(1);
    assert_eq!(dirty_pages(&bitmap), [0]);
}

#[test]
fn a_page_from_the_disk_cannot_set_bits_past_the_end() {
    let mut memory = Memory::new(70);
    let mut bitmap = Bitmap::new(memory.storage(), 70).unwrap();
    bitmap.set_range(0, 3);
    bitmap.load_page(0, &[0xff; PAGE_BYTES]);
    assert_eq!(bitmap.weight(), 70);
    assert!(!bitmap.is_dirty(0));
    assert!(!bitmap.test(70));
    bitmap.load_page(1, &[0xff; PAGE_BYTES]);
    assert_eq!(bitmap.weight(), 70);
    let mut page = [1; PAGE_BYTES];
    bitmap.page_bytes(0, &mut page);
    assert_eq!(
        page[..9],
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f]
    );
    assert!(page[9..].iter().all(|byte| *byte == 0));
    bitmap.page_bytes(7, &mut page);
    assert_eq!(page, [0; PAGE_BYTES]);
}

#[test]
fn words_of_the_peer_are_checked() {
    let mut memory = Memory::new(130);
    let mut bitmap = Bitmap::new(memory.storage(), 130).unwrap();
    assert_eq!(bitmap.word_count(), 3);
    assert_eq!(bitmap.merge_words(2, &[0xff; 8]), Ok(2));
    assert_eq!(bitmap.merge_words(2, &[0xff; 16]), Err(OutOfRange));
    assert_eq!(bitmap.merge_words(u64::MAX, &[0xff; 8]), Err(OutOfRange));
    assert_eq!(bitmap.merge_words(0, &[0xff; 7]), Err(OutOfRange));
    assert_eq!(bitmap.weight(), 2);
    let mut words = [0; 32];
    assert_eq!(bitmap.copy_words(1, &mut words), 2);
    assert_eq!(words[8], 3);
    assert_eq!(bitmap.copy_words(9, &mut words), 0);
}

#[test]
fn runs_cover_the_bitmap() {
    let mut memory = Memory::new(300);
    let mut bitmap = Bitmap::new(memory.storage(), 300).unwrap();
    bitmap.set_range(100, 299);
    assert_eq!(
        bitmap.next_run(0),
        Some(Run {
            set: false,
            length: 100
        })
    );
    assert_eq!(
        bitmap.next_run(100),
        Some(Run {
            set: true,
            length: 200
        })
    );
    assert_eq!(bitmap.next_run(300), None);
}

#[test]
fn too_little_storage_is_refused() {
    let mut memory = Memory::new(64);
    assert_eq!(
        Bitmap::new(memory.storage(), 64 * 5).err(),
        Some(StorageTooSmall)
    );
    let mut bitmap = Bitmap::empty();
    bitmap.set_all();
    assert_eq!((bitmap.weight(), bitmap.next_dirty(0)), (0, None));
    assert_eq!(bitmap.find_next_clear(0), None);
}

#[test]
fn growing_marks_the_new_pages() {
    let (mut small, mut large) = (Memory::new(40_000), Memory::new(100_000));
    let mut bitmap = Bitmap::new(small.storage(), 40_000).unwrap();
    bitmap.set_range(39_999, 39_999);
    let old = bitmap.resize(large.storage(), 100_000, true).unwrap();
    assert!(old.words.len() >= storage_needed(40_000).0);
    assert_eq!(bitmap.weight(), 60_001);
    assert_eq!(dirty_pages(&bitmap), [1, 2, 3]);
}

proptest! {
    #[test]
    fn behaves_like_a_vector_of_booleans(
        bits in 0u64..70_000,
        steps in prop::collection::vec((0u8..5, 0u64..70_100, 0u64..400), 1..40),
    ) {
        let mut memory = Memory::new(bits);
        let mut others: Vec<Memory> = steps.iter().map(|_| Memory::new(70_100)).collect();
        let mut others = others.iter_mut();
        let mut bitmap = Bitmap::new(memory.storage(), bits).unwrap();
        let mut model = vec![false; bits as usize];
        let mut on_disk = vec![[0u8; PAGE_BYTES]; 3];
        for (action, first, length) in steps {
            let last = first + length;
            let size = model.len();
            let inside = (first as usize).min(size)..(last as usize + 1).min(size);
            match action {
                0 => {
                    let want = model[inside.clone()].iter().filter(|bit| !**bit).count();
                    prop_assert_eq!(bitmap.set_range(first, last), want as u64);
                    model[inside].fill(true);
                }
                1 => {
                    let want = model[inside.clone()].iter().filter(|bit| **bit).count();
                    prop_assert_eq!(bitmap.clear_range(first, last), want as u64);
                    model[inside].fill(false);
                }
                2 => {
                    let set_new = length & 1 == 1;
                    let bits = if first & 1 == 1 { first } else { (size as u64 + length).min(70_000) };
                    bitmap.resize(others.next().unwrap().storage(), bits, set_new).unwrap();
                    model.resize(bits as usize, set_new);
                }
                3 => {
                    let page = first % 3;
                    let mut bytes = [0; PAGE_BYTES];
                    bitmap.page_bytes(page, &mut bytes);
                    bitmap.load_page(page, &bytes);
                    bitmap.mark_dirty(page);
                }
                _ => {
                    while let Some(page) = bitmap.next_dirty(0) {
                        bitmap.page_bytes(page, &mut on_disk[page as usize]);
                        bitmap.mark_clean(page);
                    }
                }
            }
            let size = model.len() as u64;
            prop_assert_eq!(bitmap.bits(), size);
            prop_assert_eq!(bitmap.weight(), model.iter().filter(|bit| **bit).count() as u64);
            for bit in [first, last, 0, size] {
                prop_assert_eq!(bitmap.test(bit), model.get(bit as usize).copied().unwrap_or(false));
            }
            let from = (first as usize).min(model.len());
            let next = |set| model[from..].iter().position(|bit| *bit == set).map(|at| (from + at) as u64);
            prop_assert_eq!(bitmap.find_next_set(first), next(true));
            prop_assert_eq!(bitmap.find_next_clear(first), next(false));
            let inside = from..(last as usize + 1).min(model.len()).max(from);
            let want = model[inside].iter().filter(|bit| **bit).count() as u64;
            prop_assert_eq!(bitmap.count_range(first, last), want);
            // What is not dirty is on the disk.
            for page in 0..bitmap.pages() {
                let mut bytes = [0; PAGE_BYTES];
                bitmap.page_bytes(page, &mut bytes);
                prop_assert!(bitmap.is_dirty(page) || on_disk[page as usize] == bytes);
            }
        }
        let mut from = 0;
        while let Some(run) = bitmap.next_run(from) {
            let range = from as usize..(from + run.length) as usize;
            prop_assert!(model[range].iter().all(|bit| *bit == run.set));
            from += run.length;
        }
        prop_assert_eq!(from, bitmap.bits());
    }

    #[test]
    fn merging_is_or(mine in prop::collection::vec(any::<u64>(), 5), theirs in prop::collection::vec(any::<u64>(), 5), bits in 257u64..=320) {
        let mut memory = Memory::new(bits);
        let mut bitmap = Bitmap::new(memory.storage(), bits).unwrap();
        let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let first = bitmap.merge_words(0, &bytes(&mine)).unwrap();
        let second = bitmap.merge_words(0, &bytes(&theirs)).unwrap();
        prop_assert_eq!(first + second, bitmap.weight());
        for bit in 0..320 {
            let word = (mine[bit / 64] | theirs[bit / 64]) >> (bit % 64) & 1 == 1;
            prop_assert_eq!(bitmap.test(bit as u64), word && (bit as u64) < bits);
        }
    }
}
