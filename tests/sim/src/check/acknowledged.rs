// SPDX-License-Identifier: GPL-2.0-only

//! Protocol C: a write that was acknowledged while the peer was UpToDate is on the peer's disk, and on the own one.

use drbd_core::config::policy::Protocol;
use drbd_core::state::{ConnectionState, DiskState};

use crate::app::Record;
use crate::world::World;

impl World<'_> {
    /// The link over which writes of a Primary go to an UpToDate peer.
    pub fn mirroring_link(&self, node: usize, volume: u8) -> Option<u32> {
        let state = self.engine_state(node, usize::from(volume))?;
        let mirrored = state.connection >= ConnectionState::Connected
            && state.peer_disk == DiskState::UpToDate;
        self.current_link(node).filter(|_| mirrored)
    }

    pub fn check_acknowledged(&mut self, node: usize, volume: u8, number: u64, record: &Record) {
        let Some((_, true)) = record.ended else {
            return;
        };
        if !record.io.is_write() || self.nodes[node].net.wire_protocol != Protocol::C {
            return;
        }
        let Some(state) = self.engine_state(node, usize::from(volume)) else {
            return;
        };
        if state.disk == DiskState::UpToDate {
            self.check_content(node, volume, number, record);
        }
        let peer = 1 - node;
        let mirrored = record.link.is_some() && record.link == self.mirroring_link(node, volume);
        // A peer that has crashed meanwhile, and not been missed yet, is another matter.
        // So is one that has just given its disk up: nobody promotes it.
        if mirrored
            && self.disk_is_good(peer, volume)
            && self.nodes[peer].life.is_some()
            && self.nodes[peer].boot == record.peer_boot
        {
            self.check_content(peer, volume, number, record);
        }
    }

    fn check_content(&mut self, on: usize, volume: u8, number: u64, record: &Record) {
        let io = record.io;
        let held = self.nodes[on].disks[usize::from(volume)].read(io.sector, io.sectors());
        for (offset, held) in held.into_iter().enumerate() {
            let sector = io.sector + offset as u64;
            if record.values.get(offset) == Some(&held) {
                continue;
            }
            // Another write that was not over when this one began may have won.
            let rival = self
                .history
                .records
                .get(&held)
                .into_iter()
                .map(|rival| (&held, rival))
                .chain(self.history.records.iter().rev().filter(|_| held == 0))
                .any(|(other, rival)| {
                    *other != number
                        && rival.volume == volume
                        && rival.io.is_write()
                        && (rival.io.sector..rival.io.sector + rival.io.sectors()).contains(&sector)
                        && rival
                            .ended
                            .is_none_or(|(ended, _)| ended >= record.submitted)
                        && rival.values.get((sector - rival.io.sector) as usize) == Some(&held)
                });
            if !rival {
                self.fail(format!(
                    "write {number} was acknowledged, and node {on} has {held} at sector {sector} of volume {volume}"
                ));
                return;
            }
        }
    }
}
