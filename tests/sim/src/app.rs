// SPDX-License-Identifier: GPL-2.0-only

//! Applications, and what they were told.

use std::collections::BTreeMap;

use drbd_core::resource::effect::Outcome;
use drbd_core::resource::request::{Io, Operation};
use drbd_core::state::State;

use crate::node::Application;
use crate::world::World;

/// What became of a request.
#[derive(Clone, Debug)]
pub struct Record {
    pub node: usize,
    pub volume: u8,
    pub io: Io,
    pub submitted: u64,
    pub ended: Option<(u64, bool)>,
    /// What was read.
    pub values: Vec<u64>,
}

/// All requests, by their number.
pub struct History {
    pub records: BTreeMap<u64, Record>,
    pub next: u64,
}

impl History {
    pub fn new(_volumes: usize) -> Self {
        Self {
            records: BTreeMap::new(),
            next: 1,
        }
    }
}

/// An ordinary request.
pub fn io(operation: Operation, sector: u64, sectors: u64) -> Io {
    Io {
        operation,
        sector,
        size: (sectors * 512) as u32,
        preflush: false,
        fua: false,
        sync: false,
        unmap: operation == Operation::Discard,
    }
}

impl World<'_> {
    pub fn history_begins(&mut self, node: usize, volume: u8, io: &Io, _values: &[u64]) -> u64 {
        let number = self.history.next;
        self.history.next += 1;
        self.history.records.insert(
            number,
            Record {
                node,
                volume,
                io: *io,
                submitted: self.now,
                ended: None,
                values: Vec::new(),
            },
        );
        self.tell(node, || {
            format!(
                "request {number}: {:?} {}+{}",
                io.operation,
                io.sector,
                io.sectors()
            )
        });
        number
    }

    pub fn history_ends(
        &mut self,
        node: usize,
        _volume: u8,
        application: &Application,
        outcome: Outcome,
    ) {
        let now = self.now;
        let number = application.number;
        self.tell(node, || format!("request {number}: {outcome:?}"));
        if let Some(record) = self.history.records.get_mut(&number) {
            record.ended = Some((now, outcome.is_success()));
            if application.io.operation == Operation::Read {
                record.values = application.values.clone();
            }
        }
    }

    pub fn history_state(&mut self, _node: usize, _volume: u8, _old: &State, _new: &State) {}

    pub fn history_crash(&mut self, _node: usize, _lost: Vec<Vec<u64>>) {}

    pub fn application(&mut self, _node: usize) {}

    /// Writes, and waits for the end.
    pub fn write(&mut self, node: usize, sector: u64, sectors: u64, value: u64) -> bool {
        let number = self.submit(
            node,
            0,
            io(Operation::Write, sector, sectors),
            vec![value; sectors as usize],
        );
        self.request_result(number) == Some(true)
    }

    pub fn request_result(&mut self, number: u64) -> Option<bool> {
        self.run_until(20_000_000, |world| {
            world.history.records[&number].ended.is_some()
        });
        self.history.records[&number].ended.map(|(_, good)| good)
    }
}
