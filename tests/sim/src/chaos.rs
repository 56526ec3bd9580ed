// SPDX-License-Identifier: GPL-2.0-only

//! A world in which everything goes wrong, and then heals.
//!
//! In an orderly world a cluster manager keeps the rules that a good one keeps: one Primary at a time, and no promotion
//! of a node that misses acknowledged writes. There, every promise is checked. In a wild world anyone does anything; what
//! is left to check is what must hold even then.

use drbd_core::config::policy::Protocol;
use drbd_core::resource::request::Io;
use drbd_core::state::{ConnectionState, DiskState, Role, State};

use crate::admin::{Admin, AdminResult};
use crate::world::{Ev, Setup, World};

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
    /// What a crash took from each node's disk, until it counts or is overwritten.
    lost: [Vec<(u8, u64, u64)>; 2],
    /// Boots that are due.
    pub boots: [bool; 2],
    /// When each node was the target of a resync last.
    pub target_at: [u64; 2],
}

/// A world for a seed.
pub fn setup(rng: &mut crate::rng::Rng) -> Setup {
    let mut setup = Setup {
        volumes: *rng.pick(&[1, 1, 1, 2]),
        device_sectors: *rng.pick(&[1024, 2048, 4096, 4096, 40_000]),
        internal: rng.chance(50),
        volatile: rng.chance(70),
        disk_latency: *rng.pick(&[10, 200, 2000]),
        net_latency: *rng.pick(&[10, 200, 5000]),
        socket_room: *rng.pick(&[100, 2000, 64 * 1024]),
        ..Setup::default()
    };
    if setup.internal {
        setup.device_sectors += 400;
    }
    setup.net.wire_protocol = *rng.pick(&[Protocol::A, Protocol::B, Protocol::C, Protocol::C]);
    setup.net.max_epoch_size = *rng.pick(&[1, 3, 20, 2048]);
    setup.net.max_buffers = *rng.pick(&[32, 2048]);
    setup.net.use_rle = rng.chance(70);
    setup.net.ping_int = *rng.pick(&[1, 10]);
    setup.sizes.requests = *rng.pick(&[2, 8, 64]);
    setup.sizes.peer_requests = *rng.pick(&[4, 16, 64]);
    setup.sizes.epochs = *rng.pick(&[4, 16]);
    setup.sizes.extents = *rng.pick(&[3, 7, 67]);
    setup.disk.c_plan_ahead = *rng.pick(&[0, 20]);
    setup.disk.resync_rate = *rng.pick(&[500, 10_000]);
    setup
}

impl<'a> World<'a> {
    /// A world that is about to go wrong.
    pub fn chaotic(arena: &'a bumpalo::Bump, seed: u64) -> Self {
        let mut rng = crate::rng::Rng::new(seed ^ 0x5eed);
        let setup = setup(&mut rng);
        let orderly = rng.chance(60);
        let mut world = Self::new(arena, seed, setup);
        let length = rng.range(2_000_000, 40_000_000);
        world.plan = Some(Plan {
            orderly,
            end: world.now + length,
            depth: *rng.pick(&[1, 4, 20]),
            think: *rng.pick(&[100, 3_000, 100_000]),
            pause: *rng.pick(&[30_000, 300_000, 3_000_000]),
            spots: *rng.pick(&[1, 3, 9]),
            local_disk_always: rng.chance(70),
            current: [true; 2],
            lost: Default::default(),
            boots: [false; 2],
            target_at: [0; 2],
        });
        world.reads.strict = orderly;
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
        for volume in 0..self.setup.volumes {
            let sectors = self.engine_size(0, volume);
            let content = self.nodes[0].disks[volume].read(0, sectors);
            self.reads.set_base(volume as u8, content);
            let result = self.command(0, Admin::PromoteForced(volume as u8));
            if let Err(why) = result {
                self.fail(format!("the first promotion: {why}"));
            }
        }
        if !self.run_until(PATIENCE, |world| world.in_sync()) {
            self.fail("the first full sync does not end".into());
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

    /// The next trouble.
    pub fn chaos(&mut self) {
        let Some(plan) = self.plan.as_ref() else {
            return;
        };
        if self.now >= plan.end {
            return;
        }
        let (orderly, pause) = (plan.orderly, plan.pause);
        let at = self.now + self.rng.range(1, pause);
        self.push(at, Ev::Chaos);
        self.check_equal();
        let node = self.rng.below(2) as usize;
        let volume = self.rng.below(self.setup.volumes as u64) as u8;
        match self.rng.below(100) {
            0..=9 => {
                self.coverage.count("cuts");
                self.cut();
            }
            10..=13 => {
                self.coverage.count("partitions");
                self.set_network(false);
            }
            14..=25 => self.set_network(true),
            26..=31 => {
                self.coverage.count("crashes");
                self.crash(node);
            }
            32..=41 => self.start_again(node),
            42..=49 => self.move_primary(),
            50..=54 => {
                let force = self.rng.chance(30);
                let command = if force {
                    Admin::DisconnectForced
                } else {
                    Admin::Disconnect
                };
                self.wish(node, command);
            }
            55..=69 => self.repair(node),
            70..=73 => {
                let allowed = self
                    .plan
                    .as_ref()
                    .is_some_and(|plan| !plan.local_disk_always);
                if allowed {
                    // By force, and without a peer, a disk is given up that is the only good one.
                    let command = if !orderly && self.rng.chance(20) {
                        Admin::DetachForced(volume)
                    } else {
                        Admin::Detach(volume)
                    };
                    self.wish(node, command);
                }
            }
            74..=77 => self.wish(node, Admin::PauseSync(volume)),
            78..=84 => self.wish(node, Admin::ResumeSync(volume)),
            85..=87 if !orderly || self.is_quiet() => self.wish(node, Admin::Invalidate(volume)),
            88..=90 if !orderly || self.is_quiet() => {
                self.wish(node, Admin::InvalidateRemote(volume));
            }
            91..=99 if !orderly => {
                let command = *self.rng.pick(&[
                    Admin::Promote(volume),
                    Admin::Promote(volume),
                    Admin::PromoteForced(volume),
                    Admin::Demote(volume),
                    Admin::Demote(volume),
                    Admin::ConnectDiscardMyData,
                    Admin::NewCurrentUuid(volume),
                ]);
                self.wish(node, command);
            }
            _ => {}
        }
    }

    /// In order, and no command under way.
    fn is_quiet(&self) -> bool {
        self.in_sync()
            && self.nodes.iter().all(|node| {
                node.life
                    .as_ref()
                    .is_none_or(|life| life.admin.is_empty() && life.running.is_none())
            })
    }

    fn wish(&mut self, node: usize, command: Admin) {
        let idle = self.nodes[node]
            .life
            .as_ref()
            .is_some_and(|life| life.admin.len() < 4);
        if idle {
            self.coverage.count("commands");
            self.admin(node, command);
        }
    }

    fn start_again(&mut self, node: usize) {
        if self.nodes[node].life.is_none() {
            self.boot(node);
            self.up(node);
            let boot = self.nodes[node].boot;
            self.push(self.now, Ev::Application(node, boot));
        }
    }

    /// An administrator puts right what is not as it should be.
    fn repair(&mut self, node: usize) {
        for volume in 0..self.setup.volumes {
            let Some(state) = self.engine_state(node, volume) else {
                return;
            };
            if state.disk == DiskState::Diskless {
                self.wish(node, Admin::Attach(volume as u8));
            }
            if volume == 0 && state.connection == ConnectionState::StandAlone {
                self.wish(node, Admin::Connect);
            }
        }
    }

    /// The cluster manager: a new Primary, where the rules allow one.
    fn move_primary(&mut self) {
        let Some(plan) = self.plan.as_ref() else {
            return;
        };
        let orderly = plan.orderly;
        let current = plan.current;
        let volumes = self.setup.volumes;
        let primary = (0..2).find(|node| (0..volumes).any(|volume| self.is_primary(*node, volume)));
        match primary {
            Some(node) => {
                if self.in_sync() && current == [true; 2] {
                    self.coverage.count("switch-overs");
                    for volume in 0..volumes {
                        self.wish(node, Admin::Demote(volume as u8));
                    }
                }
            }
            None => {
                let node = self.rng.below(2) as usize;
                let idle = |node: usize| {
                    self.nodes[node]
                        .life
                        .as_ref()
                        .is_none_or(|life| life.admin.is_empty() && life.running.is_none())
                };
                if !orderly || (current[node] && self.has_it(node) && idle(0) && idle(1)) {
                    for volume in 0..volumes {
                        self.wish(node, Admin::Promote(volume as u8));
                    }
                }
            }
        }
    }

    pub fn chaos_command_ended(&mut self, _node: usize, _command: Admin, _result: &AdminResult) {}

    // What a good manager knows.

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

    /// A Primary that has lost its peer calls its data another generation, whether it writes or not.
    pub fn manager_looks(&mut self, node: usize) {
        let primary = (0..self.setup.volumes).any(|volume| self.is_primary(node, volume));
        if primary && self.plan.is_some() {
            self.note_who_has_it(node);
            self.disk_counts(node);
        }
    }

    /// What a node has after a crash is what applications see from now on.
    fn disk_counts(&mut self, node: usize) {
        let Some(plan) = self.plan.as_mut() else {
            return;
        };
        for (volume, sector, held) in std::mem::take(&mut plan.lost[node]) {
            self.reads.allow(volume, sector, held);
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

    pub fn history_state(&mut self, node: usize, volume: u8, old: &State, new: &State) {
        self.check_promotion(node, volume, old, new);
        let now = self.now;
        let both = self.in_sync();
        let promoted = old.role != Role::Primary && new.role == Role::Primary;
        let source = new.connection == ConnectionState::SyncSource;
        let target = new.connection == ConnectionState::SyncTarget;
        let Some(plan) = self.plan.as_mut() else {
            return;
        };
        if target {
            plan.target_at[node] = now;
            plan.current[node] = false;
        }
        if both && new.connection == ConnectionState::Connected {
            plan.current = [true; 2];
        }
        if promoted || source {
            self.disk_counts(node);
        }
    }

    /// A node crashed and its disks lost these sectors.
    pub fn history_crash(&mut self, node: usize, lost: Vec<Vec<(u64, u64)>>) {
        let now = self.now;
        let open: Vec<(u64, crate::app::Record)> = self
            .history
            .records
            .iter()
            .filter(|(_, record)| record.node == node && record.ended.is_none())
            .map(|(number, record)| (*number, record.clone()))
            .collect();
        self.reads.node_died(now, &open);
        for (number, _) in &open {
            if let Some(record) = self.history.records.get_mut(number) {
                record.ended = Some((now, false));
            }
        }
        for (volume, sectors) in lost.iter().enumerate() {
            for (sector, before) in sectors {
                self.check_durable(node, volume as u8, *sector, *before);
            }
        }
        let was_primary = (0..self.setup.volumes).any(|volume| self.is_primary(node, volume));
        let other_primary = (0..self.setup.volumes).any(|volume| self.is_primary(1 - node, volume));
        if other_primary && !self.has_it(1 - node) {
            // The only good disk lost its cache under a Primary that goes on: from here on nothing is promised.
            self.reads.strict = false;
        }
        let protocol = self.nodes[node].net.wire_protocol;
        let losses = lost.iter().any(|sectors| !sectors.is_empty());
        let held: Vec<(u8, u64, u64)> = lost
            .iter()
            .enumerate()
            .flat_map(|(volume, sectors)| {
                let disk = &self.nodes[node].disks[volume];
                sectors
                    .iter()
                    .map(move |(sector, _)| (volume as u8, *sector, disk.read(*sector, 1)[0]))
            })
            .collect();
        if let Some(plan) = self.plan.as_mut() {
            plan.lost[node].extend(held);
            if other_primary || (losses && !was_primary) {
                plan.current[node] = false;
            }
            // What was on its way to the peer is lost with protocol A; with B, if the peer goes, too.
            if was_primary && protocol == Protocol::A {
                plan.current[1 - node] = false;
            }
        }
    }

    // The world heals.

    fn heal(&mut self) {
        if !self.failures.is_empty() {
            return;
        }
        self.tell(2, || "the world heals".into());
        self.set_network(true);
        for node in 0..2 {
            self.nodes[node].faults = 0;
            if self.nodes[node].life.is_none() {
                self.boot(node);
                self.up(node);
            }
        }
        let end = self.now + PATIENCE;
        let mut stand_alone = [0; 2];
        let mut diskless = [0; 2];
        let mut stuck = 0;
        while self.now < end && self.failures.is_empty() {
            // Pings come and go: a moment without one is enough.
            let calm = |world: &Self| world.in_sync() && world.is_idle();
            if self.run_until(1_000_000, calm) {
                self.run(3_000_000);
                if self.run_until(1_000_000, calm) {
                    self.check_equal();
                    return;
                }
            }
            let idle = self.nodes.iter().all(|node| {
                node.life
                    .as_ref()
                    .is_some_and(|life| life.admin.is_empty() && life.running.is_none())
            });
            if !idle {
                continue;
            }
            for node in 0..2 {
                for volume in 0..self.setup.volumes {
                    let Some(state) = self.engine_state(node, volume) else {
                        continue;
                    };
                    if state.user_paused {
                        self.admin(node, Admin::ResumeSync(volume as u8));
                    }
                    if state.disk == DiskState::Diskless {
                        self.admin(node, Admin::Attach(volume as u8));
                        diskless[node] += 1;
                    }
                }
                let alone = self
                    .engine_state(node, 0)
                    .is_some_and(|state| state.connection == ConnectionState::StandAlone);
                if alone {
                    stand_alone[node] += 1;
                    self.admin(node, Admin::Connect);
                }
            }
            let connected = (0..2).all(|node| {
                self.engine_state(node, 0)
                    .is_some_and(|state| state.connection == ConnectionState::Connected)
            });
            stuck = if connected { stuck + 1 } else { 0 };
            if let Some(node) = (0..2).find(|node| diskless[*node] >= 10) {
                // The peer does not want this disk.
                diskless = [0; 2];
                self.start_anew(node);
            } else if stand_alone.iter().any(|times| *times >= 4) {
                stand_alone = [0; 2];
                self.split_brain();
            } else if stuck > 5 {
                stuck = 0;
                self.declare();
            }
        }
        if self.failures.is_empty() {
            let states = (0..2)
                .map(|node| {
                    (0..self.setup.volumes)
                        .map(|volume| match self.engine_state(node, volume) {
                            Some(state) => format!(
                                " {}/{}/{}/{}",
                                state.role.name(),
                                state.connection.name(),
                                state.disk.name(),
                                state.peer_disk.name()
                            ),
                            None => " down".into(),
                        })
                        .collect::<String>()
                })
                .collect::<Vec<_>>()
                .join(",");
            let busy = self.busy();
            self.fail(format!(
                "the world is healed, and not in order:{states}{busy}"
            ));
        }
    }

    /// Both nodes refuse each other: an administrator decides who loses.
    fn split_brain(&mut self) {
        if self.plan.as_ref().is_some_and(|plan| plan.orderly) {
            self.fail("split brain in an orderly world".into());
            return;
        }
        self.coverage
            .count("split brains that an administrator resolved");
        let victim = self.rng.below(2) as usize;
        for volume in 0..self.setup.volumes {
            let _ = self.command(victim, Admin::Demote(volume as u8));
        }
        for node in 0..2 {
            let _ = self.command(node, Admin::DisconnectForced);
        }
        let unrelated = self.rng.chance(30);
        if unrelated {
            // Nothing in common, or no way to tell.
            self.start_anew(victim);
        } else {
            let _ = self.command(victim, Admin::ConnectDiscardMyData);
        }
        let _ = self.command(1 - victim, Admin::Connect);
    }

    /// `create-md`: what was there is given up.
    fn start_anew(&mut self, victim: usize) {
        if self.plan.as_ref().is_some_and(|plan| plan.orderly) {
            self.fail(format!(
                "node {victim} cannot come back in an orderly world"
            ));
            return;
        }
        self.crash(victim);
        for volume in 0..self.setup.volumes {
            let uuid = self.rng.next();
            crate::metadata::create(&mut self.nodes[victim].disks[volume], uuid);
        }
        self.boot(victim);
        self.up(victim);
    }

    /// Connected, and no disk is UpToDate: an administrator declares one to be.
    fn declare(&mut self) {
        for volume in 0..self.setup.volumes {
            let bad = (0..2).all(|node| {
                self.engine_state(node, volume)
                    .is_some_and(|state| state.disk < DiskState::UpToDate)
            });
            if !bad {
                continue;
            }
            if self.plan.as_ref().is_some_and(|plan| plan.orderly) {
                self.fail(format!(
                    "volume {volume}: no disk is UpToDate in an orderly world"
                ));
                return;
            }
            let node = self.rng.below(2) as usize;
            for role in 0..2 {
                let _ = self.command(role, Admin::Demote(volume as u8));
            }
            let _ = self.command(node, Admin::PromoteForced(volume as u8));
            let _ = self.command(node, Admin::Demote(volume as u8));
        }
    }
}
