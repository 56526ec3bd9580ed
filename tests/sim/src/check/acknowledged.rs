// SPDX-License-Identifier: GPL-2.0-only

//! Protocol C: a write that was acknowledged while the peer was UpToDate is on the peer's disk, and on the own one.

use drbd_core::config::policy::Protocol;
use drbd_core::state::DiskState;

use super::{Checker, Verdict};
use crate::app::Record;
use crate::world::World;

pub struct Acknowledged;

impl Checker for Acknowledged {
    fn name(&self) -> &'static str {
        "acknowledged"
    }

    fn ends(&mut self, world: &World<'_>, number: u64, record: &Record) -> Verdict {
        let Some((_, true)) = record.ended else {
            return Ok(());
        };
        let (node, volume) = (record.node, record.volume);
        let protocols = [record.protocol, world.nodes[node].net.wire_protocol];
        if !record.io.is_write() || protocols != [Protocol::C; 2] {
            return Ok(());
        }
        let Some(state) = world.engine_state(node, usize::from(volume)) else {
            return Ok(());
        };
        if state.disk == DiskState::UpToDate && !world.nodes[node].passed_on {
            check_content(world, node, number, record)?;
        }
        let peer = 1 - node;
        let mirrored = record.link.is_some() && record.link == world.mirroring_link(node, volume);
        // A peer that has crashed meanwhile, and not been missed yet, is another matter.
        // So is one that has just given its disk up, and perhaps attached it again: nobody promotes it.
        if mirrored
            && world.disk_is_good(peer, volume)
            && world.nodes[peer].life.is_some()
            && !world.nodes[peer].passed_on
            && world.nodes[peer].boot == record.peer_boot
            && world.nodes[peer].attaches == record.peer_attaches
        {
            check_content(world, peer, number, record)?;
        }
        Ok(())
    }
}

/// The disk of a node has what was written, or what was written at the same time.
fn check_content(world: &World<'_>, on: usize, number: u64, record: &Record) -> Verdict {
    let (io, volume) = (record.io, record.volume);
    let disk = &world.nodes[on].disks[usize::from(volume)];
    for (offset, held) in disk.look(io.sector, io.sectors()).iter().enumerate() {
        let sector = io.sector + offset as u64;
        if record.values.get(offset) != Some(held)
            && !has_rival(world, number, record, sector, *held)
        {
            return Err(format!(
                "write {number} was acknowledged, and node {on} has {held} at sector {sector} of volume {volume}"
            ));
        }
    }
    Ok(())
}

/// Another write that was not over when this one began may have won.
fn has_rival(world: &World<'_>, number: u64, record: &Record, sector: u64, held: u64) -> bool {
    let records = &world.history.records;
    records
        .get(&held)
        .into_iter()
        .map(|rival| (&held, rival))
        .chain(records.iter().rev().filter(|_| held == 0))
        .any(|(other, rival)| {
            *other != number
                && rival.volume == record.volume
                && rival.io.is_write()
                && (rival.io.sector..rival.io.sector + rival.io.sectors()).contains(&sector)
                && rival
                    .ended
                    .is_none_or(|(ended, _)| ended >= record.submitted)
                && rival.values.get((sector - rival.io.sector) as usize) == Some(&held)
        })
}
