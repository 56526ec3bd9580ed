// SPDX-License-Identifier: GPL-2.0-only

//! What an application wrote, flushed, and then wrote on top of: the peer's disk never has the second without the first, not
//! even after a loss of power. This is what barriers are for.

use std::collections::BTreeMap;

use drbd_core::resource::request::Operation;

use super::{Checker, Crash, Verdict};
use crate::app::Record;
use crate::world::World;

/// Flushes to remember of each volume of a node.
const MEMORY: usize = 200;

#[derive(Default)]
pub struct Order {
    /// Flushes that succeeded, by node and volume: when they were submitted, and when they ended.
    flushes: BTreeMap<(usize, u8), Vec<(u64, u64)>>,
}

impl Checker for Order {
    fn name(&self) -> &'static str {
        "order"
    }

    fn ends(&mut self, _world: &World<'_>, _number: u64, record: &Record) -> Verdict {
        if let (Operation::Flush, Some((ended, true))) = (record.io.operation, record.ended) {
            let flushes = self
                .flushes
                .entry((record.node, record.volume))
                .or_default();
            flushes.push((record.submitted, ended));
            if flushes.len() > MEMORY {
                flushes.remove(0);
            }
        }
        Ok(())
    }

    fn crashed(&mut self, world: &World<'_>, crash: &Crash) -> Verdict {
        for (volume, sectors) in crash.lost.iter().enumerate() {
            // A target gets blocks in the order of the disk.
            if !world.disk_is_good(crash.node, volume as u8) {
                continue;
            }
            for (sector, before) in sectors {
                let later = self.survivor(world, crash.node, volume as u8, *sector, *before);
                if let Some(later) = later {
                    return Err(format!(
                        "node {}: write {before} of the peer, at sector {sector}, is lost, and write {later}, which followed a flush of it, is there",
                        crash.node
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Order {
    /// A write that a flush keeps apart from the one that was lost, and that is on the disk.
    fn survivor(
        &self,
        world: &World<'_>,
        node: usize,
        volume: u8,
        sector: u64,
        number: u64,
    ) -> Option<u64> {
        let lost = world.history.records.get(&number)?;
        let (done, _) = lost.ended.filter(|(_, good)| *good)?;
        let of_peer = lost.node != node
            && lost.volume == volume
            && lost.link.is_some()
            && lost.io.operation == Operation::Write
            && (lost.io.sector..lost.io.sector + lost.io.sectors()).contains(&sector);
        if !of_peer {
            return None;
        }
        let disk = &world.nodes[node].disks[usize::from(volume)];
        // A resync brought an older block back, and only that is lost.
        let is_there = disk.look(sector, 1)[0];
        let overwritten = world
            .history
            .records
            .get(&is_there)
            .is_some_and(|record| record.node == lost.node && record.submitted > done);
        if overwritten {
            return None;
        }
        let flushes = self.flushes.get(&(lost.node, volume))?;
        let between = flushes.iter().find(|(submitted, _)| *submitted > done)?.1;
        disk.look(0, disk.device_sectors)
            .iter()
            .copied()
            .find(|held| {
                world.history.records.get(held).is_some_and(|later| {
                    later.node == lost.node
                        && later.volume == volume
                        && later.link == lost.link
                        && later.submitted > between
                })
            })
    }
}
