// SPDX-License-Identifier: GPL-2.0-only

//! The last step of `drbdadm down`, and `drbdadm up` after it.

use drbd_core::state::{DiskState, Role};

use super::{AdminResult, Running};
use crate::world::{Ev, World};

/// What is on its way ends within so many microseconds.
const PATIENCE: u64 = 60_000_000;

impl World<'_> {
    /// Nothing may be left of a resource without disks and peer: no request, no I/O, no word to anybody.
    pub(super) fn remove(&mut self, node: usize, running: &mut Running) -> Option<AdminResult> {
        let life = self.nodes[node].life.as_ref()?;
        let configured = (0..self.setup.volumes).any(|volume| {
            self.engine_state(node, volume).is_none_or(|state| {
                state.disk != DiskState::Diskless || state.role != Role::Secondary
            })
        });
        if configured || !life.engine.is_stand_alone() {
            return Some(Err("still configured".into()));
        }
        let handlers_run = !life.helpers.is_idle();
        let idle = life.requests.is_empty()
            && life.backlog.is_empty()
            && life.disk_io.is_empty()
            && life.digesting == 0
            && life.peer_pages.is_empty()
            && life.sending.is_empty()
            && !life.engine.has_effects()
            && !life.engine.has_events()
            && !handlers_run;
        if !idle {
            if handlers_run {
                // They are called one after the other, and each takes its time.
                running.started = self.now;
            }
            if self.now.saturating_sub(running.started) > PATIENCE {
                let busy = self.busy();
                self.fail(format!("node {node}: down, and not idle{busy}"));
                return Some(Err("not idle".into()));
            }
            self.wait(node, running, 1000);
            return None;
        }
        self.tell(node, || "is down, and configured anew".into());
        self.boot(node);
        self.up(node);
        let boot = self.nodes[node].boot;
        self.push(self.now, Ev::Application(node, boot));
        Some(Ok(()))
    }
}
