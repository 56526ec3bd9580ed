// SPDX-License-Identifier: GPL-2.0-only

//! What was reached.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use drbd_core::resource::log::LogMessage;
use drbd_core::state::{ConnectionState, DiskState, Role, State};
use drbd_core::uuid::compare::Rule;
use drbd_core::wire::Command;

/// How often each state was entered, each packet sent, and so on.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    pub connections: BTreeMap<ConnectionState, u64>,
    pub disks: BTreeMap<DiskState, u64>,
    pub peer_disks: BTreeMap<DiskState, u64>,
    pub roles: BTreeMap<Role, u64>,
    /// Changes of the connection, then of the own disk.
    pub connection_changes: BTreeMap<(ConnectionState, ConnectionState), u64>,
    pub disk_changes: BTreeMap<(DiskState, DiskState), u64>,
    /// Packets by the number of their command.
    pub packets: BTreeMap<u16, u64>,
    /// Comparisons of UUIDs, by the place of the rule that decided.
    pub rules: BTreeMap<usize, u64>,
    pub happenings: RefCell<BTreeMap<&'static str, u64>>,
}

/// A thing that can be reached, in words: `packet WriteAck`.
pub type Thing = String;

impl Coverage {
    pub fn state(&mut self, old: &State, new: &State) {
        if old.connection != new.connection {
            *self.connections.entry(new.connection).or_default() += 1;
            let change = (old.connection, new.connection);
            *self.connection_changes.entry(change).or_default() += 1;
        }
        if old.disk != new.disk {
            *self.disks.entry(new.disk).or_default() += 1;
            *self.disk_changes.entry((old.disk, new.disk)).or_default() += 1;
        }
        if old.peer_disk != new.peer_disk {
            *self.peer_disks.entry(new.peer_disk).or_default() += 1;
        }
        if old.role != new.role {
            *self.roles.entry(new.role).or_default() += 1;
        }
        if new.connection == ConnectionState::SyncTarget
            && old.connection == ConnectionState::WFSyncUUID
        {
            self.count("resyncs begun");
        }
        if old.connection.is_resync() && new.connection == ConnectionState::Connected {
            self.count("resyncs ended");
        }
    }

    /// A line of the log says which rule decided about two histories.
    pub fn log(&mut self, message: &LogMessage) {
        if let LogMessage::UuidCompare { rule, .. } = message {
            let place = Rule::ALL.iter().position(|known| known == rule);
            *self.rules.entry(place.unwrap_or(0)).or_default() += 1;
        }
    }

    /// One more of this kind. Those who only look on may count, too.
    pub fn count(&self, what: &'static str) {
        *self.happenings.borrow_mut().entry(what).or_default() += 1;
    }

    /// How often something of this kind happened.
    pub fn happened(&self, what: &str) -> u64 {
        self.happenings.borrow().get(what).copied().unwrap_or(0)
    }

    /// The command of the packet that `bytes` begin with, in any of the three forms of a header; and its length.
    pub fn command(bytes: &[u8]) -> Option<(u16, usize)> {
        let field16 = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let field32 = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        Some(if field32(0)? == 0x8374_0267 {
            (field16(4)?, usize::from(field16(6)?) + 8)
        } else if field16(0)? == 0x835a {
            (field16(2)?, field32(4)? as usize + 8)
        } else {
            // 8620ec20, volume, command, length, pad
            (field16(6)?, field32(8)? as usize + 16)
        })
    }

    pub fn packet(&mut self, bytes: &[u8]) {
        if let Some((command, _)) = Self::command(bytes) {
            *self.packets.entry(command).or_default() += 1;
        }
    }

    pub fn packets(&mut self, bytes: &[u8]) {
        for command in Self::commands(bytes) {
            *self.packets.entry(command).or_default() += 1;
        }
    }

    /// The commands of several packets without payload.
    pub fn commands(mut bytes: &[u8]) -> Vec<u16> {
        let mut commands = Vec::new();
        while let Some((command, length)) = Self::command(bytes) {
            commands.push(command);
            bytes = bytes.get(length..).unwrap_or(&[]);
        }
        commands
    }

    pub fn add(&mut self, other: &Self) {
        fn sum<K: Ord + Copy>(mine: &mut BTreeMap<K, u64>, theirs: &BTreeMap<K, u64>) {
            for (key, count) in theirs {
                *mine.entry(*key).or_default() += count;
            }
        }
        sum(&mut self.connections, &other.connections);
        sum(&mut self.disks, &other.disks);
        sum(&mut self.peer_disks, &other.peer_disks);
        sum(&mut self.roles, &other.roles);
        sum(&mut self.connection_changes, &other.connection_changes);
        sum(&mut self.disk_changes, &other.disk_changes);
        sum(&mut self.packets, &other.packets);
        sum(&mut self.rules, &other.rules);
        sum(self.happenings.get_mut(), &other.happenings.borrow());
    }

    /// How often this was reached, by what it is.
    pub fn reached(&self) -> BTreeMap<Thing, u64> {
        let mut all = BTreeMap::new();
        for (state, count) in &self.connections {
            all.insert(format!("connection {}", state.name()), *count);
        }
        for (state, count) in &self.disks {
            all.insert(format!("disk {}", state.name()), *count);
        }
        for (state, count) in &self.peer_disks {
            all.insert(format!("peer-disk {}", state.name()), *count);
        }
        for (role, count) in &self.roles {
            all.insert(format!("role {}", role.name()), *count);
        }
        for ((old, new), count) in &self.connection_changes {
            all.insert(format!("change {} -> {}", old.name(), new.name()), *count);
        }
        for ((old, new), count) in &self.disk_changes {
            all.insert(format!("change {} -> {}", old.name(), new.name()), *count);
        }
        for command in Command::ALL {
            if let Some(count) = self.packets.get(&command.number()) {
                all.insert(format!("packet {}", command.name()), *count);
            }
        }
        for (place, count) in &self.rules {
            all.insert(rule_name(&Rule::ALL[*place]), *count);
        }
        all
    }

    /// What there is to be reached: every state, packet and rule of the engine, and the changes of state in the list.
    pub fn wanted() -> BTreeSet<Thing> {
        let connections = ConnectionState::ALL.iter();
        let disks = || DiskState::ALL.iter();
        let changes = include_str!("../coverage/changes.txt").lines();
        connections
            .map(|state| format!("connection {}", state.name()))
            .chain(disks().map(|state| format!("disk {}", state.name())))
            .chain(disks().map(|state| format!("peer-disk {}", state.name())))
            .chain(Role::ALL.iter().map(|role| format!("role {}", role.name())))
            .chain(
                Command::ALL
                    .iter()
                    .map(|command| format!("packet {}", command.name())),
            )
            .chain(Rule::ALL.iter().map(rule_name))
            .chain(
                changes
                    .filter(|line| line.contains("->"))
                    .map(|line| format!("change {}", line.trim())),
            )
            .collect()
    }
}

/// A rule of the comparison of UUIDs: its name, and the number that 8.4 logs.
fn rule_name(rule: &Rule) -> Thing {
    format!("rule {rule:?} ({})", rule.number())
}

/// What need not be reached, and why: `tests/sim/coverage/unreached.txt`, a line for each, `thing: reason`.
pub fn reasons() -> BTreeMap<Thing, String> {
    include_str!("../coverage/unreached.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(": "))
        .map(|(thing, reason)| (thing.trim().to_string(), reason.trim().to_string()))
        .collect()
}
