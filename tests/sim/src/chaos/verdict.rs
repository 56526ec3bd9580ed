// SPDX-License-Identifier: GPL-2.0-only

//! The administrator who decides: both nodes refuse each other, or nobody has good data.

use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::DeviceStatus;
use drbd_core::state::DiskState;
use drbd_core::uuid::same_data;

use crate::admin::Admin;
use crate::world::World;

impl World<'_> {
    /// Both nodes refuse each other: an administrator decides who loses.
    pub(super) fn split_brain(&mut self) {
        let orderly = self.plan.as_ref().is_some_and(|plan| plan.orderly);
        if !orderly && (0..self.setup.volumes).any(|volume| self.has_no_good_disk(volume)) {
            // They may refuse each other for that: a new disk needs a source, and there is none. Nor does it help to make another one new.
            self.declare();
            return;
        }
        if let Some(victim) = self.lost_to_an_old_protocol() {
            self.coverage.count("targets that needed a newer protocol");
            self.make_anew(victim);
            return;
        }
        if orderly {
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

    /// Before protocol 91 nobody can tell how far a target got that its source lost early: both refuse to connect, as in
    /// 8.4. The target is no use, and its administrator knows it. Nor is a Primary's disk that is Inconsistent and called as the peer's good one,
    /// where rule 41 is missing.
    fn lost_to_an_old_protocol(&self) -> Option<usize> {
        let old = self.setup.newest_protocol < 91;
        if !old && !self.rules_are_missing() {
            return None;
        }
        // One volume is enough for both to refuse; a node that has the better data of another one is no victim.
        let mut victims =
            (0..self.setup.volumes).filter_map(|volume| self.lost_volume(volume, old));
        let victim = victims.next()?;
        victims.all(|other| other == victim).then_some(victim)
    }

    /// Who has the worse disk of this volume, and no way to say so.
    fn lost_volume(&self, volume: usize, old: bool) -> Option<usize> {
        let status = |node: usize| {
            let life = self.nodes[node].life.as_ref()?;
            life.engine.status(DeviceIndex(volume as u8))
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
        (self.engine_size(victim, volume) >= self.engine_size(1 - victim, volume)).then_some(victim)
    }

    /// Whether some comparisons of UUIDs end with "To resolve this both sides have to support ...", as in 8.4.
    pub(super) fn rules_are_missing(&self) -> bool {
        const WRITE_SAME: u32 = 4;
        self.setup.newest_protocol < 101 || self.setup.features & WRITE_SAME == 0
    }

    /// A peer that cannot tell what a disk is worth refuses it for ever. An administrator attaches it without that peer.
    pub(super) fn attach_alone(&mut self) {
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
    pub(super) fn start_anew(&mut self, victim: usize) {
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

    pub(super) fn has_no_good_disk(&self, volume: usize) -> bool {
        (0..2).all(|node| {
            self.engine_state(node, volume)
                .is_some_and(|state| state.disk < DiskState::UpToDate)
        })
    }

    /// No disk is UpToDate: an administrator declares one to be.
    pub(super) fn declare(&mut self) {
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
