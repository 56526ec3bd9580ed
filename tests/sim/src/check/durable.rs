// SPDX-License-Identifier: GPL-2.0-only

//! What an application flushed, or wrote with FUA, survives the loss of power on the node where it did so.

use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState, State};

use super::{Checker, Crash, Verdict};
use crate::world::World;

#[derive(Default)]
pub struct Durable {
    /// When each node was the target of a resync last.
    target_at: [u64; 2],
}

impl Checker for Durable {
    fn name(&self) -> &'static str {
        "durable"
    }

    fn state_changed(
        &mut self,
        world: &World<'_>,
        node: usize,
        _volume: u8,
        _old: &State,
        new: &State,
    ) -> Verdict {
        if new.connection == ConnectionState::SyncTarget {
            self.target_at[node] = world.now;
        }
        Ok(())
    }

    fn crashed(&mut self, world: &World<'_>, crash: &Crash) -> Verdict {
        if world
            .plan
            .as_ref()
            .is_none_or(|plan| !plan.local_disk_always)
        {
            return Ok(());
        }
        for (volume, sectors) in crash.lost.iter().enumerate() {
            for (sector, before) in sectors {
                // A write of chaos writes its own number.
                if self.was_flushed(world, crash.node, volume as u8, *sector, *before) {
                    return Err(format!(
                        "node {}: write {before} was flushed, and sector {sector} did not survive",
                        crash.node
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Durable {
    fn was_flushed(
        &self,
        world: &World<'_>,
        node: usize,
        volume: u8,
        sector: u64,
        number: u64,
    ) -> bool {
        let Some(write) = world.history.records.get(&number) else {
            return false;
        };
        let ours = write.node == node
            && write.volume == volume
            && write.io.operation == Operation::Write
            && (write.io.sector..write.io.sector + write.io.sectors()).contains(&sector);
        let Some((done, true)) = write.ended.filter(|_| ours) else {
            return false;
        };
        // A target also writes what the source sends, and that may be the same once more.
        if self.target_at[node] >= done || !world.disk_is_good(node, volume) {
            return false;
        }
        write.io.fua
            || world
                .history
                .flushes
                .get(&(node, volume))
                .is_some_and(|submitted| *submitted > done)
    }
}
