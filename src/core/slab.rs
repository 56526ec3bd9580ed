// SPDX-License-Identifier: GPL-2.0-only

//! Numbered places for objects, over storage that the caller lends.
//!
//! A request, a peer request and whatever else has an identity on the wire lives in a slab. Its [`Id`] is place and
//! generation: it tells nothing about kernel memory, and an id that is forged, or whose object is long gone, finds
//! nothing. Every operation takes constant time.

use crate::num::u32_to_usize;

/// The end of the free list.
const NONE: u32 = u32::MAX;

/// The name of one object in a [`Slab`].
///
/// # Invariants
///
/// `index` is below `u32::MAX` and `generation` is not zero, so that the packed form meets none of the values that the
/// wire gives a meaning of their own: 0, `ID_IN_SYNC` (4711), `ID_OUT_OF_SYNC` (4712) and `ID_SYNCER` (all ones).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    index: u32,
    generation: u32,
}

impl Id {
    /// Fills storage whose content does not matter.
    pub const FILL: Self = Self {
        index: 0,
        generation: 1,
    };

    /// The place in the slab, from 0. Two objects that live at the same time never share it.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The form for `block_id` on the wire: the generation in the upper half, the place in the lower.
    pub fn to_u64(self) -> u64 {
        u64::from(self.generation).wrapping_shl(32) | u64::from(self.index)
    }

    /// Reads back [`Id::to_u64`]; `None` for every value that no id packs into.
    ///
    /// The answer says nothing about whether the object exists: [`Slab::get`] does.
    pub fn from_u64(packed: u64) -> Option<Self> {
        let index = u32::try_from(packed & u64::from(u32::MAX)).ok()?;
        let generation = u32::try_from(packed.wrapping_shr(32)).ok()?;
        // INVARIANT: checked here.
        (index != NONE && generation != 0).then_some(Self { index, generation })
    }
}

/// What a place holds.
#[derive(Clone, Copy, Debug)]
enum Content<T> {
    /// Nothing; `next` is the place after this one in the free list.
    Free { next: u32 },
    /// An object.
    Used(T),
}

/// One place of a [`Slab`]; what the lent storage is made of.
#[derive(Clone, Copy, Debug)]
pub struct Slot<T> {
    generation: u32,
    content: Content<T>,
}

impl<T> Slot<T> {
    /// A place that was never used.
    pub const fn empty() -> Self {
        Self {
            generation: 0,
            content: Content::Free { next: NONE },
        }
    }

    fn id(&self, index: usize) -> Option<Id> {
        let index = u32::try_from(index).ok()?;
        // INVARIANT: a place that is used has been given a generation other than zero, and `Slab::new` leaves no
        // place at `NONE`.
        matches!(self.content, Content::Used(_)).then_some(Id {
            index,
            generation: self.generation,
        })
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self::empty()
    }
}

/// Every place is taken; gives back what was to be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

/// A table of `T` with stable names.
///
/// # Invariants
///
/// The free list, from `first_free` on, holds each free place once. `used` places are not in it.
#[derive(Debug)]
pub struct Slab<'m, T> {
    slots: &'m mut [Slot<T>],
    first_free: u32,
    used: usize,
}

impl<'m, T> Slab<'m, T> {
    /// An empty slab over `storage`; objects that lie in it are dropped.
    ///
    /// The places keep their generations, so that ids of an earlier slab over the same storage stay dead. Of more
    /// than `u32::MAX` places, the rest is left alone.
    pub fn new(storage: &'m mut [Slot<T>]) -> Self {
        let capacity = storage.len().min(u32_to_usize(NONE));
        let slots = storage
            .split_at_mut_checked(capacity)
            .map_or(&mut [][..], |(slots, _)| slots);
        let mut slab = Self {
            slots,
            first_free: NONE,
            used: 0,
        };
        slab.link_free();
        slab
    }

    /// Makes every place free, in order.
    fn link_free(&mut self) {
        let mut next = NONE;
        for (index, slot) in self.slots.iter_mut().enumerate().rev() {
            slot.content = Content::Free { next };
            next = u32::try_from(index).unwrap_or(NONE);
        }
        self.first_free = next;
        self.used = 0;
    }

    /// Moves all objects, under the ids that they have, to larger storage, and goes on there.
    ///
    /// Gives back the old storage, for the caller to free. Changes nothing and gives back `storage` where that is
    /// smaller than what the slab has. Takes time in proportion to the capacity.
    pub fn grow(
        &mut self,
        storage: &'m mut [Slot<T>],
    ) -> Result<&'m mut [Slot<T>], &'m mut [Slot<T>]> {
        if storage.len() < self.slots.len() || storage.len() > u32_to_usize(NONE) {
            return Err(storage);
        }
        // Places that are new come first in the free list, in order; then the old free list follows.
        let old_capacity = self.slots.len();
        let mut next = self.first_free;
        for (index, slot) in storage.iter_mut().enumerate().skip(old_capacity).rev() {
            slot.content = Content::Free { next };
            next = u32::try_from(index).unwrap_or(NONE);
        }
        self.first_free = next;
        for (old, new) in self.slots.iter_mut().zip(storage.iter_mut()) {
            core::mem::swap(old, new);
        }
        Ok(core::mem::replace(&mut self.slots, storage))
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// How many objects there can be.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Whether [`Slab::insert`] would fail.
    pub fn is_full(&self) -> bool {
        self.first_free == NONE
    }

    /// The id that the next [`Slab::insert`] will give, for an object that has to know its own name.
    pub fn next_id(&self) -> Option<Id> {
        let slot = self.slots.get(u32_to_usize(self.first_free))?;
        Some(Id {
            index: self.first_free,
            generation: next_generation(slot.generation),
        })
    }

    /// Puts `value` into a free place.
    pub fn insert(&mut self, value: T) -> Result<Id, Full<T>> {
        let index = self.first_free;
        let Some(slot) = self.slots.get_mut(u32_to_usize(index)) else {
            return Err(Full(value));
        };
        let Content::Free { next } = slot.content else {
            return Err(Full(value));
        };
        slot.generation = next_generation(slot.generation);
        slot.content = Content::Used(value);
        self.first_free = next;
        self.used = self.used.saturating_add(1);
        Ok(Id {
            index,
            generation: slot.generation,
        })
    }

    /// The object named `id`, if it is still there.
    pub fn get(&self, id: Id) -> Option<&T> {
        match self.slots.get(u32_to_usize(id.index)) {
            Some(Slot {
                generation,
                content: Content::Used(value),
            }) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// The object named `id`, if it is still there.
    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        match self.slots.get_mut(u32_to_usize(id.index)) {
            Some(Slot {
                generation,
                content: Content::Used(value),
            }) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// Takes the object named `id` out; its id is dead from then on.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        let slot = self.slots.get_mut(u32_to_usize(id.index))?;
        if slot.generation != id.generation || matches!(slot.content, Content::Free { .. }) {
            return None;
        }
        let free = Content::Free {
            next: self.first_free,
        };
        let Content::Used(value) = core::mem::replace(&mut slot.content, free) else {
            return None;
        };
        self.first_free = id.index;
        self.used = self.used.saturating_sub(1);
        Some(value)
    }

    /// The object at place `index`, if there is one: for a walk that is interrupted and goes on later.
    pub fn at(&self, index: usize) -> Option<(Id, &T)> {
        let slot = self.slots.get(index)?;
        match &slot.content {
            Content::Used(value) => Some((slot.id(index)?, value)),
            Content::Free { .. } => None,
        }
    }

    /// All objects, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        // Not `enumerate`: it counts with a check that panics.
        (0..self.slots.len())
            .zip(self.slots.iter())
            .filter_map(|(index, slot)| {
                let id = slot.id(index)?;
                match &slot.content {
                    Content::Used(value) => Some((id, value)),
                    Content::Free { .. } => None,
                }
            })
    }

    /// All objects, in the order of their places.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Id, &mut T)> {
        (0..self.slots.len())
            .zip(self.slots.iter_mut())
            .filter_map(|(index, slot)| {
                let id = slot.id(index)?;
                match &mut slot.content {
                    Content::Used(value) => Some((id, value)),
                    Content::Free { .. } => None,
                }
            })
    }

    /// Gives the storage back, with whatever is still in it.
    pub fn into_storage(self) -> &'m mut [Slot<T>] {
        self.slots
    }

    /// Drops every object. All ids are dead from then on.
    pub fn clear(&mut self) {
        self.link_free();
    }
}

/// The generation after `generation`. Zero is left out: see [`Id`].
fn next_generation(generation: u32) -> u32 {
    generation.wrapping_add(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{
        collections::HashMap,
        vec,
        vec::Vec, //
    };

    fn storage<T>(capacity: usize) -> Vec<Slot<T>> {
        (0..capacity).map(|_| Slot::empty()).collect()
    }

    #[test]
    fn a_removed_object_is_not_found_under_its_old_id() {
        let mut storage = storage(2);
        let mut slab = Slab::new(&mut storage);
        let first = slab.insert('a').unwrap();
        let second = slab.insert('b').unwrap();
        assert_eq!(slab.insert('c'), Err(Full('c')));
        assert_eq!(slab.remove(first), Some('a'));
        assert_eq!(slab.remove(first), None);
        let announced = slab.next_id();
        let third = slab.insert('c').unwrap();
        assert_eq!(announced, Some(third));
        assert_eq!(third.index(), first.index());
        assert_ne!(third, first);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get_mut(third), Some(&mut 'c'));
        assert_eq!(slab.get(second), Some(&'b'));
        assert_eq!(
            slab.iter().collect::<Vec<_>>(),
            vec![(third, &'c'), (second, &'b')]
        );
    }

    #[test]
    fn special_values_of_the_wire_are_no_ids() {
        for special in [
            0,
            4711,
            4712,
            u64::MAX,
            u64::from(u32::MAX),
            7 << 32 | 0xffff_ffff,
        ] {
            assert_eq!(Id::from_u64(special), None, "{special:#x}");
        }
        let mut storage = storage(1);
        let mut slab = Slab::new(&mut storage);
        assert_eq!(slab.insert(()).unwrap().to_u64(), 1 << 32);
    }

    #[test]
    fn generations_outlive_the_slab() {
        let mut storage = storage(1);
        let old = Slab::new(&mut storage).insert(1).unwrap();
        let mut slab = Slab::new(&mut storage);
        assert!(slab.is_empty());
        slab.insert(2).unwrap();
        assert_eq!(slab.get(old), None);
    }

    #[test]
    fn generation_zero_is_left_out_when_the_counter_wraps() {
        assert_eq!(next_generation(u32::MAX), 1);
    }

    #[test]
    fn growing_keeps_ids() {
        let mut small = storage(2);
        let mut large = storage(5);
        let mut too_small = storage(1);
        let mut slab = Slab::new(&mut small);
        let a = slab.insert('a').unwrap();
        let b = slab.insert('b').unwrap();
        slab.remove(a).unwrap();
        assert!(slab.grow(&mut too_small).is_err());
        assert_eq!(slab.grow(&mut large).unwrap().len(), 2);
        assert_eq!(slab.get(b), Some(&'b'));
        assert_eq!(slab.get(a), None);
        for value in ['c', 'd', 'e', 'f'] {
            slab.insert(value).unwrap();
        }
        assert!(slab.is_full());
        assert_eq!(slab.get(a), None);
        assert_eq!(slab.len(), 5);
    }

    #[test]
    fn no_storage_is_full() {
        let mut slab = Slab::<u8>::new(&mut []);
        assert_eq!(slab.next_id(), None);
        assert_eq!(slab.insert(1), Err(Full(1)));
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(steps in prop::collection::vec((any::<bool>(), 0usize..8), 0..200)) {
            let mut storage = storage(5);
            let mut slab = Slab::new(&mut storage);
            let mut model: HashMap<u64, usize> = HashMap::new();
            let mut every: Vec<u64> = Vec::new();
            for (step, (insert, pick)) in steps.into_iter().enumerate() {
                if insert {
                    match slab.insert(step) {
                        Ok(id) => {
                            prop_assert!(!every.contains(&id.to_u64()));
                            every.push(id.to_u64());
                            model.insert(id.to_u64(), step);
                        }
                        Err(Full(value)) => {
                            prop_assert_eq!(value, step);
                            prop_assert_eq!(model.len(), 5);
                        }
                    }
                } else if let Some(&packed) = every.iter().rev().nth(pick) {
                    let id = Id::from_u64(packed).unwrap();
                    prop_assert_eq!(slab.remove(id), model.remove(&packed));
                }
                prop_assert_eq!(slab.len(), model.len());
                prop_assert_eq!(slab.is_full(), model.len() == 5);
                for &packed in &every {
                    prop_assert_eq!(slab.get(Id::from_u64(packed).unwrap()), model.get(&packed));
                }
                for (id, value) in slab.iter() {
                    prop_assert_eq!(model.get(&id.to_u64()), Some(value));
                }
            }
        }

        #[test]
        fn packing_is_lossless(packed: u64) {
            if let Some(id) = Id::from_u64(packed) {
                prop_assert_eq!(id.to_u64(), packed);
            }
        }
    }
}
