// SPDX-License-Identifier: GPL-2.0-only

//! Which ranges of a device are busy.
//!
//! Every write, and every read that a resync depends on, registers its range here for as long as others must not
//! touch it. Ranges up to 4 MiB hang in the chain of their first extent, so that an overlap is found by looking at a
//! few short chains; the rare longer ones (discards) hang in a chain of their own that every search looks at.

use crate::num::{u32_to_usize, u64_to_usize, SECTORS_PER_AL_EXTENT};

/// The longest range that can be registered: 128 MiB, the longest discard on the wire.
pub const MAX_SECTORS: u64 = 32 * SECTORS_PER_AL_EXTENT;

/// How many chains an index has: more means shorter chains.
pub const CHAINS: usize = 256;

const NONE: u32 = u32::MAX;

/// What is stored for one range; the storage that an [`OverlapIndex`] borrows.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    start: u64,
    end: u64,
    next: u32,
    previous: u32,
    linked: bool,
}

impl Entry {
    /// An entry that holds no range.
    pub const EMPTY: Self = Self {
        start: 0,
        end: 0,
        next: NONE,
        previous: NONE,
        linked: false,
    };
}

/// The busy ranges of one device. Entries are named by their number, which the owner chooses.
///
/// # Invariants
///
/// A linked entry is in the chain of its first extent or, if longer than an extent, in the chain of the long ones; and
/// in no other.
#[derive(Debug)]
pub struct OverlapIndex<'m> {
    chains: [u32; CHAINS],
    long: u32,
    entries: &'m mut [Entry],
}

impl<'m> OverlapIndex<'m> {
    /// An index without ranges, for entry numbers below `entries.len()`.
    pub fn new(entries: &'m mut [Entry]) -> Self {
        entries.fill(Entry::EMPTY);
        Self {
            chains: [NONE; CHAINS],
            long: NONE,
            entries,
        }
    }

    /// Gives the storage back.
    pub fn into_storage(self) -> &'m mut [Entry] {
        self.entries
    }

    /// Registers `sectors` from `start` under the number `entry`.
    ///
    /// Answers false, and changes nothing, where the number is in use or unknown, or the range is empty or too long.
    pub fn insert(&mut self, entry: u32, start: u64, sectors: u64) -> bool {
        let Some(end) = start.checked_add(sectors) else {
            return false;
        };
        if sectors == 0 || sectors > MAX_SECTORS {
            return false;
        }
        let first = self
            .first_of_chain(start, sectors)
            .map_or(NONE, |first| *first);
        match self.entries.get_mut(u32_to_usize(entry)) {
            Some(slot) if !slot.linked => {
                *slot = Entry {
                    start,
                    end,
                    next: first,
                    previous: NONE,
                    linked: true,
                };
            }
            _ => return false,
        }
        if let Some(head) = self.first_of_chain(start, sectors) {
            *head = entry;
        }
        if let Some(second) = self.entries.get_mut(u32_to_usize(first)) {
            second.previous = entry;
        }
        true
    }

    /// Forgets the range of `entry`; answers whether there was one.
    pub fn remove(&mut self, entry: u32) -> bool {
        let Some(slot) = self.entries.get_mut(u32_to_usize(entry)) else {
            return false;
        };
        if !slot.linked {
            return false;
        }
        let removed = core::mem::replace(slot, Entry::EMPTY);
        if let Some(next) = self.entries.get_mut(u32_to_usize(removed.next)) {
            next.previous = removed.previous;
        }
        if let Some(previous) = self.entries.get_mut(u32_to_usize(removed.previous)) {
            previous.next = removed.next;
        } else {
            let sectors = removed.end.saturating_sub(removed.start);
            if let Some(head) = self.first_of_chain(removed.start, sectors) {
                *head = removed.next;
            }
        }
        true
    }

    /// Whether `entry` holds a range.
    pub fn contains(&self, entry: u32) -> bool {
        self.entries
            .get(u32_to_usize(entry))
            .is_some_and(|slot| slot.linked)
    }

    /// A registered range that shares a sector with `sectors` from `start` and for whose number `matters` says yes.
    pub fn find(
        &self,
        start: u64,
        sectors: u64,
        mut matters: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let end = start.saturating_add(sectors);
        let first = extent_of(start).saturating_sub(1);
        let last = extent_of(end.saturating_sub(1));
        if let Some(found) = self.find_in_chain(self.long, start, end, &mut matters) {
            return Some(found);
        }
        let mut extent = first;
        // More extents than chains would visit a chain twice; no caller asks for that much, but a bound is a bound.
        for _ in 0..CHAINS {
            if extent > last {
                break;
            }
            let chain = self
                .chains
                .get(chain_number(extent))
                .copied()
                .unwrap_or(NONE);
            if let Some(found) = self.find_in_chain(chain, start, end, &mut matters) {
                return Some(found);
            }
            extent = extent.saturating_add(1);
        }
        None
    }

    fn find_in_chain(
        &self,
        first: u32,
        start: u64,
        end: u64,
        matters: &mut impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let mut cursor = first;
        while let Some(entry) = self.entries.get(u32_to_usize(cursor)) {
            if entry.start < end && start < entry.end && matters(cursor) {
                return Some(cursor);
            }
            cursor = entry.next;
        }
        None
    }

    fn first_of_chain(&mut self, start: u64, sectors: u64) -> Option<&mut u32> {
        if sectors > SECTORS_PER_AL_EXTENT {
            Some(&mut self.long)
        } else {
            self.chains.get_mut(chain_number(extent_of(start)))
        }
    }
}

fn extent_of(sector: u64) -> u64 {
    sector / SECTORS_PER_AL_EXTENT
}

fn chain_number(extent: u64) -> usize {
    u64_to_usize(extent) % CHAINS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn finds_what_a_linear_search_finds(
            steps in prop::collection::vec((0u32..16, 0u64..400_000, prop_oneof![1u64..=SECTORS_PER_AL_EXTENT, 1u64..=MAX_SECTORS], any::<bool>()), 1..200)
        ) {
            let mut storage = [Entry::EMPTY; 16];
            let mut index = OverlapIndex::new(&mut storage);
            let mut model: Vec<(u32, u64, u64)> = Vec::new();
            for (entry, start, sectors, insert) in steps {
                if insert {
                    let free = !model.iter().any(|range| range.0 == entry);
                    prop_assert_eq!(index.insert(entry, start, sectors), free);
                    if free {
                        model.push((entry, start, sectors));
                    }
                } else {
                    let known = model.iter().position(|range| range.0 == entry);
                    prop_assert_eq!(index.remove(entry), known.is_some());
                    if let Some(position) = known {
                        model.remove(position);
                    }
                }
                let mut found = Vec::new();
                index.find(start, sectors, |number| { found.push(number); false });
                found.sort_unstable();
                let mut expected: Vec<u32> = model.iter()
                    .filter(|range| range.1 < start + sectors && start < range.1 + range.2)
                    .map(|range| range.0)
                    .collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn refuses_ranges_that_it_could_not_find_again() {
        let mut storage = [Entry::EMPTY; 2];
        let mut index = OverlapIndex::new(&mut storage);
        assert!(!index.insert(0, 0, 0));
        assert!(!index.insert(0, 0, MAX_SECTORS + 1));
        assert!(!index.insert(0, u64::MAX, 2));
        assert!(!index.insert(2, 0, 1));
        assert!(index.insert(0, 0, 1));
        assert!(index.contains(0));
    }
}
