// SPDX-License-Identifier: GPL-2.0-only

//! The shell of a simulated node: does what the engine asks for, and wakes whom it names. Nobody is woken who was not
//! named: a wish that the engine forgets is a hang here as it would be in the kernel.

mod block_io;
mod connect;
mod disk_work;
mod events;
mod habits;
pub mod helpers;
mod power;
mod receive;
mod resync_order;
mod send;
mod send_meta;
mod submit;

use drbd_core::resource::device::DeviceIndex;
use drbd_core::slab::Id;
use drbd_core::state::{ConnectionState, DiskState};

pub use habits::{Habit, Work};

use crate::link::{DATA, META, SECTOR_BYTES};
use crate::node::Node;
use crate::world::{Ev, World};

impl World<'_> {
    /// After each call of the engine: ends requests, wakes whom it wants awake.
    pub fn settle(&mut self, node: usize) {
        let Some(life) = self.nodes[node].life.as_mut() else {
            self.rng.skip_words();
            return;
        };
        if life.engine.wants_random() {
            life.engine.supply_random(self.rng.words());
        } else {
            self.rng.skip_words();
        }
        let mut ended = Vec::new();
        while let Some(completion) = life.engine.next_completion() {
            ended.push(completion);
        }
        let wishes = life.engine.take_wishes();
        let boot = self.nodes[node].boot;
        if wishes.worker {
            self.schedule_effects(node);
        }
        if wishes.events {
            self.schedule_events(node);
        }
        if wishes.send_data {
            self.schedule_send(node, DATA);
        }
        if wishes.send_meta {
            self.schedule_send(node, META);
        }
        if wishes.room {
            self.schedule_receive(node, DATA);
            self.retry_backlog(node);
        }
        if wishes.operations {
            self.schedule_operations(node);
        }
        if wishes.timer {
            self.arm_timer(node, boot);
        }
        for completion in ended {
            self.request_ended(node, completion);
        }
        self.check_broken(node);
        self.look_at_beliefs(node);
        self.manager_looks(node);
    }

    /// Those who look on hear at once what a node believes.
    fn look_at_beliefs(&mut self, node: usize) {
        for volume in 0..self.setup.volumes {
            let both = self.engine_state(node, volume).is_some_and(|state| {
                state.connection >= ConnectionState::Connected
                    && state.disk == DiskState::UpToDate
                    && state.peer_disk == DiskState::UpToDate
            });
            let bit = 1 << volume;
            let before = self.beliefs[node] & bit != 0;
            if both == before {
                continue;
            }
            self.beliefs[node] ^= bit;
            if both {
                self.check(|checker, world| checker.believes(world, node, volume as u8));
            }
        }
    }

    fn check_broken(&mut self, node: usize) {
        let broken = self.nodes[node]
            .life
            .as_ref()
            .is_some_and(|life| life.engine.is_broken());
        if broken && self.failures.is_empty() {
            self.fail(format!(
                "node {node}: an invariant of the engine does not hold"
            ));
        }
    }

    pub(super) fn soon(&mut self) -> u64 {
        let delay = *self.rng.pick(&[0, 1, 5, 30, 200]);
        self.now + delay
    }

    fn schedule_effects(&mut self, node: usize) {
        let at = self.soon();
        if let Some(life) = self.nodes[node].life.as_mut() {
            if !std::mem::replace(&mut life.scheduled.effects, true) {
                let boot = self.nodes[node].boot;
                self.push(at, Ev::Effects(node, boot));
            }
        }
    }

    fn schedule_events(&mut self, node: usize) {
        let at = self.soon();
        if let Some(life) = self.nodes[node].life.as_mut() {
            if !std::mem::replace(&mut life.scheduled.events, true) {
                let boot = self.nodes[node].boot;
                self.push(at, Ev::Events(node, boot));
            }
        }
    }

    pub fn schedule_send(&mut self, node: usize, socket: usize) {
        let at = self.soon();
        let boot = self.nodes[node].boot;
        if let Some(life) = self.nodes[node].life.as_mut() {
            let (flag, event) = if socket == DATA {
                (&mut life.scheduled.data, Ev::SendData(node, boot))
            } else {
                (&mut life.scheduled.meta, Ev::SendMeta(node, boot))
            };
            if !std::mem::replace(flag, true) {
                self.push(at, event);
            }
        }
    }

    pub fn schedule_receive(&mut self, node: usize, socket: usize) {
        let at = self.soon();
        if let Some(life) = self.nodes[node].life.as_mut() {
            if !std::mem::replace(&mut life.scheduled.receive[socket], true) {
                let boot = self.nodes[node].boot;
                self.push(at, Ev::Receive(node, boot, socket));
            }
        }
    }

    pub fn schedule_operations(&mut self, node: usize) {
        let at = self.soon();
        if let Some(life) = self.nodes[node].life.as_mut() {
            if !std::mem::replace(&mut life.scheduled.operations, true) {
                let boot = self.nodes[node].boot;
                self.push(at, Ev::Admin(node, boot));
            }
        }
    }

    fn arm_timer(&mut self, node: usize, boot: u32) {
        let now = self.now;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let Some(deadline) = life.engine.deadline() else {
            return;
        };
        let at = (deadline * 1000).max(now + 1000);
        if life.timer_at.is_none_or(|armed| armed > at || armed <= now) {
            life.timer_at = Some(at);
            self.push(at, Ev::Timer(node, boot));
        }
    }

    pub fn timer(&mut self, node: usize) {
        let now = self.now;
        let Node { life, disks, .. } = &mut self.nodes[node];
        let Some(life) = life.as_mut() else {
            return;
        };
        if life.timer_at != Some(now) {
            return;
        }
        life.timer_at = None;
        life.engine.at(now / 1000);
        for (volume, disk) in disks.iter().enumerate() {
            let index = DeviceIndex(volume as u8);
            if life.engine.wants_disk_activity(index) {
                life.engine.disk_activity(index, disk.done);
            }
        }
        life.engine.timer();
        self.settle(node);
    }
}

/// The bytes in a simulated stream of `payload` bytes of sectors.
pub fn simulated(payload: u32) -> usize {
    payload as usize / 512 * SECTOR_BYTES
}

/// An `Id` of a peer request as a key.
pub fn key(device: DeviceIndex, id: Id) -> (u8, u64) {
    (device.0, id.to_u64())
}
