// SPDX-License-Identifier: GPL-2.0-only

//! Applications: what they ask for, and what they were told.

use std::collections::BTreeMap;

use drbd_core::config::policy::Protocol;
use drbd_core::resource::effect::Outcome;
use drbd_core::resource::request::{Io, Operation};
use drbd_core::state::State;

use crate::admin::Admin;
use crate::check::Crash;
use crate::node::Application;
use crate::rng::Rng;
use crate::world::{Ev, Moment, World};

/// Sets the chance of applications apart from that of troubles.
const THOUGHTS: u64 = 0x7468_6f75_6768_7473;

/// Sectors of an extent of the activity log.
const AL_EXTENT: u64 = 8192;

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
    /// How often the peer had booted when this was submitted.
    pub peer_boot: u32,
    /// How many times the peer had attached a disk by then.
    pub peer_attaches: usize,
    /// The link over which it is mirrored, if it is.
    pub link: Option<u32>,
    /// The own disk was UpToDate.
    pub good_disk: bool,
    /// The protocol when this was submitted, or a weaker one that came while it was under way.
    pub protocol: Protocol,
}

impl Record {
    /// Whether this writes to a sector.
    pub fn writes(&self, volume: u8, sector: u64) -> bool {
        self.volume == volume
            && self.io.is_write()
            && (self.io.sector..self.io.sector + self.io.sectors()).contains(&sector)
    }
}

/// All requests, by their number.
#[derive(Default)]
pub struct History {
    pub records: BTreeMap<u64, Record>,
    pub next: u64,
    /// By node and volume: when the latest flush that succeeded was submitted.
    pub flushes: BTreeMap<(usize, u8), u64>,
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
        read_ahead: false,
    }
}

impl World<'_> {
    pub fn history_begins(&mut self, node: usize, volume: u8, io: &Io, values: &[u64]) -> u64 {
        self.history.next += 1;
        let number = self.history.next;
        if number % 1000 == 0 && self.plan.is_some() {
            let long_ago = self.now.saturating_sub(30_000_000);
            self.history.records.retain(|_, record| {
                record.ended.is_none_or(|(ended, _)| ended > long_ago)
                    || record.io.is_write() && record.ended.is_none_or(|(_, good)| !good)
            });
        }
        self.history.records.insert(
            number,
            Record {
                node,
                volume,
                io: *io,
                submitted: self.now,
                ended: None,
                values: values.to_vec(),
                peer_boot: self.nodes[1 - node].boot,
                peer_attaches: self.nodes[1 - node].attaches,
                link: self.mirroring_link(node, volume),
                good_disk: self.disk_is_good(node, volume),
                protocol: self.nodes[node].net.wire_protocol,
            },
        );
        self.tell(node, || {
            format!(
                "request {number}, volume {volume}: {:?} {}+{}",
                io.operation,
                io.sector,
                io.sectors()
            )
        });
        self.manager_submitted(node, io);
        let record = self.history.records[&number].clone();
        self.check(|checker, world| checker.begins(world, number, &record));
        number
    }

    /// Whether an application has not yet heard the end of a write there.
    pub fn is_being_written(&self, volume: u8, sector: u64) -> bool {
        self.history
            .records
            .values()
            .any(|record| record.ended.is_none() && record.writes(volume, sector))
    }

    /// From now on writes are acknowledged by this protocol, those under way among them that did not begin yet.
    pub fn protocol_changes(&mut self, protocol: Protocol) {
        for record in self.history.records.values_mut() {
            if record.ended.is_none() && protocol.number() < record.protocol.number() {
                record.protocol = protocol;
            }
        }
    }

    pub fn history_ends(
        &mut self,
        node: usize,
        volume: u8,
        application: &Application,
        outcome: Outcome,
    ) {
        let now = self.now;
        let number = application.number;
        self.tell(node, || format!("request {number}: {outcome:?}"));
        let Some(record) = self.history.records.get_mut(&number) else {
            return;
        };
        record.ended = Some((now, outcome.is_success()));
        if application.io.operation == Operation::Read {
            record.values = application.values.clone();
        }
        let record = record.clone();
        if record.io.preflush && outcome.is_success() {
            let latest = self.history.flushes.entry((node, volume)).or_default();
            *latest = record.submitted.max(*latest);
        }
        self.coverage
            .count(match (record.io.operation, outcome.is_success()) {
                (_, false) => "requests that failed",
                (Operation::Read, _) => "reads",
                (Operation::Write, _) => "writes",
                (Operation::Flush, _) => "flushes",
                _ => "discards",
            });
        if record.io.is_write() || record.io.preflush {
            self.moment_of(0, Moment::Told);
            self.moment_of(1, Moment::Told);
        }
        self.manager_ended(node, &record.io);
        self.check(|checker, world| checker.ends(world, number, &record));
    }

    /// A volume of a node changed its state.
    pub fn history_state(&mut self, node: usize, volume: u8, old: &State, new: &State) {
        self.check(|checker, world| checker.state_changed(world, node, volume, old, new));
        self.manager_state(node, old, new);
    }

    /// A node crashed and its disks lost these sectors, which held something else before.
    pub fn history_crash(&mut self, node: usize, lost: Vec<Vec<(u64, u64)>>) {
        let now = self.now;
        let open = self
            .history
            .records
            .iter_mut()
            .filter(|(_, record)| record.node == node && record.ended.is_none())
            .map(|(number, record)| {
                record.ended = Some((now, false));
                (*number, record.clone())
            })
            .collect();
        let crash = Crash { node, open, lost };
        self.check(|checker, world| checker.crashed(world, &crash));
        self.manager_crash(&crash);
    }

    /// The load of a Primary: from time to time something is submitted.
    pub fn application(&mut self, node: usize) {
        let boot = self.nodes[node].boot;
        let primary = self.is_primary(node, 0);
        let Some(plan) = self.plan.as_mut() else {
            return;
        };
        if self.now >= plan.end {
            return;
        }
        plan.thoughts += 1;
        let (number, most, pause) = (plan.thoughts, plan.depth, plan.think);
        let mut rng = Rng::branch(self.seed ^ THOUGHTS, number);
        // Who is no Primary looks less often whether it became one.
        let patience = if primary { 1 } else { 5 };
        let at = self.now + rng.range(1, pause.max(1)) * patience;
        self.push(at, Ev::Application(node, boot));
        let volume = rng.volume(self);
        if self.script.thoughts.contains(&number) || !self.is_primary(node, usize::from(volume)) {
            return;
        }
        let leaves = self.nodes[node].life.as_ref().is_none_or(|life| {
            let demotes = |command: Admin| matches!(command, Admin::Demote(_));
            life.requests.len() + life.backlog.len() >= most
                || life.admin.iter().copied().any(demotes)
                || life
                    .running
                    .as_ref()
                    .is_some_and(|running| demotes(running.command))
        });
        let blind = self.plan().orderly && !self.has_data(node, volume);
        if leaves || blind || self.history.next > 8000 {
            return;
        }
        self.submit_something(node, volume, &mut rng);
    }

    fn submit_something(&mut self, node: usize, volume: u8, rng: &mut Rng) {
        let size = self.engine_size(node, usize::from(volume));
        if size == 0 {
            return;
        }
        let spots = self.plan().spots;
        let spot = rng.below(spots);
        let first = (size / spots * spot + rng.below(40)).min(size - 1);
        let first = self.across_extents(first, size, rng);
        let most = (size - first).min(*rng.pick(&[1, 8, 8, 8, 32, 200]));
        let sectors = if rng.chance(50) {
            most
        } else {
            rng.range(1, most)
        };
        let operation = match rng.below(100) {
            0..=24 => Operation::Read,
            25..=34 => Operation::Flush,
            35..=38 => Operation::Discard,
            39..=40 => Operation::WriteZeroes,
            _ => Operation::Write,
        };
        let (operation, sectors) = self.within_limits(node, volume, operation, sectors);
        let mut io = if operation == Operation::Flush {
            io(operation, 0, 0)
        } else {
            io(operation, first, sectors)
        };
        let write = operation == Operation::Write;
        io.preflush = operation == Operation::Flush || (write && rng.chance(5));
        io.fua = write && rng.chance(5);
        io.sync = rng.chance(20);
        io.unmap &= rng.chance(80);
        io.read_ahead = operation == Operation::Read && rng.chance(10);
        let value = self.history.next + 1;
        let values = match operation {
            Operation::Write => vec![value; sectors as usize],
            Operation::Discard | Operation::WriteZeroes => vec![0; sectors as usize],
            _ => Vec::new(),
        };
        self.submit(node, volume, io, values);
    }

    /// On a disk of several extents of the activity log, some requests begin just before the next one.
    fn across_extents(&self, first: u64, size: u64, rng: &mut Rng) -> u64 {
        if size <= 2 * AL_EXTENT || !rng.chance(30) {
            return first;
        }
        let border = rng.range(1, size / AL_EXTENT) * AL_EXTENT;
        border.min(size) - rng.range(1, 20)
    }

    /// What the block layer makes of it, as far as it knows the peer.
    fn within_limits(
        &self,
        node: usize,
        volume: u8,
        operation: Operation,
        sectors: u64,
    ) -> (Operation, u64) {
        let Some(life) = self.nodes[node].life.as_ref() else {
            return (operation, sectors);
        };
        let limits = &life.limits[usize::from(volume)];
        let operation = match operation {
            Operation::Discard if !limits.discards => Operation::Write,
            Operation::WriteZeroes if !limits.write_zeroes => Operation::Write,
            other => other,
        };
        match operation {
            Operation::Read | Operation::Write => {
                (operation, sectors.min(u64::from(limits.max_bio_size >> 9)))
            }
            _ => (operation, sectors),
        }
    }

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
