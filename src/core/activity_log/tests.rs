// SPDX-License-Identifier: GPL-2.0-only

use super::*;
use crate::meta::{
    layout::AlStripes,
    transaction::{
        encode_initialized,
        replay,
        seal, //
    },
};
use proptest::prelude::*;
use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    vec,
    vec::Vec, //
};

type Block = [u8; TRANSACTION_BYTES];

fn storage(slots: usize) -> Vec<ExtentSlot> {
    vec![ExtentSlot::empty(); slots]
}

fn write(log: &mut ActivityLog<'_>) {
    log.begin_transaction().unwrap();
    log.end_transaction(Outcome::Written);
}

/// Checks the invariants of the type.
fn check(log: &ActivityLog<'_>) {
    let mut seen = BTreeSet::new();
    let mut index = log.first_free;
    while index != NONE {
        assert!(seen.insert(index));
        assert_eq!(log.slot(index).unwrap().next_extent, FREE_EXTENT);
        index = log.slot(index).unwrap().older;
    }
    let (mut index, mut newer) = (log.newest_idle, NONE);
    while index != NONE {
        assert!(seen.insert(index));
        let slot = log.slot(index).unwrap();
        assert!(slot.references == 0 && !slot.is_changing() && slot.newer == newer);
        (newer, index) = (index, slot.older);
    }
    assert_eq!(log.oldest_idle, newer);
    assert_eq!(log.idle_or_free, seen.len());
    for index in log.next.iter().chain(log.flight.iter()) {
        assert!(seen.insert(index) && log.slot(index).unwrap().is_changing());
    }
    let mut used = 0;
    let mut extents = BTreeSet::new();
    for (index, slot) in (0..).zip(log.slots.iter()) {
        used += u32::from(slot.references != 0);
        if slot.next_extent != FREE_EXTENT {
            assert!(extents.insert(slot.next_extent));
            assert_eq!(log.find(slot.next_extent), Some(index));
        }
        let is_referenced = slot.references != 0 && !slot.is_changing();
        assert!(
            seen.contains(&index) != is_referenced,
            "slot {index} is in one list, or in use"
        );
    }
    assert_eq!(log.statistics.used, used);
}

#[test]
fn an_extent_is_hot_once_its_transaction_is_written() {
    let mut storage = storage(67);
    let mut log = ActivityLog::new(&mut storage, AlStripes::standard(), 0);
    assert_eq!(log.get(5), Access::NeedTransaction);
    assert_eq!(log.get(5), Access::NeedTransaction);
    assert_eq!(
        log.begin_transaction(),
        Some(Begun {
            tr_number: 0,
            updates: 1
        })
    );
    assert_eq!(log.begin_transaction(), None);
    assert_eq!(log.get(5), Access::Pending);
    assert_eq!(log.get(6), Access::Pending);
    assert!(!log.is_hot(5, 5));
    log.end_transaction(Outcome::Written);
    assert!(log.is_hot(5, 5) && !log.is_hot(5, 6));
    assert_eq!(log.get(5), Access::Hot);
    assert_eq!(
        log.begin_transaction(),
        Some(Begun {
            tr_number: 1,
            updates: 1
        })
    );
    log.end_transaction(Outcome::Written);
    assert!(log.is_hot(5, 6));
    assert_eq!(log.begin_transaction(), None);
    for _ in 0..4 {
        assert!(log.put(5));
    }
    assert!(!log.put(5) && !log.put(77));
    assert!(log.put(6) && log.is_idle());
    check(&log);
}

#[test]
fn the_extent_idle_longest_is_evicted_and_reported() {
    let mut storage = storage(3);
    let mut log = ActivityLog::new(&mut storage, AlStripes::standard(), 0);
    assert_eq!(log.get_range(1, 3), Access::NeedTransaction);
    write(&mut log);
    for extent in [2, 1, 3] {
        log.put(extent);
    }
    assert_eq!(log.get_range(2, 2), Access::Hot);
    assert_eq!(log.get(9), Access::NeedTransaction);
    assert_eq!(log.begin_transaction().unwrap().updates, 1);
    assert_eq!(log.evicted().collect::<Vec<_>>(), [1]);
    // The disk still names it, but nobody may use it any more.
    assert!(!log.is_hot(1, 1));
    log.end_transaction(Outcome::Written);
    assert_eq!(
        log.hot_extents()
            .map(|(_, extent)| extent)
            .collect::<BTreeSet<_>>(),
        [2, 3, 9].into()
    );
    check(&log);
}

#[test]
fn who_waits_for_a_slot_is_not_overtaken() {
    let mut storage = storage(2);
    let mut log = ActivityLog::new(&mut storage, AlStripes::standard(), 0);
    log.get_range(1, 2);
    write(&mut log);
    assert_eq!(log.get(3), Access::Full);
    assert_eq!(log.get(1), Access::Full);
    log.put(1);
    assert_eq!(log.get(3), Access::NeedTransaction);
    assert_eq!(log.statistics().starving, 2);
    check(&log);
}

#[test]
fn a_range_gets_all_or_nothing() {
    let mut storage = storage(4);
    let mut log = ActivityLog::new(&mut storage, AlStripes::standard(), 0);
    assert_eq!(log.get_range(10, 12), Access::NeedTransaction);
    assert_eq!(log.get_range(12, 14), Access::Full);
    log.begin_transaction().unwrap();
    log.end_transaction(Outcome::Written);
    assert!(log.put_range(10, 12));
    // One of them is idle already, and must not be the victim of the others.
    assert_eq!(log.get_range(12, 15), Access::NeedTransaction);
    assert_eq!(log.statistics().used, 4);
    assert_eq!(log.get_range(0, 64), Access::Full);
    check(&log);
}

#[test]
fn a_transaction_holds_64_changes() {
    let mut storage = storage(200);
    let mut log = ActivityLog::new(&mut storage, AlStripes::standard(), 0);
    for extent in 0..64 {
        assert_eq!(log.get(extent), Access::NeedTransaction);
    }
    assert_eq!(log.get(64), Access::Full);
    assert_eq!(log.get(3), Access::NeedTransaction);
    assert_eq!(log.begin_transaction().unwrap().updates, 64);
    assert_eq!(log.get(64), Access::Pending);
    log.end_transaction(Outcome::Written);
    assert_eq!(
        log.begin_transaction(),
        Some(Begun {
            tr_number: 1,
            updates: 1
        })
    );
    assert_eq!(log.statistics().locked, 1);
    check(&log);
}

#[test]
fn a_failed_transaction_is_repeated() {
    let mut storage = storage(67);
    let mut log = ActivityLog::new(&mut storage, AlStripes::standard(), 7);
    log.get(1);
    let first = log.begin_transaction();
    log.get(2);
    log.end_transaction(Outcome::Failed);
    assert!(!log.is_hot(1, 1));
    assert_eq!(log.begin_transaction(), first);
    log.end_transaction(Outcome::Skipped);
    assert!(log.is_hot(1, 1));
    assert_eq!(
        log.begin_transaction(),
        Some(Begun {
            tr_number: 7,
            updates: 1
        })
    );
    assert_eq!(log.clear(), Err(InUse));
    check(&log);
}

#[test]
fn clear_and_restore() {
    let mut storage = storage(4);
    let mut log = ActivityLog::new(&mut storage, AlStripes::standard(), 0);
    log.get(1);
    write(&mut log);
    log.put(1);
    assert_eq!(log.clear(), Ok(()));
    assert_eq!(log.hot_extents().count(), 0);
    assert!(log.restore(2, 50));
    assert!(
        !log.restore(2, 51)
            && !log.restore(0, 50)
            && !log.restore(4, 52)
            && !log.restore(1, FREE_EXTENT)
    );
    assert_eq!(log.hot_extents().collect::<Vec<_>>(), [(2, 50)]);
    check(&log);
    assert_eq!(log.get(50), Access::Hot);
    assert_eq!(log.get_range(60, 62), Access::NeedTransaction);
    assert_eq!(log.get(63), Access::Full);
    check(&log);
}

#[test]
fn no_slots_are_no_trouble() {
    let mut log = ActivityLog::new(&mut [], AlStripes::standard(), 0);
    assert_eq!(log.get(1), Access::Full);
    assert!(!log.put(1) && !log.is_hot(1, 1));
    assert!(log.begin_context_transaction().is_some());
    log.encode(&mut [0; TRANSACTION_BYTES]);
    log.end_transaction(Outcome::Written);
}

/// What became of a write: the last three are reported as failed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Written,
    Lost,
    Torn,
    Unnoticed,
}

#[derive(Clone, Debug)]
enum Step {
    Get(u32, u32),
    Put(prop::sample::Index),
    Begin,
    End(End),
    Crash { torn: Option<bool> },
}

fn steps(extents: u32) -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![5 => Just(End::Written), 1 => Just(End::Lost), 1 => Just(End::Torn), 1 => Just(End::Unnoticed)];
    let step = prop_oneof![
        6 => (0..extents, 0u32..3).prop_map(|(first, more)| Step::Get(first, first + more)),
        5 => any::<prop::sample::Index>().prop_map(Step::Put),
        3 => Just(Step::Begin),
        4 => end.prop_map(Step::End),
        2 => any::<Option<bool>>().prop_map(|torn| Step::Crash { torn }),
    ];
    prop::collection::vec(step, 1..200)
}

/// A log, its ring on disk, and what a simple mind expects.
struct World<'m> {
    log: ActivityLog<'m>,
    ring: Vec<Block>,
    stripes: AlStripes,
    /// Requests that hold references.
    requests: Vec<(u32, u32)>,
    /// The block that is being written.
    flight: Option<(usize, Block)>,
}

impl World<'_> {
    fn step(&mut self, step: Step) {
        self.step_unchecked(step);
        self.check_references();
    }

    fn step_unchecked(&mut self, step: Step) {
        match step {
            Step::Get(first, last) => match self.log.get_range(first, last) {
                Access::Full => {}
                access => {
                    self.requests.push((first, last));
                    assert_eq!(access == Access::Hot, self.log.is_hot(first, last));
                    assert!(access != Access::NeedTransaction || self.flight.is_none());
                    assert!(access != Access::Pending || self.flight.is_some());
                }
            },
            Step::Put(which) if !self.requests.is_empty() => {
                let (first, last) = self.requests.swap_remove(which.index(self.requests.len()));
                assert!(self.log.put_range(first, last));
            }
            Step::Put(_) => {}
            Step::Begin => {
                if let Some(begun) = self.log.begin_transaction() {
                    assert!(self.flight.is_none());
                    let mut block = [0; TRANSACTION_BYTES];
                    self.log.encode(&mut block);
                    seal(&mut block);
                    let place = self.stripes.block(self.stripes.position(begun.tr_number));
                    self.flight = Some((place as usize, block));
                }
            }
            Step::End(end) => {
                if let Some((place, block)) = self.flight.take() {
                    match end {
                        End::Written | End::Unnoticed => self.ring[place] = block,
                        End::Torn => self.ring[place] = torn_block(block, &self.ring[place]),
                        End::Lost => {}
                    }
                    let is_written = end == End::Written;
                    let outcome = if is_written {
                        Outcome::Written
                    } else {
                        Outcome::Failed
                    };
                    self.log.end_transaction(outcome);
                }
            }
            Step::Crash { torn } => self.look_at_the_disk(torn),
        }
    }

    /// What would a crash right now leave? The block in flight is not there, there, or torn.
    fn look_at_the_disk(&self, torn: Option<bool>) {
        let mut ring = self.ring.clone();
        if let Some((place, block)) = self.flight {
            match torn {
                None => {}
                Some(false) => ring[place] = block,
                Some(true) => ring[place] = torn_block(block, &ring[place]),
            }
        }
        let mut slots = vec![0; self.log.capacity()];
        let replayed = replay(self.stripes, |block| &ring[block as usize], &mut slots).unwrap();
        assert!(replayed.damaged <= 1 && replayed.out_of_range == 0);
        let found: BTreeSet<u32> = slots.into_iter().collect();
        let evicted: BTreeSet<u32> = self.log.evicted().collect();
        for (_, extent) in self.log.hot_extents() {
            let is_evicted = evicted.contains(&extent) && !self.log.is_hot(extent, extent);
            assert!(
                found.contains(&extent) || is_evicted,
                "extent {extent} is lost"
            );
        }
        for (first, last) in &self.requests {
            for extent in (*first..=*last).filter(|extent| self.log.is_hot(*extent, *extent)) {
                assert!(
                    found.contains(&extent),
                    "extent {extent} is in use and lost"
                );
            }
        }
    }

    fn check_references(&self) {
        check(&self.log);
        let mut references = BTreeMap::new();
        for (first, last) in &self.requests {
            (*first..=*last).for_each(|extent| *references.entry(extent).or_insert(0) += 1);
        }
        for slot in self.log.slots.iter() {
            assert_eq!(
                slot.references,
                references.remove(&slot.next_extent).unwrap_or(0)
            );
        }
        assert!(references.is_empty());
    }
}

/// Half of what was to be written, and half of what was there.
fn torn_block(mut block: Block, old: &Block) -> Block {
    block[2000..].copy_from_slice(&old[2000..]);
    block[1000] ^= 1;
    block
}

fn run(slots: usize, stripes: AlStripes, first_number: u32, steps: Vec<Step>) {
    let mut block = [0; TRANSACTION_BYTES];
    encode_initialized(&mut block);
    let mut storage = storage(slots);
    let mut world = World {
        log: ActivityLog::new(&mut storage, stripes, first_number),
        ring: vec![block; stripes.blocks() as usize],
        stripes,
        requests: Vec::new(),
        flight: None,
    };
    for step in steps {
        world.step(step);
    }
}

proptest! {
    #[test]
    fn a_crash_at_any_time_loses_no_hot_extent(
        slots in 4usize..20, steps in steps(40), striped: bool,
        first_number in prop_oneof![Just(0), Just(!7), (u32::MAX - 300..u32::MAX - 12)],
    ) {
        let stripes = if striped { AlStripes::new(3, 4).unwrap() } else { AlStripes::standard() };
        run(slots, stripes, first_number, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nor_does_one_with_more_slots_than_a_context_holds(steps in steps(4001)) {
        run(2000, AlStripes::standard(), 0, steps);
    }
}

/// The most slots that the smallest ring can keep: seven windows of context, the eighth block torn.
#[test]
fn the_largest_log_for_the_ring_survives_a_torn_block() {
    let stripes = AlStripes::standard();
    let slots = stripes.max_extents();
    let mut block = [0; TRANSACTION_BYTES];
    encode_initialized(&mut block);
    let mut storage = storage(slots as usize);
    let mut world = World {
        log: ActivityLog::new(&mut storage, AlStripes::standard(), 0),
        ring: vec![block; 8],
        stripes,
        requests: Vec::new(),
        flight: None,
    };
    for first in (0..slots).step_by(64) {
        world.log.get_range(first, (first + 63).min(slots - 1));
        world.step_unchecked(Step::Begin);
        world.step_unchecked(Step::End(End::Written));
    }
    for round in 0..20 {
        let victim = round * 300;
        world.log.put(victim);
        world.log.get(slots + round);
        world.step_unchecked(Step::Begin);
        for torn in [None, Some(true), Some(false)] {
            world.look_at_the_disk(torn);
        }
        world.step_unchecked(Step::End(End::Written));
    }
    check(&world.log);
}
