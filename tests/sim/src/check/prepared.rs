// SPDX-License-Identifier: GPL-2.0-only

//! Before a target changes its data, its disk says that the data is worth nothing for now, and which blocks differ: a loss
//! of power may come at once, and may take what was acknowledged to the source and is still in the disk's cache.

use super::{Checker, Verdict};
use crate::metadata;
use crate::world::{World, BLOCK_SECTORS};

pub struct Prepared;

impl Checker for Prepared {
    fn name(&self) -> &'static str {
        "prepared"
    }

    fn resync_writes(
        &mut self,
        world: &World<'_>,
        node: usize,
        volume: u8,
        sector: u64,
        values: &[u64],
    ) -> Verdict {
        let disk = &world.nodes[node].disks[usize::from(volume)];
        let found = metadata::look(disk)?;
        if found.is_consistent() {
            return Err(format!(
                "node {node}: a resync writes to volume {volume}, which its superblock calls consistent"
            ));
        }
        // What could not be written since the resync began is marked in memory alone.
        if world.nodes[node].passed_on || found.is_full_sync() {
            return Ok(());
        }
        // A write that the source has seen as well may have made a block equal since the target asked for it.
        let is_there = |at: u64, value: u64| disk.look(at, 1).first() == Some(&value);
        let unmarked = (sector..)
            .zip(values)
            .filter(|(at, value)| !is_there(*at, **value))
            .map(|(at, _)| at / BLOCK_SECTORS)
            .find(|block| !found.marks(disk, *block));
        match unmarked {
            Some(block) => Err(format!(
                "node {node}: a resync writes block {block} of volume {volume}, which is not marked on its disk"
            )),
            None => Ok(()),
        }
    }
}
