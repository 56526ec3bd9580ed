// SPDX-License-Identifier: GPL-2.0-only

//! A read returns what was written last, or what is being written meanwhile: nothing older, nothing else.

use std::collections::BTreeMap;

use drbd_core::config::policy::Protocol;
use drbd_core::resource::request::{Io, Operation};

use crate::app::Record;
use crate::world::World;

/// A value that a sector may have.
#[derive(Clone, Debug)]
struct Value {
    value: u64,
    /// The request that writes it; 0 for what was there before.
    number: u64,
    submitted: u64,
    ended: Option<u64>,
    /// A later write was done at this moment: since then this is the past.
    past_since: Option<u64>,
}

/// What each sector may hold.
#[derive(Default)]
pub struct Reads {
    /// False where nothing is promised: histories that part.
    pub strict: bool,
    sectors: BTreeMap<(u8, u64), Vec<Value>>,
    /// What was on the disk that the first full sync copied.
    base: Vec<Vec<u64>>,
}

impl Reads {
    pub fn set_base(&mut self, volume: u8, values: Vec<u64>) {
        let volume = usize::from(volume);
        if self.base.len() <= volume {
            self.base.resize(volume + 1, Vec::new());
        }
        self.base[volume] = values;
    }

    fn values(&mut self, volume: u8, sector: u64) -> &mut Vec<Value> {
        let base = &self.base;
        self.sectors.entry((volume, sector)).or_insert_with(|| {
            let before = base
                .get(usize::from(volume))
                .and_then(|values| values.get(sector as usize));
            before
                .map(|value| Value {
                    value: *value,
                    number: 0,
                    submitted: 0,
                    ended: Some(0),
                    past_since: None,
                })
                .into_iter()
                .collect()
        })
    }

    pub fn begins(&mut self, now: u64, number: u64, volume: u8, io: &Io, values: &[u64]) {
        if !self.strict || !io.is_write() {
            return;
        }
        for (offset, value) in values.iter().enumerate() {
            self.values(volume, io.sector + offset as u64).push(Value {
                value: *value,
                number,
                submitted: now,
                ended: None,
                past_since: None,
            });
        }
    }

    /// A write succeeded: what was done before it began is past.
    fn write_ended(&mut self, now: u64, number: u64, record: &Record) {
        for sector in record.io.sector..record.io.sector + record.io.sectors() {
            let values = self.values(record.volume, sector);
            let Some(own) = values.iter_mut().find(|value| value.number == number) else {
                continue;
            };
            own.ended = Some(now);
            let begun = own.submitted;
            for other in values.iter_mut() {
                if other.ended.is_some_and(|ended| ended < begun) && other.past_since.is_none() {
                    other.past_since = Some(now);
                }
            }
            // Nobody reads for so long.
            values.retain(|value| value.past_since.is_none_or(|past| past + 60_000_000 > now));
        }
    }

    /// The node that was to write these is gone: nothing of it happens any more, and nobody was promised anything.
    pub fn node_died(&mut self, now: u64, numbers: &[(u64, Record)]) {
        for (number, record) in numbers {
            if !record.io.is_write() {
                continue;
            }
            for sector in record.io.sector..record.io.sector + record.io.sectors() {
                for value in self.values(record.volume, sector) {
                    if value.number == *number {
                        value.ended = Some(now);
                    }
                }
            }
        }
    }

    /// The disk that counts from now on lost its cache: this is what it has.
    pub fn allow(&mut self, volume: u8, sector: u64, held: u64) {
        for value in self.values(volume, sector) {
            if value.value == held {
                value.past_since = None;
            }
        }
    }

    /// What a sector may hold at `since` or later.
    pub fn allowed(&mut self, volume: u8, sector: u64, held: u64, since: u64) -> bool {
        let values = self.values(volume, sector);
        values.is_empty()
            || values.iter().any(|value| {
                value.value == held && value.past_since.is_none_or(|past| past >= since)
            })
    }

    fn describe(&mut self, volume: u8, sector: u64) -> String {
        format!("{:?}", self.values(volume, sector))
    }
}

impl World<'_> {
    pub fn check_read(&mut self, number: u64, record: &Record) {
        if !self.reads.strict {
            return;
        }
        let Some((ended, true)) = record.ended else {
            return;
        };
        // Who writes where no data is good is told so by the state, and was promised nothing.
        let promised = (record.good_disk && self.disk_is_good(record.node, record.volume))
            || (self.nodes[record.node].net.wire_protocol != Protocol::A
                && record.link.is_some()
                && record.link == self.mirroring_link(record.node, record.volume));
        if record.io.is_write() && promised {
            self.reads.write_ended(ended, number, record);
        }
        if record.io.operation != Operation::Read {
            return;
        }
        for (offset, held) in record.values.iter().enumerate() {
            let sector = record.io.sector + offset as u64;
            if !self
                .reads
                .allowed(record.volume, sector, *held, record.submitted)
            {
                let known = self.reads.describe(record.volume, sector);
                self.fail(format!(
                    "node {}: read {number} got {held} at sector {sector} of volume {}: {known}",
                    record.node, record.volume
                ));
                return;
            }
        }
    }
}
