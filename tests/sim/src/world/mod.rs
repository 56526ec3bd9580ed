// SPDX-License-Identifier: GPL-2.0-only

//! Two nodes, the network between them, and time.

mod agenda;
mod look;
mod rot;
mod setup;
mod trouble;

use std::collections::BTreeMap;

use bumpalo::Bump;
use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::effect::Helper;
use drbd_core::resource::SEND_BUFFER;
use drbd_core::state::State;

use crate::admin::{Admin, AdminResult};
use crate::app::History;
use crate::chaos::Plan;
use crate::check::{Checker, Verdict};
use crate::coverage::Coverage;
use crate::disk::Disk;
use crate::link::Link;
use crate::metadata;
use crate::node::{Life, Node};
use crate::rng::Rng;
use crate::script::Script;

use agenda::Agenda;
pub use rot::{Rot, BLOCK_SECTORS};
pub use setup::Setup;
pub use trouble::{Doom, Moment};

/// Something that happens at a time. Where a boot is named, it happens only if the node did not reboot since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ev {
    Effects(usize, u32),
    Events(usize, u32),
    SendData(usize, u32),
    SendMeta(usize, u32),
    Receive(usize, u32, usize),
    Arrive(u32, usize, usize),
    Sent(usize, u32),
    Timer(usize, u32),
    DiskDone(usize, u32, u64),
    Digest(usize, u32, u8, u64),
    HelperDone(usize, u32, u8, bool),
    /// The handler that ran.
    HandlerEnds(usize, u32),
    Admin(usize, u32),
    Dial(usize, u32),
    LinkUp(usize, u32, u32),
    /// With what the receiver had taken before.
    Stall(usize, u32, u32, usize),
    Reset(u32, usize),
    /// The node's own administrator had it stopped, should a disk fail.
    Halt(usize, u32),
    /// A stranger is tired of waiting.
    Leave(u32, usize),
    Chaos,
    Crash(usize, u32),
    Application(usize, u32),
}

pub struct World<'a> {
    pub seed: u64,
    pub arena: &'a Bump,
    pub now: u64,
    pub rng: Rng,
    queue: Agenda,
    pub nodes: Vec<Node<'a>>,
    pub links: BTreeMap<u32, Link>,
    next_link: u32,
    /// A peer may send garbage: refusals are no failure.
    pub garbage: bool,
    /// Packets travel.
    pub network: bool,
    pub setup: Setup,
    /// What bytes take longer now, at most, in microseconds.
    pub slowness: u64,
    pub history: History,
    /// Those who look on; see `check`.
    checkers: Vec<Box<dyn Checker>>,
    pub plan: Option<Plan>,
    /// A node that crashes at a moment of a certain kind.
    pub doom: Option<Doom>,
    /// What is left out of the plan.
    pub script: Script,
    /// Sectors that changed behind the driver's back.
    pub rotten: Vec<Rot>,
    /// The next data that this node sends with a digest is damaged on its way.
    pub damage: [bool; 2],
    /// In directed stories: the next blocks that this node is to send for a resync are thrown away, as 8.4 does with them where the
    /// target has given its disk up.
    pub throw_away: [bool; 2],
    /// In directed stories: this node tells no length with what it could not write, as 8.4 does where its disk is gone.
    pub no_lengths: [bool; 2],
    pub coverage: Coverage,
    /// An administrator declared disks to be equal that may not be: `new-current-uuid --clear-bitmap`.
    pub declared_equal: bool,
    /// By node, a bit for each volume: it takes both disks for UpToDate.
    pub beliefs: [u64; 2],
    /// What went wrong, first things first.
    pub failures: Vec<String>,
    /// The checker, or the file, that found the first of them.
    pub failed_in: &'static str,
    /// Prints a line for each event.
    pub loud: bool,
    pub story: Vec<String>,
    pub ended: Vec<(usize, Admin, AdminResult)>,
    next_io: u64,
    /// Where the engine puts its packets together.
    pub send_buffer: Vec<u8>,
    pub events: u64,
}

impl<'a> World<'a> {
    pub fn new(arena: &'a Bump, seed: u64, setup: Setup) -> Self {
        let mut rng = Rng::new(seed);
        let mut nodes = Vec::new();
        for number in 0..2 {
            let sectors = setup.device_sectors + setup.larger * number;
            let disks = (0..setup.volumes)
                .map(|_| {
                    let mut disk = Disk::new(sectors, setup.internal, setup.volatile);
                    metadata::create(&mut disk, rng.next());
                    disk
                })
                .collect();
            nodes.push(Node {
                disks,
                life: None,
                boot: 0,
                net: setup.net.clone(),
                disk_conf: setup.disk.clone(),
                sizes: setup.sizes,
                latency: setup.disk_latency,
                faults: 0,
                passed_on: false,
                read_faults: 0,
                attaches: 0,
                habits: Vec::new(),
            });
        }
        // Garbage of before: different on both, so that a sync has something to do.
        for (number, node) in nodes.iter_mut().enumerate() {
            for disk in &mut node.disks {
                disk.scribble(|sector| (1 << 40) + ((number as u64) << 32) + sector);
            }
        }
        let mut world = Self {
            seed,
            arena,
            now: 1_000_000,
            rng,
            queue: Agenda::default(),
            nodes,
            links: BTreeMap::new(),
            next_link: 1,
            garbage: false,
            network: true,
            history: History::default(),
            checkers: crate::check::all(),
            plan: None,
            doom: None,
            script: Script::default(),
            rotten: Vec::new(),
            damage: [false; 2],
            throw_away: [false; 2],
            no_lengths: [false; 2],
            setup,
            slowness: 0,
            coverage: Coverage::default(),
            declared_equal: false,
            beliefs: [0; 2],
            failures: Vec::new(),
            failed_in: "",
            loud: std::env::var_os("SIM_STORY").is_some(),
            story: Vec::new(),
            ended: Vec::new(),
            next_io: 1,
            send_buffer: vec![0; SEND_BUFFER],
            events: 0,
        };
        for node in 0..2 {
            world.boot(node);
        }
        world
    }

    pub fn tell(&mut self, node: usize, what: impl FnOnce() -> String) {
        if self.loud {
            let line = format!(
                "{:>12.6} {} {}",
                self.now as f64 / 1e6,
                ["alice", "bob  ", "     "][node],
                what()
            );
            println!("{line}");
        }
    }

    /// A promise was broken, or an invariant of the simulator.
    #[track_caller]
    pub fn fail(&mut self, what: String) {
        self.failed(std::panic::Location::caller().file(), what);
    }

    fn failed(&mut self, whose: &'static str, what: String) {
        if self.failures.is_empty() {
            self.failed_in = whose;
        }
        let line = format!("at {:.6}: {what}", self.now as f64 / 1e6);
        if self.loud {
            println!("FAILED {line}");
        }
        self.failures.push(line);
    }

    /// Shows something to every checker.
    pub fn check(&mut self, ask: impl Fn(&mut dyn Checker, &Self) -> Verdict) {
        let mut checkers = std::mem::take(&mut self.checkers);
        for checker in &mut checkers {
            if let Err(what) = ask(checker.as_mut(), self) {
                self.failed(checker.name(), what);
            }
        }
        self.checkers = checkers;
    }

    pub fn push(&mut self, at: u64, event: Ev) {
        self.queue.push(at.max(self.now), event);
    }

    pub fn new_io(&mut self) -> u64 {
        self.next_io += 1;
        self.next_io
    }

    /// Starts the machine. Nothing is configured yet.
    pub fn boot(&mut self, node: usize) {
        let words = self.rng.words();
        let life = Life::new(
            self.arena,
            self.setup.volumes,
            self.setup.late_volumes,
            &self.setup.options,
            &self.nodes[node].sizes,
            words,
        );
        self.nodes[node].boot += 1;
        self.nodes[node].life = Some(life);
        self.tell(node, || "boots".into());
    }

    /// `drbdadm up`
    pub fn up(&mut self, node: usize) {
        let early = self.setup.volumes - self.setup.late_volumes;
        for volume in 0..early {
            self.admin(node, Admin::Attach(volume as u8));
        }
        self.admin(node, Admin::Connect);
        if self.plan.is_some() {
            for volume in early..self.setup.volumes {
                self.admin(node, Admin::AddVolume(volume as u8));
                self.admin(node, Admin::Attach(volume as u8));
            }
        }
    }

    pub fn engine_state(&self, node: usize, volume: usize) -> Option<State> {
        let life = self.nodes[node].life.as_ref()?;
        Some(life.engine.device(DeviceIndex(volume as u8))?.state())
    }

    pub fn new_link(&mut self) -> u32 {
        let id = self.next_link;
        self.next_link += 1;
        self.links.insert(id, Link::new(id));
        id
    }

    /// Does the next thing. False when nothing will ever happen any more.
    pub fn step(&mut self) -> bool {
        let Some((at, event)) = self.queue.pop() else {
            return false;
        };
        self.now = self.now.max(at);
        self.events += 1;
        self.happen(event);
        true
    }

    pub fn next_at(&self) -> Option<u64> {
        self.queue.next_at()
    }

    /// Lets `micros` pass.
    pub fn run(&mut self, micros: u64) {
        let end = self.now + micros;
        while self.next_at().is_some_and(|at| at <= end) && self.failures.is_empty() {
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until something is so; false where it does not become so within `micros`.
    pub fn run_until(&mut self, micros: u64, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + micros;
        loop {
            if done(self) {
                return true;
            }
            if !self.failures.is_empty() || self.next_at().is_none_or(|at| at > end) {
                self.now = end;
                return done(self);
            }
            self.step();
        }
    }

    fn lives(&self, node: usize, boot: u32) -> bool {
        self.nodes[node].boot == boot && self.nodes[node].life.is_some()
    }

    fn happen(&mut self, event: Ev) {
        match event {
            Ev::Effects(node, boot) if self.lives(node, boot) => self.drain_effects(node),
            Ev::Events(node, boot) if self.lives(node, boot) => self.drain_events(node),
            Ev::SendData(node, boot) if self.lives(node, boot) => self.send_data(node),
            Ev::SendMeta(node, boot) if self.lives(node, boot) => self.send_meta(node),
            Ev::Receive(node, boot, socket) if self.lives(node, boot) => self.receive(node, socket),
            Ev::Sent(node, boot) if self.lives(node, boot) => self.sent(node),
            Ev::Timer(node, boot) if self.lives(node, boot) => self.timer(node),
            Ev::DiskDone(node, boot, io) if self.lives(node, boot) => self.disk_done(node, io),
            Ev::Digest(node, boot, volume, id) if self.lives(node, boot) => {
                self.digest_done(node, volume, id);
            }
            Ev::HelperDone(node, boot, volume, target) if self.lives(node, boot) => {
                let helper = if target {
                    Helper::BeforeResyncTarget
                } else {
                    Helper::BeforeResyncSource
                };
                self.helper_finished(node, DeviceIndex(volume), helper);
            }
            Ev::HandlerEnds(node, boot) if self.lives(node, boot) => self.handler_ends(node),
            Ev::Admin(node, boot) if self.lives(node, boot) => {
                if let Some(life) = self.nodes[node].life.as_mut() {
                    life.scheduled.operations = false;
                }
                self.admin_step(node);
            }
            Ev::Dial(node, boot) if self.lives(node, boot) => self.dial(node),
            Ev::LinkUp(node, boot, link) if self.lives(node, boot) => self.link_up(node, link),
            Ev::Stall(node, boot, link, taken) if self.lives(node, boot) => {
                self.stalled(node, link, taken);
            }
            Ev::Arrive(link, from, socket) => self.arrive(link, from, socket),
            Ev::Reset(link, node) => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.broken[node] = true;
                }
                self.poke(node);
            }
            Ev::Crash(node, boot) if self.lives(node, boot) => self.crash(node),
            Ev::Application(node, boot) if self.lives(node, boot) => self.application(node),
            Ev::Halt(node, boot) if self.lives(node, boot) => self.crash(node),
            Ev::Leave(link, node) => self.leave(link, node),
            Ev::Chaos => self.chaos(),
            _ => {}
        }
    }

    pub fn command_ended(&mut self, node: usize, command: Admin, result: AdminResult) {
        self.ended.push((node, command, result));
    }

    /// Gives a command and waits for its end.
    pub fn command(&mut self, node: usize, command: Admin) -> AdminResult {
        let before = self.ended.len();
        self.admin(node, command);
        let ended = |world: &Self| {
            world.ended[before..]
                .iter()
                .any(|(on, what, _)| (*on, *what) == (node, command))
        };
        if !self.run_until(60_000_000, ended) {
            return Err(format!("{command:?} does not end"));
        }
        let result = self.ended[before..]
            .iter()
            .find(|(on, what, _)| (*on, *what) == (node, command));
        result.map_or(Err("lost".into()), |(_, _, result)| result.clone())
    }
}
