// SPDX-License-Identifier: GPL-2.0-only

//! Nobody becomes Primary on data that is not UpToDate, here or at a connected peer, unless by force.

use drbd_core::state::{ConnectionState, DiskState, Role, State};

use super::{Checker, Verdict};
use crate::admin::Admin;
use crate::world::World;

pub struct Promotion;

impl Checker for Promotion {
    fn name(&self) -> &'static str {
        "promotion"
    }

    fn state_changed(
        &mut self,
        world: &World<'_>,
        node: usize,
        _volume: u8,
        old: &State,
        new: &State,
    ) -> Verdict {
        if old.role == Role::Primary || new.role != Role::Primary {
            return Ok(());
        }
        world.coverage.count("promotions");
        let data = new.disk == DiskState::UpToDate
            || (new.connection >= ConnectionState::Connected
                && new.peer_disk == DiskState::UpToDate);
        // By force, the data is declared UpToDate in the same step: what it was before is what counts.
        let declared = old.disk < DiskState::UpToDate && new.disk == DiskState::UpToDate;
        if !data || (declared && !by_force(world, node)) {
            return Err(format!("node {node} was promoted on {}", old.disk.name()));
        }
        Ok(())
    }
}

/// A promotion by force is under way there, or was until now.
fn by_force(world: &World<'_>, node: usize) -> bool {
    let forced = |command: Admin| matches!(command, Admin::PromoteForced(_));
    let running = world.nodes[node]
        .life
        .as_ref()
        .and_then(|life| life.running.as_ref());
    running.is_some_and(|running| forced(running.command))
        || world
            .ended
            .iter()
            .rev()
            .filter(|(on, ..)| *on == node)
            .take(10)
            .any(|(_, command, _)| forced(*command))
}
