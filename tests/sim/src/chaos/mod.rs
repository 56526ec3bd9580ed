// SPDX-License-Identifier: GPL-2.0-only

//! A world in which everything goes wrong, and then heals.
//!
//! In an orderly world a cluster manager keeps the rules that a good one keeps: one Primary at a time, and no promotion
//! of a node that misses acknowledged writes. There, every promise is checked. In a wild world anyone does anything; what
//! is left to check is what must hold even then.

mod choice;
pub mod events;
mod healing;
mod manager;
mod verdict;

use drbd_core::config::policy::Protocol;
use drbd_core::state::{ConnectionState, DiskState};

use crate::admin::Admin;
use crate::rng::Rng;
use crate::world::{Ev, World};

/// How long a healed world may take to be in order.
const PATIENCE: u64 = 300_000_000;

/// What is going to happen.
pub struct Plan {
    pub orderly: bool,
    pub end: u64,
    /// Requests that an application has under way at once.
    pub depth: usize,
    /// The longest pause of an application, in microseconds.
    pub think: u64,
    /// The longest pause between two troubles.
    pub pause: u64,
    /// How many places of the disk are written to.
    pub spots: u64,
    /// No node is ever without its disk: what is flushed is flushed here.
    pub local_disk_always: bool,
    /// Nodes that have all acknowledged writes, as a good manager knows.
    pub current: [bool; 2],
    /// Promises are kept: everything is orderly, and no disaster happened that no promise outlives.
    pub promises: bool,
    /// No trouble for a while.
    calm: bool,
    /// How many troubles there were, left out or not.
    pub troubles: u64,
    /// How often an application thought of something to do.
    pub thoughts: u64,
    /// The node that was Primary last.
    pub last_primary: Option<usize>,
    /// Some write may have had no more than protocol A promises.
    pub ever_a: bool,
    /// Some write may have had no more than protocol B promises.
    pub ever_b: bool,
    /// A split brain may come to an end without an administrator, and there are more of them.
    pub resolves: bool,
    /// When options were last changed.
    pub options_changed: u64,
}

impl<'a> World<'a> {
    /// A world that is about to go wrong.
    pub fn chaotic(arena: &'a bumpalo::Bump, seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let orderly = rng.chance(60);
        let mut setup = choice::setup(&mut rng, orderly);
        choice::pace_of_resync(&mut Rng::new(seed ^ 0x9ace), &mut setup);
        choice::age_of_peers(&mut Rng::new(seed ^ 0x86), &mut setup);
        choice::pace_of_handlers(seed, &mut setup);
        choice::late_volumes(seed, &mut setup);
        let resolves = choice::policies(&mut Rng::new(seed ^ 0x0a5b), &mut setup.net);
        choice::patience(&mut Rng::new(seed ^ 0x9a71), &mut setup);
        choice::large_volume(&mut Rng::new(seed ^ 0x1a76e), &mut setup);
        let ever_a = setup.net.wire_protocol == Protocol::A;
        let ever_b = setup.net.wire_protocol == Protocol::B;
        let mut world = Self::new(arena, seed, setup);
        let policy = &mut world.nodes[1].net.after_sb_0p;
        *policy = choice::seen_from_the_other_side(*policy);
        let pause = *rng.pick(&[30_000, 300_000, 3_000_000]);
        // Most nights are short: the next one is another world.
        let troubles = *rng.pick(&[10, 20, 20, 40, 40, 80, 300]);
        let requests = *rng.pick(&[3, 10, 30]);
        world.plan = Some(Plan {
            orderly,
            end: world.now + troubles * pause / 2,
            depth: *rng.pick(&[1, 4, 20]),
            think: pause / requests,
            pause,
            spots: *rng.pick(&[1, 3, 9, 300]),
            local_disk_always: rng.chance(70),
            current: [true; 2],
            promises: orderly,
            calm: false,
            troubles: 0,
            thoughts: 0,
            last_primary: None,
            ever_a,
            ever_b,
            resolves,
            options_changed: 0,
        });
        world
    }

    /// Plays the whole story. What went wrong is in `failures`.
    pub fn play(&mut self) {
        for node in 0..2 {
            self.up(node);
        }
        let orderly = self.plan.as_ref().is_some_and(|plan| plan.orderly);
        if orderly || self.rng.chance(70) {
            self.first_sync();
        }
        for node in 0..2 {
            let boot = self.nodes[node].boot;
            self.push(self.now, Ev::Application(node, boot));
        }
        self.push(self.now + 1000, Ev::Chaos);
        let end = self.plan.as_ref().map_or(0, |plan| plan.end);
        while self.now < end && self.failures.is_empty() {
            if !self.step() {
                break;
            }
        }
        self.heal();
    }

    fn first_sync(&mut self) {
        let connected = |world: &Self| {
            (0..2).all(|node| {
                (0..world.setup.volumes).all(|volume| {
                    world
                        .engine_state(node, volume)
                        .is_some_and(|state| state.connection == ConnectionState::Connected)
                })
            })
        };
        if !self.run_until(30_000_000, connected) {
            self.fail("two new nodes do not find each other".into());
            return;
        }
        self.attach_late_volumes();
        for volume in 0..self.setup.volumes {
            let sectors = self.engine_size(0, volume);
            let content = self.nodes[0].disks[volume].read(0, sectors);
            self.check(|checker, _| checker.begins_with(volume as u8, &content));
            let result = self.command(0, Admin::PromoteForced(volume as u8));
            if let Err(why) = result {
                self.fail(format!("the first promotion: {why}"));
            }
        }
        if !self.run_until(PATIENCE, |world| world.in_sync()) {
            self.fail("the first full sync does not end".into());
        }
    }

    /// While two nodes introduce themselves no disk is attached: an administrator who was too early does it again.
    fn attach_late_volumes(&mut self) {
        let early = self.setup.volumes - self.setup.late_volumes;
        for volume in early..self.setup.volumes {
            for node in 0..2 {
                let state = self.engine_state(node, volume);
                if state.is_some_and(|state| state.disk == DiskState::Diskless) {
                    let _ = self.command(node, Admin::Attach(volume as u8));
                }
            }
            self.run_until(30_000_000, |world| {
                (0..2).all(|node| {
                    world
                        .engine_state(node, volume)
                        .is_some_and(|state| state.disk > DiskState::Negotiating)
                })
            });
            // A word of before must not come behind a promotion by force.
            self.run(1_000_000);
        }
    }

    pub fn engine_size(&self, node: usize, volume: usize) -> u64 {
        self.nodes[node]
            .life
            .as_ref()
            .and_then(|life| {
                life.engine
                    .device(drbd_core::resource::device::DeviceIndex(volume as u8))
            })
            .map_or(0, |device| device.size())
    }

    /// Whether there is to be no trouble.
    pub fn keep_calm(&mut self, calm: bool) {
        if let Some(plan) = self.plan.as_mut() {
            plan.calm = calm;
        }
    }

    /// The next trouble.
    pub fn chaos(&mut self) {
        let Some(plan) = self.plan.as_mut() else {
            return;
        };
        if self.now >= plan.end {
            return;
        }
        plan.troubles += 1;
        let (number, pause) = (plan.troubles, plan.pause);
        let mut rng = Rng::branch(self.seed, number);
        let at = self.now + rng.range(1, pause);
        self.push(at, Ev::Chaos);
        if self.plan().calm {
            return;
        }
        self.check(|checker, world| checker.moment(world));
        // From a number of its own, for what is in the list of events has its number already.
        let parts = !self.plan().orderly
            && self.plan().resolves
            && Rng::branch(self.seed ^ 0x5b5b, number).chance(8);
        let event = if parts {
            &events::split_brain::EVENT
        } else {
            events::pick(&mut rng)
        };
        if self.script.troubles.contains(&number) {
            return;
        }
        if (event.happen)(self, &mut rng) {
            self.coverage.count(event.name);
        }
    }
}
