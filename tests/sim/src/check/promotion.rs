// SPDX-License-Identifier: GPL-2.0-only

//! Nobody becomes Primary on data that is not UpToDate, here or at a connected peer, unless by force.

use drbd_core::state::{ConnectionState, DiskState, Role, State};

use crate::admin::Admin;
use crate::world::World;

impl World<'_> {
    pub fn check_promotion(&mut self, node: usize, volume: u8, old: &State, new: &State) {
        if old.role == Role::Primary || new.role != Role::Primary {
            return;
        }
        self.coverage.count("promotions");
        let data = new.disk == DiskState::UpToDate
            || (new.connection >= ConnectionState::Connected
                && new.peer_disk == DiskState::UpToDate);
        // By force, the data is declared UpToDate in the same step: what it was before is what counts.
        let forced = self.nodes[node].life.as_ref().is_some_and(|life| {
            life.running
                .as_ref()
                .is_some_and(|running| matches!(running.command, Admin::PromoteForced(_)))
        }) || self
            .ended
            .iter()
            .rev()
            .take(10)
            .any(|(on, command, _)| *on == node && matches!(command, Admin::PromoteForced(_)));
        let declared = old.disk < DiskState::UpToDate && new.disk == DiskState::UpToDate;
        if !data || (declared && !forced) {
            self.fail(format!(
                "node {node}: volume {volume} was promoted on {}",
                old.disk.name()
            ));
        }
    }
}
