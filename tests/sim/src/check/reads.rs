// SPDX-License-Identifier: GPL-2.0-only

//! A read returns what was written last, or what is being written meanwhile: nothing older, nothing else.

use std::collections::BTreeMap;

use drbd_core::config::policy::Protocol;
use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState, Role, State};

use super::{Checker, Crash, Verdict};
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

impl Value {
    /// What was there before anybody wrote.
    fn of_before(value: u64) -> Self {
        Self {
            value,
            number: 0,
            submitted: 0,
            ended: Some(0),
            past_since: None,
        }
    }
}

/// What each sector may hold.
#[derive(Default)]
pub struct Reads {
    /// By volume and sector; empty where nothing is known.
    sectors: Vec<Vec<Vec<Value>>>,
    /// When each read that is under way was submitted.
    open: BTreeMap<u64, u64>,
    /// What was on the disk that the first full sync copied.
    base: Vec<Vec<u64>>,
    /// What a crash left on each node's disk, older than what was there, until it counts.
    left: [Vec<(u8, u64, u64)>; 2],
}

impl Reads {
    fn values(&mut self, volume: u8, sector: u64) -> &mut Vec<Value> {
        let (volume, sector) = (usize::from(volume), sector as usize);
        if self.sectors.len() <= volume {
            self.sectors.resize(volume + 1, Vec::new());
        }
        let sectors = &mut self.sectors[volume];
        if sectors.len() <= sector {
            sectors.resize(sector + 1, Vec::new());
        }
        let values = &mut sectors[sector];
        if values.is_empty() {
            let before = self.base.get(volume).and_then(|base| base.get(sector));
            values.extend(before.map(|value| Value::of_before(*value)));
        }
        values
    }

    /// A write succeeded: what was done before it began is past.
    fn write_ended(&mut self, now: u64, number: u64, record: &Record) {
        let oldest = self
            .open
            .values()
            .next()
            .map_or(now, |submitted| now.min(*submitted));
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
            // No read is under way for so long.
            values.retain(|value| value.past_since.is_none_or(|past| past >= oldest));
        }
    }

    /// What a node has after a crash is what applications see from now on.
    fn disk_counts(&mut self, node: usize) {
        for (volume, sector, held) in std::mem::take(&mut self.left[node]) {
            let values = self.values(volume, sector);
            let mut known = false;
            for value in values.iter_mut().filter(|value| value.value == held) {
                value.past_since = None;
                known = true;
            }
            if !known && !values.is_empty() {
                values.push(Value::of_before(held));
            }
        }
    }

    /// What a sector may hold at `since` or later.
    fn allowed(&mut self, volume: u8, sector: u64, held: u64, since: u64) -> bool {
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

impl Checker for Reads {
    fn name(&self) -> &'static str {
        "reads"
    }

    fn begins_with(&mut self, volume: u8, content: &[u64]) -> Verdict {
        let volume = usize::from(volume);
        if self.base.len() <= volume {
            self.base.resize(volume + 1, Vec::new());
        }
        self.base[volume] = content.to_vec();
        Ok(())
    }

    fn begins(&mut self, world: &World<'_>, number: u64, record: &Record) -> Verdict {
        if !world.promises() {
            return Ok(());
        }
        self.disk_counts(record.node);
        if record.io.operation == Operation::Read {
            self.open.insert(number, world.now);
        }
        if !record.io.is_write() {
            return Ok(());
        }
        for (offset, value) in record.values.iter().enumerate() {
            self.values(record.volume, record.io.sector + offset as u64)
                .push(Value {
                    value: *value,
                    number,
                    submitted: world.now,
                    ended: None,
                    past_since: None,
                });
        }
        Ok(())
    }

    fn ends(&mut self, world: &World<'_>, number: u64, record: &Record) -> Verdict {
        self.open.remove(&number);
        if !world.promises() {
            return Ok(());
        }
        let Some((ended, true)) = record.ended else {
            return Ok(());
        };
        if world.is_primary(record.node, usize::from(record.volume)) {
            self.disk_counts(record.node);
        }
        // Who writes where no data is good is told so by the state, and was promised nothing.
        let promised = (record.good_disk && world.disk_is_good(record.node, record.volume))
            || (record.protocol != Protocol::A
                && world.nodes[record.node].net.wire_protocol != Protocol::A
                && record.link.is_some()
                && record.link == world.mirroring_link(record.node, record.volume));
        if record.io.is_write() && promised {
            self.write_ended(ended, number, record);
        }
        if record.io.operation != Operation::Read {
            return Ok(());
        }
        for (offset, held) in record.values.iter().enumerate() {
            let sector = record.io.sector + offset as u64;
            if !self.allowed(record.volume, sector, *held, record.submitted) {
                let known = self.describe(record.volume, sector);
                return Err(format!(
                    "node {}: read {number} got {held} at sector {sector} of volume {}: {known}",
                    record.node, record.volume
                ));
            }
        }
        Ok(())
    }

    fn state_changed(
        &mut self,
        _world: &World<'_>,
        node: usize,
        _volume: u8,
        old: &State,
        new: &State,
    ) -> Verdict {
        let promoted = old.role != Role::Primary && new.role == Role::Primary;
        let source = matches!(
            new.connection,
            ConnectionState::SyncSource | ConnectionState::PausedSyncS
        );
        if promoted || source {
            self.disk_counts(node);
        }
        Ok(())
    }

    /// Nothing of what a dead node had under way happens any more, and nobody was promised anything.
    fn crashed(&mut self, world: &World<'_>, crash: &Crash) -> Verdict {
        for (number, _) in &crash.open {
            self.open.remove(number);
        }
        for (number, record) in crash.open.iter().filter(|(_, record)| record.io.is_write()) {
            for sector in record.io.sector..record.io.sector + record.io.sectors() {
                for value in self.values(record.volume, sector) {
                    if value.number == *number {
                        value.ended = Some(world.now);
                    }
                }
            }
        }
        for (volume, sectors) in crash.lost.iter().enumerate() {
            let disk = &world.nodes[crash.node].disks[volume];
            let held = sectors
                .iter()
                .map(|(sector, _)| (volume as u8, *sector, disk.look(*sector, 1)[0]));
            self.left[crash.node].extend(held);
        }
        Ok(())
    }
}
