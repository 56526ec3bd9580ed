// SPDX-License-Identifier: GPL-2.0-only

//! Where both nodes say that both disks are UpToDate and nothing is under way, the disks are equal.

use super::{Checker, Verdict};
use crate::world::World;

pub struct Equal;

impl Checker for Equal {
    fn name(&self) -> &'static str {
        "equal"
    }

    fn moment(&mut self, world: &World<'_>) -> Verdict {
        if !world.in_sync() || !world.is_idle() {
            return Ok(());
        }
        for volume in 0..world.setup.volumes {
            let [one, other] = [0, 1].map(|node| world.engine_size(node, volume));
            if one != other {
                return Err(format!(
                    "volume {volume}: {one} sectors here, {other} there"
                ));
            }
            let [alice, bob] = [0, 1].map(|node| world.nodes[node].disks[volume].look(0, one));
            if let Some(sector) = (0..one as usize).find(|at| alice[*at] != bob[*at]) {
                return Err(format!(
                    "volume {volume}: both UpToDate, and sector {sector} is {} and {}",
                    alice[sector], bob[sector]
                ));
            }
        }
        world.coverage.count("comparisons of both disks");
        Ok(())
    }
}
