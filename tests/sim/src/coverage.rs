// SPDX-License-Identifier: GPL-2.0-only

//! What was reached.

use std::cell::RefCell;
use std::collections::BTreeMap;

use drbd_core::state::{ConnectionState, DiskState, State};
use drbd_core::wire::Command;

/// How often each state was entered and each packet sent.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    pub connections: BTreeMap<&'static str, u64>,
    pub disks: BTreeMap<&'static str, u64>,
    pub peer_disks: BTreeMap<&'static str, u64>,
    pub packets: BTreeMap<&'static str, u64>,
    pub happenings: RefCell<BTreeMap<&'static str, u64>>,
}

impl Coverage {
    pub fn state(&mut self, state: &State) {
        *self.connections.entry(state.connection.name()).or_default() += 1;
        *self.disks.entry(state.disk.name()).or_default() += 1;
        *self.peer_disks.entry(state.peer_disk.name()).or_default() += 1;
    }

    /// One more of this kind. Those who only look on may count, too.
    pub fn count(&self, what: &'static str) {
        *self.happenings.borrow_mut().entry(what).or_default() += 1;
    }

    /// The command of the packet that `bytes` begin with, in any of the three forms of a header; and its length.
    fn command(bytes: &[u8]) -> Option<(Command, usize)> {
        let field16 = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let field32 = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (number, length, header) = if field32(0)? == 0x8374_0267 {
            (field16(4)?, usize::from(field16(6)?), 8)
        } else if field16(0)? == 0x835a {
            (field16(2)?, field32(4)? as usize, 8)
        } else {
            // 8620ec20, volume, command, length, pad
            (field16(6)?, field32(8)? as usize, 16)
        };
        Some((Command::try_from(number).ok()?, header + length))
    }

    pub fn packet(&mut self, bytes: &[u8]) {
        if let Some((command, _)) = Self::command(bytes) {
            *self.packets.entry(command.name()).or_default() += 1;
        }
    }

    pub fn packets(&mut self, mut bytes: &[u8]) {
        while let Some((command, length)) = Self::command(bytes) {
            *self.packets.entry(command.name()).or_default() += 1;
            bytes = bytes.get(length..).unwrap_or(&[]);
        }
    }

    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.connections, &other.connections),
            (&mut self.disks, &other.disks),
            (&mut self.peer_disks, &other.peer_disks),
            (&mut self.packets, &other.packets),
            (self.happenings.get_mut(), &other.happenings.borrow()),
        ] {
            for (name, count) in theirs {
                *mine.entry(name).or_default() += count;
            }
        }
    }

    /// What was never reached.
    pub fn missing(&self) -> Vec<String> {
        let connections = ConnectionState::ALL
            .iter()
            .map(|state| state.name())
            .filter(|name| !self.connections.contains_key(name));
        let disks = DiskState::ALL
            .iter()
            .map(|state| state.name())
            .filter(|name| !self.disks.contains_key(name));
        connections
            .map(|name| format!("connection {name}"))
            .chain(disks.map(|name| format!("disk {name}")))
            .collect()
    }
}
