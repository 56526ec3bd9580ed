// SPDX-License-Identifier: GPL-2.0-only

//! The world heals: everything works, and an administrator repairs what needs one. Progress is demanded.

use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::DeviceStatus;
use drbd_core::state::{Change, ConnectionState, DiskState};
use drbd_core::uuid::same_data;

use super::PATIENCE;
use crate::admin::Admin;
use crate::world::World;

impl World<'_> {
    pub(super) fn heal(&mut self) {
        if !self.failures.is_empty() {
            return;
        }
        self.tell(2, || "the world heals".into());
        self.set_network(true);
        self.slowness = 0;
        self.setup.slow_handlers = false;
        self.doom = None;
        for node in 0..2 {
            self.nodes[node].faults = 0;
            self.nodes[node].read_faults = 0;
            self.nodes[node].latency = self.setup.disk_latency;
            self.damage[node] = false;
            if !self.setup.net.integrity_alg.is_empty() {
                self.adjust_integrity(node, self.setup.net.integrity_alg);
            }
            if self.has_secrets() {
                self.adjust_secret(node, crate::secrets::RIGHT);
            }
            if self.nodes[node].life.is_none() {
                self.boot(node);
                self.up(node);
            }
        }
        // Volumes that wait for each other take as long as all of them.
        let turns = if self.setup.one_after_the_other {
            self.setup.volumes as u64
        } else {
            1
        };
        let end = self.now + turns * PATIENCE;
        let mut stand_alone = [0; 2];
        let mut diskless = [0; 2];
        let mut stuck = 0;
        let mut waits = 0;
        let mut attached_alone = 0;
        while self.now < end && self.failures.is_empty() {
            // Pings come and go: a moment without one is enough.
            let calm = |world: &Self| world.in_sync() && world.is_idle();
            if self.run_until(1_000_000, calm) {
                self.run(3_000_000);
                if self.run_until(1_000_000, calm) {
                    self.check(|checker, world| checker.moment(world));
                    return;
                }
            }
            // A handler may have stopped one only now.
            for node in 0..2 {
                self.start_again(node);
            }
            let idle = self.nodes.iter().all(|node| {
                node.life
                    .as_ref()
                    .is_some_and(|life| life.admin.is_empty() && life.running.is_none())
            });
            if !idle {
                waits += 1;
                if waits > 30 {
                    // A node without data that its administrator takes down.
                    waits = 0;
                    self.resume_io();
                }
                continue;
            }
            // A disk that failed stays until the handler that is told of it has ended, and a node whose handler runs does not
            // connect.
            let waits_for_handler = self.nodes.iter().any(|node| {
                node.life
                    .as_ref()
                    .is_some_and(|life| life.handler.is_some())
            });
            if waits_for_handler {
                continue;
            }
            for node in 0..2 {
                if self.is_suspended_by_hand(node) {
                    self.admin(node, Admin::ResumeIo(0));
                }
                // A round counts once, however many volumes: it may take a node ten seconds to miss a peer that crashed, and until
                // then it knows a Primary that uses other data.
                let mut lacks_a_disk = false;
                for volume in 0..self.setup.volumes {
                    let Some(state) = self.engine_state(node, volume) else {
                        continue;
                    };
                    if state.user_paused {
                        self.admin(node, Admin::ResumeSync(volume as u8));
                    }
                    if state.disk == DiskState::Diskless {
                        self.admin(node, Admin::Attach(volume as u8));
                        lacks_a_disk = true;
                    }
                }
                diskless[node] += u32::from(lacks_a_disk);
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
            // A device that took over the size of its peer refuses a smaller disk, alone or not, until it is made anew.
            let may_help = self.rules_are_missing() && attached_alone < 10;
            if may_help && diskless.iter().any(|times| *times >= 3) {
                diskless = [0; 2];
                attached_alone += 1;
                self.attach_alone();
            } else if let Some(node) = (0..2).find(|node| diskless[*node] >= 20) {
                // The peer does not want this disk.
                diskless = [0; 2];
                self.start_anew(node);
            } else if stand_alone.iter().any(|times| *times >= 4) {
                stand_alone = [0; 2];
                self.split_brain();
            } else if stuck > 5 {
                stuck = 0;
                self.renew();
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
        if let Some(victim) = self.lost_to_an_old_protocol() {
            self.coverage.count("targets that needed a newer protocol");
            self.make_anew(victim);
            return;
        }
        if self.plan.as_ref().is_some_and(|plan| plan.orderly) {
            self.fail("split brain in an orderly world".into());
            return;
        }
        if (0..self.setup.volumes).any(|volume| self.has_no_good_disk(volume)) {
            // They may refuse each other for that: a new disk needs a source, and there is none.
            self.declare();
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

    /// Before protocol 91 nobody can tell how far a target got that its source lost early: both refuse to connect, as in
    /// 8.4. The target is no use, and its administrator knows it. Nor is a Primary's disk that is Inconsistent and called as the peer's good one,
    /// where rule 41 is missing.
    fn lost_to_an_old_protocol(&self) -> Option<usize> {
        let old = self.setup.newest_protocol < 91;
        if !old && !self.rules_are_missing() {
            return None;
        }
        let status = |node: usize| {
            let life = self.nodes[node].life.as_ref()?;
            life.engine.status(DeviceIndex(0))
        };
        let (first, second) = (status(0)?, status(1)?);
        let is_worse = |worse: &DeviceStatus, better: &DeviceStatus| {
            let (
                [worse_current, worse_bitmap, ..],
                [better_current, better_bitmap, better_past, _],
            ) = (worse.uuids, better.uuids);
            // It finished, and its source did not.
            let finished =
                same_data(worse_current, better_current) && worse_bitmap == 0 && better_bitmap != 0;
            // It crashed before it noted the start.
            let never_noted = better.state.peer_disk == DiskState::Outdated
                && worse.state.peer_disk != DiskState::Outdated;
            // It never heard of the start, and its source went on alone (rules 51 and 71).
            let never_heard =
                same_data(worse_current, better_past) && worse_bitmap == 0 && better_bitmap != 0;
            let inconsistent = worse.state.disk != DiskState::UpToDate
                && (old || same_data(worse_current, better_current));
            better.state.disk == DiskState::UpToDate
                && (inconsistent || (old && (finished || never_noted || never_heard)))
        };
        let victim = match (is_worse(&first, &second), is_worse(&second, &first)) {
            (true, false) => 0,
            (false, true) => 1,
            _ => return None,
        };
        // Data that does not fit on the other disk, because it was used alone: with any protocol that is another matter.
        (self.engine_size(victim, 0) >= self.engine_size(1 - victim, 0)).then_some(victim)
    }

    /// Whether some comparisons of UUIDs end with "To resolve this both sides have to support ...", as in 8.4.
    fn rules_are_missing(&self) -> bool {
        const WRITE_SAME: u32 = 4;
        self.setup.newest_protocol < 101 || self.setup.features & WRITE_SAME == 0
    }

    /// A peer that cannot tell what a disk is worth refuses it for ever. An administrator attaches it without that peer.
    fn attach_alone(&mut self) {
        self.coverage.count("disks that a peer could not compare");
        for node in 0..2 {
            let _ = self.command(node, Admin::DisconnectForced);
        }
        for node in 0..2 {
            for volume in 0..self.setup.volumes {
                let _ = self.command(node, Admin::Attach(volume as u8));
            }
        }
    }

    /// `create-md`: what was there is given up.
    fn start_anew(&mut self, victim: usize) {
        if self.plan.as_ref().is_some_and(|plan| plan.orderly) {
            self.fail(format!(
                "node {victim} cannot come back in an orderly world"
            ));
            return;
        }
        self.make_anew(victim);
    }

    fn make_anew(&mut self, victim: usize) {
        self.crash(victim);
        for volume in 0..self.setup.volumes {
            let uuid = self.rng.next();
            crate::metadata::create(&mut self.nodes[victim].disks[volume], uuid);
        }
        self.boot(victim);
        self.up(victim);
    }

    /// `drbdadm resume-io`: what waits for data fails.
    fn resume_io(&mut self) {
        let now = self.now / 1000;
        for node in 0..2 {
            for volume in 0..self.setup.volumes {
                if let Some(life) = self.nodes[node].life.as_mut() {
                    let change = Change::none().suspended_no_data(false);
                    let _ = life
                        .engine
                        .at(now)
                        .request_change(DeviceIndex(volume as u8), change);
                }
            }
            self.settle(node);
        }
    }

    /// A disk that passed an error on stays Inconsistent, until an administrator takes it away and puts it back.
    fn renew(&mut self) {
        for node in 0..2 {
            for volume in 0..self.setup.volumes {
                let passed_on = self.engine_state(node, volume).is_some_and(|state| {
                    state.connection == ConnectionState::Connected
                        && state.disk == DiskState::Inconsistent
                        && state.peer_disk == DiskState::UpToDate
                });
                if passed_on {
                    let _ = self.command(node, Admin::Detach(volume as u8));
                }
            }
        }
    }

    fn has_no_good_disk(&self, volume: usize) -> bool {
        (0..2).all(|node| {
            self.engine_state(node, volume)
                .is_some_and(|state| state.disk < DiskState::UpToDate)
        })
    }

    /// No disk is UpToDate: an administrator declares one to be.
    fn declare(&mut self) {
        for volume in 0..self.setup.volumes {
            if !self.has_no_good_disk(volume) {
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
                // Whoever waits for data hears that there is none.
                let _ = self.command(role, Admin::ResumeIo(volume as u8));
                let _ = self.command(role, Admin::Demote(volume as u8));
            }
            // Nobody is promoted beside a peer that is Primary of another volume.
            for other in 0..self.setup.volumes {
                if self.is_primary(1 - node, other) {
                    let _ = self.command(1 - node, Admin::Demote(other as u8));
                }
            }
            let _ = self.command(node, Admin::PromoteForced(volume as u8));
            let _ = self.command(node, Admin::Demote(volume as u8));
        }
    }
}
