// SPDX-License-Identifier: GPL-2.0-only

//! The administrator and the cluster manager, and what a good one knows.

use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::request::Io;
use drbd_core::state::{ConnectionState, DiskState, Role, State};

use super::Plan;
use crate::admin::Admin;
use crate::check::Crash;
use crate::node::DiskIo;
use crate::world::{Ev, World};

impl World<'_> {
    /// What is going to happen. Only where chaos reigns.
    pub fn plan(&self) -> &Plan {
        self.plan.as_ref().expect("a world of chaos has a plan")
    }

    /// In order, and no command under way.
    pub fn is_quiet(&self) -> bool {
        self.in_sync()
            && self.nodes.iter().all(|node| {
                node.life
                    .as_ref()
                    .is_none_or(|life| life.admin.is_empty() && life.running.is_none())
            })
    }

    /// Gives a command, unless some are waiting already.
    pub fn wish(&mut self, node: usize, command: Admin) -> bool {
        let idle = self.nodes[node]
            .life
            .as_ref()
            .is_some_and(|life| life.admin.len() < 4);
        if idle {
            self.coverage.count("commands");
            self.admin(node, command);
        }
        idle
    }

    /// Starts a node that is down, and all that belongs to it.
    pub fn start_again(&mut self, node: usize) {
        if self.nodes[node].life.is_none() {
            self.boot(node);
            self.up(node);
            let boot = self.nodes[node].boot;
            self.push(self.now, Ev::Application(node, boot));
        }
    }

    /// An administrator puts right what is not as it should be.
    pub fn repair(&mut self, node: usize) -> bool {
        let mut repaired = false;
        for volume in 0..self.setup.volumes {
            let Some(state) = self.engine_state(node, volume) else {
                return false;
            };
            if state.disk == DiskState::Diskless {
                repaired |= self.wish(node, Admin::Attach(volume as u8));
            }
            if volume == 0 && state.connection == ConnectionState::StandAlone {
                repaired |= self.wish(node, Admin::Connect);
            }
        }
        repaired
    }

    /// The cluster manager: a new Primary, where the rules allow one.
    pub fn move_primary(&mut self, node: usize) -> bool {
        let volumes = self.setup.volumes;
        let primary = (0..2).find(|node| (0..volumes).any(|volume| self.is_primary(*node, volume)));
        let (orderly, current) = (self.plan().orderly, self.plan().current);
        match primary {
            Some(node) if self.in_sync() && current == [true; 2] => {
                self.coverage.count("switch-overs");
                (0..volumes).all(|volume| self.wish(node, Admin::Demote(volume as u8)))
            }
            Some(_) => false,
            None => {
                let idle = |node: usize| {
                    self.nodes[node]
                        .life
                        .as_ref()
                        .is_none_or(|life| life.admin.is_empty() && life.running.is_none())
                };
                let may = !orderly || (current[node] && self.has_it(node) && idle(0) && idle(1));
                may && (0..volumes).all(|volume| self.wish(node, Admin::Promote(volume as u8)))
            }
        }
    }

    fn peer_has_it(&self, node: usize) -> bool {
        (0..self.setup.volumes).all(|volume| {
            self.engine_state(node, volume).is_some_and(|state| {
                state.connection >= ConnectionState::Connected
                    && state.peer_disk == DiskState::UpToDate
            })
        })
    }

    fn has_it(&self, node: usize) -> bool {
        (0..self.setup.volumes).all(|volume| {
            self.engine_state(node, volume)
                .is_some_and(|state| state.disk == DiskState::UpToDate)
        })
    }

    pub fn disk_is_good(&self, node: usize, volume: u8) -> bool {
        self.engine_state(node, usize::from(volume))
            .is_some_and(|state| state.disk == DiskState::UpToDate)
    }

    /// UpToDate data is in reach of a node.
    pub fn has_data(&self, node: usize, volume: u8) -> bool {
        self.engine_state(node, usize::from(volume))
            .is_some_and(|state| {
                state.disk == DiskState::UpToDate
                    || (state.connection >= ConnectionState::Connected
                        && state.peer_disk == DiskState::UpToDate)
            })
    }

    fn note_who_has_it(&mut self, node: usize) {
        let (own, peer) = (self.has_it(node), self.peer_has_it(node));
        if let Some(plan) = self.plan.as_mut() {
            plan.current[node] &= own;
            plan.current[1 - node] &= peer;
        }
    }

    /// Something may have changed on a node: a Primary that goes on leaves those behind that do not have its data.
    pub fn manager_looks(&mut self, node: usize) {
        let primary = (0..self.setup.volumes).any(|volume| self.is_primary(node, volume));
        if primary && self.plan.is_some() {
            self.note_who_has_it(node);
        }
    }

    pub fn manager_submitted(&mut self, node: usize, io: &Io) {
        if io.is_write() {
            self.note_who_has_it(node);
        }
    }

    pub fn manager_ended(&mut self, node: usize, io: &Io) {
        if io.is_write() {
            self.note_who_has_it(node);
        }
    }

    /// A volume of a node changed its state.
    pub fn manager_state(&mut self, node: usize, old: &State, new: &State) {
        if old.role != Role::Primary && new.role == Role::Primary {
            let last = self
                .plan
                .as_mut()
                .and_then(|plan| plan.last_primary.replace(node));
            if last.is_some_and(|last| last != node) {
                self.coverage.count("fail-overs");
            }
        }
        if old.role == Role::Primary
            && old.disk == DiskState::UpToDate
            && new.disk < DiskState::UpToDate
        {
            // Invalidated: the peer agreed to that, and has gone since, with what was in its cache.
            let link = self.current_link(node);
            let parted = link.is_none() || link != self.current_link(1 - node);
            let lost = parted && new.disk == DiskState::Inconsistent;
            if let Some(plan) = self.plan.as_mut() {
                // With protocol A, what the disk had may be on its way to the peer still.
                plan.promises &= !lost && !plan.ever_a;
            }
        }
        // A write that failed there may be acknowledged before the Primary hears that the disk has gone.
        let failed = new.peer == Role::Primary
            && old.disk > DiskState::Failed
            && new.disk <= DiskState::Failed;
        let both = self.in_sync();
        let target = new.connection == ConnectionState::SyncTarget;
        let Some(plan) = self.plan.as_mut() else {
            return;
        };
        if target || failed {
            plan.current[node] = false;
        }
        if both && new.connection == ConnectionState::Connected {
            plan.current = [true; 2];
        }
    }

    /// A node lost power.
    pub fn manager_crash(&mut self, crash: &Crash) {
        let node = crash.node;
        let was_primary = (0..self.setup.volumes).any(|volume| self.is_primary(node, volume));
        let other_primary = (0..self.setup.volumes).any(|volume| self.is_primary(1 - node, volume));
        let only_disk = other_primary && !self.has_it(1 - node);
        let losses = crash.lost.iter().any(|sectors| !sectors.is_empty());
        let unwritten = self.has_writes_of_peer(node);
        let Some(plan) = self.plan.as_mut() else {
            return;
        };
        if only_disk {
            // The only good disk lost its cache under a Primary that goes on: from here on nothing is promised.
            plan.promises = false;
        }
        if other_primary || (losses && !was_primary) {
            plan.current[node] = false;
        }
        // With protocol B, writes that the peer had in its memory alone were acknowledged.
        if unwritten && plan.ever_b {
            plan.current[node] = false;
        }
        // What was on its way to the peer is lost with protocol A; with B, if the peer goes, too.
        if was_primary && plan.ever_a {
            plan.current[1 - node] = false;
        }
    }

    /// Requests of the peer are under way, perhaps of one that is gone.
    fn has_writes_of_peer(&self, node: usize) -> bool {
        let Some(life) = self.nodes[node].life.as_ref() else {
            return false;
        };
        let on_disk = |io: &DiskIo| matches!(io, DiskIo::Peer(..));
        let unanswered = |volume: usize| {
            life.engine
                .status(DeviceIndex(volume as u8))
                .is_some_and(|status| status.unacknowledged > 0)
        };
        !life.peer_pages.is_empty()
            || life.disk_io.values().any(on_disk)
            || (0..self.setup.volumes).any(unanswered)
    }
}
