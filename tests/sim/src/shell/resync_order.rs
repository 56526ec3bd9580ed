// SPDX-License-Identifier: GPL-2.0-only

//! `resync-after`: who has to wait is told so, and waits.

use drbd_core::resource::dependency::may_resync;
use drbd_core::resource::device::DeviceIndex;
use drbd_core::state::ConnectionState;

use crate::world::World;

impl World<'_> {
    /// What the module does when the state of a device changed, here for the volumes of one resource.
    pub(super) fn update_resync_order(&mut self, node: usize) {
        let volumes = self.setup.volumes as u8;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let engine = &mut life.engine;
        for _ in 0..=volumes {
            let mut changed = false;
            for volume in 0..volumes {
                let standing = |minor: u32| engine.standing(DeviceIndex(minor as u8));
                let wait = !may_resync(u32::from(volume), standing);
                if standing(u32::from(volume)).is_some_and(|standing| standing.waits) != wait {
                    changed |= engine.set_dependency_pause(DeviceIndex(volume), wait);
                }
            }
            if !changed {
                break;
            }
        }
    }

    /// All events are carried out: no volume resyncs beside the one that it lets go first.
    pub(super) fn check_resync_order(&mut self, node: usize) {
        if !self.setup.one_after_the_other {
            return;
        }
        if self.nodes[node]
            .life
            .as_ref()
            .is_none_or(|life| life.engine.has_events())
        {
            return;
        }
        for volume in 1..self.setup.volumes {
            let (Some(before), Some(state)) = (
                self.engine_state(node, volume - 1),
                self.engine_state(node, volume),
            ) else {
                return;
            };
            let runs = matches!(
                state.connection,
                ConnectionState::SyncSource | ConnectionState::SyncTarget
            );
            if runs && before.connection.is_resync() {
                self.fail(format!(
                    "node {node}: volume {volume} resyncs, and the one before it has not ended"
                ));
            } else if state.after_dependency_paused {
                self.coverage.count("resyncs that waited for another");
            }
        }
    }
}
