// SPDX-License-Identifier: GPL-2.0-only

//! The world heals: everything works, and an administrator repairs what needs one. Progress is demanded.

use drbd_core::resource::device::DeviceIndex;
use drbd_core::state::{Change, ConnectionState, DiskState};

use super::PATIENCE;
use crate::admin::Admin;
use crate::world::World;

/// Microseconds for a sector at 250 KiB/s.
const SLOW_SECTOR: u64 = 2000;

impl World<'_> {
    pub(super) fn heal(&mut self) {
        if !self.failures.is_empty() {
            return;
        }
        self.tell(2, || "the world heals".into());
        self.set_network(true);
        self.slowness = 0;
        self.setup.slow_handlers = None;
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
        // Where a node without a disk connects its peer takes the default rate over, 250 KiB/s, for what it copies later.
        let copies = self.setup.device_sectors * SLOW_SECTOR;
        let end = self.now + turns * (PATIENCE + copies);
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
                    .is_some_and(|life| !life.helpers.is_idle())
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
}
