// SPDX-License-Identifier: GPL-2.0-only

//! What is going to happen, by time; and at the same time in the order in which it was decided.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::Ev;

struct Entry {
    at: u64,
    order: u64,
    event: Ev,
}

impl Entry {
    fn key(&self) -> (u64, u64) {
        (self.at, self.order)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[derive(Default)]
pub struct Agenda {
    entries: BinaryHeap<Reverse<Entry>>,
    order: u64,
}

impl Agenda {
    pub fn push(&mut self, at: u64, event: Ev) {
        self.order += 1;
        let order = self.order;
        self.entries.push(Reverse(Entry { at, order, event }));
    }

    pub fn pop(&mut self) -> Option<(u64, Ev)> {
        let Reverse(entry) = self.entries.pop()?;
        Some((entry.at, entry.event))
    }

    pub fn next_at(&self) -> Option<u64> {
        self.entries.peek().map(|Reverse(entry)| entry.at)
    }
}
