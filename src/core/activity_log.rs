// SPDX-License-Identifier: GPL-2.0-only

//! The activity log: which extents of 4 MiB may be written to right now.
//!
//! Before the first write to an extent, the extent gets a slot, and a transaction on disk says so. After a crash of a
//! Primary, exactly the extents in the log are resynced. Slots that are idle stay hot until another extent needs one,
//! the one that has been idle longest first.
//!
//! The life of a slot: *free* or *idle* → *changing* (collected for a transaction, or in the one in flight) → *hot*
//! (in use while it has references, then idle). Changes that come up while a transaction is in flight are collected,
//! up to 64, for the next one.
//!
//! What the caller does with a transaction, in this order:
//! 1. [`ActivityLog::begin_transaction`],
//! 2. write the dirty bitmap pages of the extents that [`ActivityLog::evicted`] names, and wait: once their slots are
//!    given away, the bitmap on disk is all that knows of their blocks,
//! 3. [`ActivityLog::encode`], [`seal`](crate::meta::transaction::seal), and write to
//!    [`Layout::transaction`](crate::meta::layout::Layout::transaction), with flush and FUA,
//! 4. [`ActivityLog::end_transaction`], then look at waiting requests again with [`ActivityLog::is_hot`], and begin
//!    the next transaction if there is one.

use crate::{
    meta::{
        layout::AlStripes,
        transaction::{
            self,
            Header,
            Kind,
            CONTEXT_PER_TRANSACTION,
            FREE_EXTENT,
            TRANSACTION_BYTES,
            UPDATES_PER_TRANSACTION, //
        },
    },
    num::{
        u32_to_usize,
        u64_to_usize,
        usize_to_u64, //
    },
};

/// The end of a list of slots.
const NONE: u16 = u16::MAX;

/// One slot; what the lent storage is made of.
///
/// # Invariants
///
/// `extent` is what the disk has for the slot, `next_extent` what it will have; they differ while the slot changes.
#[derive(Clone, Copy, Debug)]
pub struct ExtentSlot {
    extent: u32,
    next_extent: u32,
    references: u32,
    /// Neighbours among the idle slots; in a free slot, `older` is the next free one.
    newer: u16,
    older: u16,
    /// The next slot whose `next_extent` has the same hash.
    chain: u16,
    /// The first slot of the hash chain that has this slot's number. It has nothing to do with the slot otherwise.
    bucket: u16,
}

impl ExtentSlot {
    /// A slot that was never used.
    pub const fn empty() -> Self {
        Self {
            extent: FREE_EXTENT,
            next_extent: FREE_EXTENT,
            references: 0,
            newer: NONE,
            older: NONE,
            chain: NONE,
            bucket: NONE,
        }
    }

    fn is_changing(&self) -> bool {
        self.extent != self.next_extent
    }
}

impl Default for ExtentSlot {
    fn default() -> Self {
        Self::empty()
    }
}

/// The answer to a request for extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// References are taken, write on.
    Hot,
    /// References are taken; write once [`ActivityLog::is_hot`] says so. A transaction is in flight, and the caller of
    /// [`ActivityLog::end_transaction`] begins the next.
    Pending,
    /// As [`Access::Pending`], but no transaction is in flight: begin one.
    NeedTransaction,
    /// Nothing is taken: too many extents are in use, or too many changes are waiting. Try again, in order of arrival,
    /// after the next [`ActivityLog::put`] or [`ActivityLog::end_transaction`].
    Full,
}

/// A transaction that has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its number, from which the layout derives its place.
    pub tr_number: u32,
    /// How many slots it changes.
    pub updates: usize,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is on stable storage.
    Written,
    /// It was not written, on purpose: the administrator said `al-updates no`.
    Skipped,
    /// It may or may not be on disk. Its changes stay pending; the next transaction is the same one again.
    Failed,
}

/// The log is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InUse;

/// Counters for `/proc/drbd` and debugfs, named as there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Slots that have references now.
    pub used: u32,
    /// Extents asked for that had a slot.
    pub hits: u64,
    /// Extents asked for that had none.
    pub misses: u64,
    /// Requests refused because all slots were in use.
    pub starving: u64,
    /// Requests refused because the next transaction was full.
    pub locked: u64,
    /// Slots that were changed.
    pub changed: u64,
}

/// Slots in a transaction.
#[derive(Debug)]
struct Updates {
    slots: [u16; UPDATES_PER_TRANSACTION],
    count: usize,
}

impl Updates {
    const EMPTY: Self = Self {
        slots: [NONE; UPDATES_PER_TRANSACTION],
        count: 0,
    };

    fn room(&self) -> usize {
        UPDATES_PER_TRANSACTION.saturating_sub(self.count)
    }

    /// Does nothing where there is no room.
    fn push(&mut self, slot: u16) {
        if let Some(place) = self.slots.get_mut(self.count) {
            *place = slot;
            self.count = self.count.saturating_add(1);
        }
    }

    fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.slots.iter().copied().take(self.count)
    }
}

/// The activity log of one device.
///
/// # Invariants
///
/// * A slot is in exactly one of: the free list, the idle list, `next`, `flight`, or it is hot and referenced.
/// * A slot is in the hash chain of its `next_extent`, unless it is free. No two slots have the same `next_extent`.
/// * `idle_or_free` counts the slots of the first two lists, `used` those with references.
#[derive(Debug)]
pub struct ActivityLog<'m> {
    slots: &'m mut [ExtentSlot],
    first_free: u16,
    newest_idle: u16,
    oldest_idle: u16,
    idle_or_free: usize,
    /// Changes for the next transaction.
    next: Updates,
    /// Changes of the transaction in flight, or of the one that failed.
    flight: Updates,
    in_flight: bool,
    /// All slots were in use: nobody gets one until one is idle, or those who wait for a slot would wait for ever.
    is_starving: bool,
    stripes: AlStripes,
    tr_number: u32,
    context_start: u16,
    statistics: Statistics,
}

impl<'m> ActivityLog<'m> {
    /// An empty log over `storage`: one slot for each extent that may be hot, 67 to 65534 (`al-extents`). What is more
    /// than [`AlStripes::max_extents`] is left unused.
    ///
    /// `tr_number` is the number of the first transaction. It is 0 after attach, where the ring is empty: should that
    /// one be torn, `drbdmeta` expects it in the first place. Where a log replaces another one, it is the number that
    /// would have been next there.
    pub fn new(storage: &'m mut [ExtentSlot], stripes: AlStripes, tr_number: u32) -> Self {
        let count = storage.len().min(u32_to_usize(stripes.max_extents()));
        let (slots, _) = storage.split_at_mut_checked(count).unwrap_or_default();
        let mut log = Self {
            slots,
            first_free: NONE,
            newest_idle: NONE,
            oldest_idle: NONE,
            idle_or_free: 0,
            next: Updates::EMPTY,
            flight: Updates::EMPTY,
            in_flight: false,
            is_starving: false,
            stripes,
            tr_number,
            context_start: 0,
            statistics: Statistics::default(),
        };
        log.reset();
        log
    }

    /// Makes all slots free. The numbering of transactions goes on.
    fn reset(&mut self) {
        let mut next_free = NONE;
        for (index, slot) in self.slots.iter_mut().enumerate().rev() {
            *slot = ExtentSlot {
                older: next_free,
                ..ExtentSlot::empty()
            };
            next_free = u16::try_from(index).unwrap_or(NONE);
        }
        self.first_free = next_free;
        self.newest_idle = NONE;
        self.oldest_idle = NONE;
        self.idle_or_free = self.slots.len();
        self.is_starving = false;
    }

    /// The number of slots.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// What happened so far.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// The number that the next transaction has.
    pub fn tr_number(&self) -> u32 {
        self.tr_number
    }

    /// Whether no extent is in use and no change is pending.
    pub fn is_idle(&self) -> bool {
        self.statistics.used == 0
            && !self.in_flight
            && self.next.count == 0
            && self.flight.count == 0
    }

    /// Gives the storage back.
    pub fn into_storage(self) -> &'m mut [ExtentSlot] {
        self.slots
    }

    /// Asks for one extent; see [`ActivityLog::get_range`].
    pub fn get(&mut self, extent: u32) -> Access {
        self.get_range(extent, extent)
    }

    /// Asks for the extents `first` to `last`, both included: all of them get a reference, or none.
    ///
    /// A request is at most 64 extents long, else the answer is [`Access::Full`]; the largest discard has 33.
    pub fn get_range(&mut self, first: u32, last: u32) -> Access {
        let (mut hits, mut misses, mut idle_hits): (usize, usize, usize) = (0, 0, 0);
        let mut is_hot = true;
        if last.saturating_sub(first) > MAX_RANGE {
            return Access::Full;
        }
        if self.is_starving {
            self.statistics.starving = self.statistics.starving.saturating_add(1);
            return Access::Full;
        }
        for extent in first..=last {
            let Some(slot) = self.find(extent).and_then(|index| self.slot(index)) else {
                misses = misses.saturating_add(1);
                continue;
            };
            hits = hits.saturating_add(1);
            if slot.is_changing() {
                is_hot = false;
            } else if slot.references == 0 {
                idle_hits = idle_hits.saturating_add(1);
            }
        }
        if misses > self.idle_or_free.saturating_sub(idle_hits) {
            self.is_starving = true;
            self.statistics.starving = self.statistics.starving.saturating_add(1);
            return Access::Full;
        }
        if misses > self.next.room() {
            self.statistics.locked = self.statistics.locked.saturating_add(1);
            return Access::Full;
        }
        // Those that have a slot first, so that no miss takes it away from them.
        for extent in first..=last {
            if let Some(index) = self.find(extent) {
                self.reference(index);
            }
        }
        if misses != 0 {
            for extent in first..=last {
                if self.find(extent).is_none() {
                    self.assign(extent);
                }
            }
        }
        self.statistics.hits = self.statistics.hits.saturating_add(usize_to_u64(hits));
        self.statistics.misses = self.statistics.misses.saturating_add(usize_to_u64(misses));
        match (is_hot && misses == 0, self.in_flight) {
            (true, _) => Access::Hot,
            (false, true) => Access::Pending,
            (false, false) => Access::NeedTransaction,
        }
    }

    /// Whether the disk says that `first` to `last`, both included, may be written to.
    pub fn is_hot(&self, first: u32, last: u32) -> bool {
        (first..=last).all(|extent| {
            let slot = self.find(extent).and_then(|index| self.slot(index));
            slot.is_some_and(|slot| !slot.is_changing())
        })
    }

    /// Gives a reference back. The write has ended, and if the peer lacks it, the bitmap knows. `false` where there was
    /// no reference, which is a mistake of the caller.
    pub fn put(&mut self, extent: u32) -> bool {
        let Some(index) = self.find(extent) else {
            return false;
        };
        let Some(slot) = self.slot_mut(index) else {
            return false;
        };
        let Some(references) = slot.references.checked_sub(1) else {
            return false;
        };
        slot.references = references;
        let is_idle = references == 0 && !slot.is_changing();
        if references == 0 {
            self.statistics.used = self.statistics.used.saturating_sub(1);
        }
        if is_idle {
            self.make_idle(index);
        }
        true
    }

    /// Gives the references of a request back: one for each of `first` to `last`, both included. `false` where one was
    /// missing.
    pub fn put_range(&mut self, first: u32, last: u32) -> bool {
        let mut all = true;
        for extent in first..=last {
            all &= self.put(extent);
        }
        all
    }

    /// Begins a transaction, if changes wait for one and none is in flight.
    pub fn begin_transaction(&mut self) -> Option<Begun> {
        if self.in_flight || self.flight.count == 0 && self.next.count == 0 {
            return None;
        }
        self.begin_context_transaction()
    }

    /// Begins a transaction even if nothing changes, as needed to fill a ring that has moved: one for each of its
    /// blocks, after all of which it holds the context of all slots.
    pub fn begin_context_transaction(&mut self) -> Option<Begun> {
        if self.in_flight {
            return None;
        }
        if self.flight.count == 0 {
            core::mem::swap(&mut self.next, &mut self.flight);
        }
        self.in_flight = true;
        Some(Begun {
            tr_number: self.tr_number,
            updates: self.flight.count,
        })
    }

    /// The extents that the transaction in flight drops from the log.
    pub fn evicted(&self) -> impl Iterator<Item = u32> + '_ {
        let slots = self.flight.iter().filter_map(|index| self.slot(index));
        slots
            .map(|slot| slot.extent)
            .filter(|extent| *extent != FREE_EXTENT)
    }

    /// Writes the transaction in flight; [`seal`](crate::meta::transaction::seal) it before it goes to the disk.
    pub fn encode(&self, block: &mut [u8; TRANSACTION_BYTES]) {
        let header = Header {
            tr_number: self.tr_number,
            kind: Kind::Update,
            update_count: 0,
            slot_count: u16::try_from(self.slots.len()).unwrap_or(u16::MAX),
            context_start: self.context_start,
        };
        let update = |index| self.slot(index).map(|slot| (index, slot.next_extent));
        let start = usize::from(self.context_start);
        let context = self.slots.iter().skip(start).map(|slot| slot.extent);
        transaction::encode(
            block,
            header,
            self.flight.iter().filter_map(update),
            context,
        );
    }

    /// The transaction in flight has ended. Does nothing where there is none.
    pub fn end_transaction(&mut self, outcome: Outcome) {
        if !self.in_flight {
            return;
        }
        self.in_flight = false;
        match outcome {
            Outcome::Failed => return,
            Outcome::Skipped => {}
            Outcome::Written => self.advance(),
        }
        let flight = core::mem::replace(&mut self.flight, Updates::EMPTY);
        self.statistics.changed = self
            .statistics
            .changed
            .saturating_add(usize_to_u64(flight.count));
        for index in flight.iter() {
            let Some(slot) = self.slot_mut(index) else {
                continue;
            };
            slot.extent = slot.next_extent;
            if slot.references == 0 {
                self.make_idle(index);
            }
        }
    }

    /// Moves number and context on. Neither moves when a transaction fails: the ring must have no hole, and the
    /// windows of its transactions must cover all slots.
    fn advance(&mut self) {
        self.tr_number = self.stripes.next_number(self.tr_number);
        let start = usize::from(self.context_start).saturating_add(CONTEXT_PER_TRANSACTION);
        let start = if start < self.slots.len() { start } else { 0 };
        self.context_start = u16::try_from(start).unwrap_or(0);
    }

    /// The ring has another size from now on; [`ActivityLog::begin_context_transaction`] fills it. Refused while a
    /// transaction is in flight, and where the ring is too small for the slots.
    pub fn set_stripes(&mut self, stripes: AlStripes) -> Result<(), InUse> {
        if self.in_flight || self.slots.len() > u32_to_usize(stripes.max_extents()) {
            return Err(InUse);
        }
        self.stripes = stripes;
        Ok(())
    }

    /// Forgets all extents. The whole bitmap must have been written before.
    pub fn clear(&mut self) -> Result<(), InUse> {
        if !self.is_idle() {
            return Err(InUse);
        }
        self.reset();
        Ok(())
    }

    /// Puts an extent that was found by [`replay`](crate::meta::transaction::replay) into an idle slot, as if it had
    /// been hot all the time. `false` where the slot does not exist or is taken, or where the extent has one already.
    pub fn restore(&mut self, slot: u16, extent: u32) -> bool {
        if extent == FREE_EXTENT || self.find(extent).is_some() || !self.take_free(slot) {
            return false;
        }
        if let Some(slot) = self.slot_mut(slot) {
            slot.extent = extent;
        }
        self.hash_in(slot, extent);
        self.make_idle(slot);
        true
    }

    /// The extents that the log on disk names, with their slots.
    pub fn hot_extents(&self) -> impl Iterator<Item = (u16, u32)> + '_ {
        let extents = (0..NONE).zip(self.slots.iter().map(|slot| slot.extent));
        extents.filter(|(_, extent)| *extent != FREE_EXTENT)
    }

    fn slot(&self, index: u16) -> Option<&ExtentSlot> {
        self.slots.get(usize::from(index))
    }

    fn slot_mut(&mut self, index: u16) -> Option<&mut ExtentSlot> {
        self.slots.get_mut(usize::from(index))
    }

    /// Takes a reference to a slot that has an extent.
    fn reference(&mut self, index: u16) {
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        let is_idle = slot.references == 0 && !slot.is_changing();
        let is_first = slot.references == 0;
        slot.references = slot.references.saturating_add(1);
        if is_idle {
            self.unlink_idle(index);
        }
        if is_first {
            self.statistics.used = self.statistics.used.saturating_add(1);
        }
    }

    /// Gives `extent` a slot that is free or idle, with a reference, and puts it into the next transaction.
    fn assign(&mut self, extent: u32) {
        let index = if self.first_free != NONE {
            let index = self.first_free;
            self.take_free(index);
            index
        } else {
            let index = self.oldest_idle;
            self.unlink_idle(index);
            self.hash_out(index);
            index
        };
        self.hash_in(index, extent);
        self.next.push(index);
        self.reference(index);
    }

    /// Takes slot `wanted` out of the free list; `false` where it is not in it.
    fn take_free(&mut self, wanted: u16) -> bool {
        let Some(after) = self.slot(wanted).map(|slot| slot.older) else {
            return false;
        };
        if self.first_free == wanted {
            self.first_free = after;
        } else {
            let mut before = self.first_free;
            while let Some(slot) = self.slot_mut(before) {
                if slot.older == wanted {
                    slot.older = after;
                    break;
                }
                before = slot.older;
            }
            if before == NONE {
                return false;
            }
        }
        self.idle_or_free = self.idle_or_free.saturating_sub(1);
        true
    }

    /// A hot slot has lost its last reference: it is now the newest of the idle ones.
    fn make_idle(&mut self, index: u16) {
        let older = core::mem::replace(&mut self.newest_idle, index);
        if let Some(slot) = self.slot_mut(index) {
            slot.newer = NONE;
            slot.older = older;
        }
        match self.slot_mut(older) {
            Some(slot) => slot.newer = index,
            None => self.oldest_idle = index,
        }
        self.idle_or_free = self.idle_or_free.saturating_add(1);
        self.is_starving = false;
    }

    fn unlink_idle(&mut self, index: u16) {
        let Some(ExtentSlot { newer, older, .. }) = self.slot(index).copied() else {
            return;
        };
        match self.slot_mut(newer) {
            Some(slot) => slot.older = older,
            None => self.newest_idle = older,
        }
        match self.slot_mut(older) {
            Some(slot) => slot.newer = newer,
            None => self.oldest_idle = newer,
        }
        self.idle_or_free = self.idle_or_free.saturating_sub(1);
    }

    /// The slot that has, or will have, `extent`.
    fn find(&self, extent: u32) -> Option<u16> {
        let mut index = self.slots.get(self.bucket(extent))?.bucket;
        while let Some(slot) = self.slot(index) {
            if slot.next_extent == extent {
                return Some(index);
            }
            index = slot.chain;
        }
        None
    }

    /// The hash chain of `extent`: multiplication spreads extents that are a fixed distance apart.
    fn bucket(&self, extent: u32) -> usize {
        let hash = u64::from(extent.wrapping_mul(0x9e37_79b1));
        u64_to_usize(
            hash.wrapping_mul(usize_to_u64(self.slots.len()))
                .wrapping_shr(32),
        )
    }

    fn hash_in(&mut self, index: u16, extent: u32) {
        let bucket = self.bucket(extent);
        let Some(head) = self.slots.get_mut(bucket) else {
            return;
        };
        let chain = core::mem::replace(&mut head.bucket, index);
        if let Some(slot) = self.slot_mut(index) {
            slot.next_extent = extent;
            slot.chain = chain;
        }
    }

    fn hash_out(&mut self, index: u16) {
        let Some(ExtentSlot {
            next_extent, chain, ..
        }) = self.slot(index).copied()
        else {
            return;
        };
        let bucket = self.bucket(next_extent);
        let Some(head) = self.slots.get_mut(bucket) else {
            return;
        };
        if head.bucket == index {
            head.bucket = chain;
            return;
        }
        let mut before = head.bucket;
        while let Some(slot) = self.slot_mut(before) {
            if slot.chain == index {
                slot.chain = chain;
                return;
            }
            before = slot.chain;
        }
    }
}

/// One less than the most extents in a request.
const MAX_RANGE: u32 = 63;

#[cfg(test)]
mod tests;
