// SPDX-License-Identifier: GPL-2.0-only

//! What a node wrote alone is not replaced by other data, unless somebody said so: a policy for a split brain, or an
//! administrator. And a policy says what its name says.

use std::collections::{BTreeMap, BTreeSet};

use drbd_core::config::policy::{
    AfterSplitBrain0p, AfterSplitBrain1p, AfterSplitBrain2p, RoleConflict,
};
use drbd_core::resource::log::LogMessage;
use drbd_core::state::{ConnectionState, DiskState, Role, State};
use drbd_core::uuid::handshake::{Direction, Note, Reason};
use drbd_core::uuid::Uuids;

use super::{Checker, Verdict};
use crate::admin::Admin;
use crate::app::Record;
use crate::world::World;

/// A node, and a volume.
type Place = (usize, u8);

#[derive(Default)]
pub struct Discarded {
    /// What applications were told is there, and only this node has, by sector.
    alone: BTreeMap<Place, BTreeMap<u64, u64>>,
    /// Whose changes may go: somebody said so since both were equal.
    given_up: BTreeSet<Place>,
    roles: BTreeMap<Place, Role>,
    /// Blocks that each says to have changed, as the other was told.
    changes: BTreeMap<Place, u64>,
    /// Commands that were looked at.
    ended: usize,
}

impl Checker for Discarded {
    fn name(&self) -> &'static str {
        "discarded"
    }

    fn begins(&mut self, _world: &World<'_>, _number: u64, record: &Record) -> Verdict {
        if !record.io.is_write() {
            return Ok(());
        }
        // What zeros replace may be zeros.
        let written = record.io.sector..record.io.sector + record.io.sectors();
        for node in (0..2).filter(|node| *node == record.node || record.link.is_some()) {
            if let Some(sectors) = self.alone.get_mut(&(node, record.volume)) {
                sectors.retain(|sector, _| !written.contains(sector));
            }
        }
        Ok(())
    }

    fn ends(&mut self, world: &World<'_>, _number: u64, record: &Record) -> Verdict {
        let place = (record.node, record.volume);
        let succeeded = record.ended.is_some_and(|(_, good)| good);
        let alone = record.link.is_none()
            && record.good_disk
            && world
                .engine_state(record.node, usize::from(record.volume))
                .is_some_and(|state| {
                    state.disk == DiskState::UpToDate
                        && state.connection < ConnectionState::Connected
                });
        if record.io.is_write() && succeeded && alone {
            let sectors = self.alone.entry(place).or_default();
            sectors.extend((record.io.sector..).zip(record.values.iter().copied()));
        }
        Ok(())
    }

    fn state_changed(
        &mut self,
        world: &World<'_>,
        node: usize,
        volume: u8,
        old: &State,
        new: &State,
    ) -> Verdict {
        let number = usize::from(volume);
        self.roles.insert((node, volume), new.role);
        if new.connection < ConnectionState::WFReportParams {
            self.changes.remove(&(1 - node, volume));
        }
        let becomes_target = new.connection == ConnectionState::WFBitMapT
            && old.connection != ConnectionState::WFBitMapT
            && old.disk >= DiskState::Consistent;
        let violently = world.nodes[node].net.rr_conflict == RoleConflict::Violently;
        if becomes_target && new.role == Role::Primary && !violently {
            return Err(format!(
                "node {node}: volume {volume} is Primary, and becomes the target of a resync"
            ));
        }
        let in_sync = new.connection == ConnectionState::Connected
            && new.disk == DiskState::UpToDate
            && new.peer_disk == DiskState::UpToDate;
        if in_sync {
            self.given_up.remove(&(node, volume));
            for node in 0..2 {
                let other = &world.nodes[1 - node].disks[number];
                if let Some(sectors) = self.alone.get_mut(&(node, volume)) {
                    // The other disk may be smaller.
                    sectors.retain(|sector, value| other.value(*sector) != Some(*value));
                }
            }
        }
        Ok(())
    }

    fn logged(
        &mut self,
        world: &World<'_>,
        node: usize,
        volume: Option<u8>,
        line: &LogMessage,
    ) -> Verdict {
        let Some(volume) = volume else {
            return Ok(());
        };
        let note = match *line {
            LogMessage::Handshake(note) => note,
            LogMessage::PeerUuids { bits, .. } => {
                self.changes.insert((1 - node, volume), bits);
                return Ok(());
            }
            // Somebody has made new metadata.
            LogMessage::Uuids { uuids, .. } if uuids == Uuids::NEW_DISK.to_array() => {
                self.alone.remove(&(node, volume));
                return Ok(());
            }
            _ => return Ok(()),
        };
        let direction = match note {
            Note::SolvedByPolicy {
                primaries,
                direction,
            } => {
                let allowed = self.allows(world, (node, volume), primaries, direction);
                if !allowed {
                    let net = &world.nodes[node].net;
                    return Err(format!(
                        "node {node}: {note}, with policies {:?}, {:?}, {:?}",
                        net.after_sb_0p, net.after_sb_1p, net.after_sb_2p
                    ));
                }
                world.coverage.count("split brains that a policy resolved");
                direction
            }
            Note::SolvedByAdministrator(direction) => direction,
            Note::Refused(Reason::SplitBrain) if world.promises() => Direction::Source,
            _ => return Ok(()),
        };
        if world.promises() {
            return Err(format!("node {node}: {note}, in an orderly world"));
        }
        let loser = match direction {
            Direction::Target => node,
            Direction::Source => 1 - node,
        };
        self.given_up.insert((loser, volume));
        Ok(())
    }

    fn resync_writes(
        &mut self,
        world: &World<'_>,
        node: usize,
        volume: u8,
        sector: u64,
        values: &[u64],
    ) -> Verdict {
        self.look_at_commands(world);
        let place = (node, volume);
        let excused = world.nodes[node].passed_on || world.declared_equal;
        let Some(alone) = self.alone.get(&place) else {
            return Ok(());
        };
        if excused || self.given_up.contains(&place) {
            return Ok(());
        }
        let held = world.nodes[node].disks[usize::from(volume)].look(sector, values.len() as u64);
        let lost = (sector..)
            .zip(held.iter().zip(values))
            .find(|(at, (held, new))| held != new && alone.get(at) == Some(held));
        match lost {
            Some((at, (held, new))) => Err(format!(
                "node {node}: write {held} at sector {at} of volume {volume} was done there alone, and a resync puts {new} in its place"
            )),
            None => Ok(()),
        }
    }
}

impl Discarded {
    /// What administrators have said since: data that is to be replaced, or declared good.
    fn look_at_commands(&mut self, world: &World<'_>) {
        let running = world.nodes.iter().enumerate().filter_map(|(node, place)| {
            let running = place.life.as_ref()?.running.as_ref()?;
            Some((node, running.command))
        });
        let ended = world.ended.iter().skip(self.ended);
        for (node, command) in ended
            .map(|(node, command, _)| (*node, *command))
            .chain(running)
        {
            match command {
                Admin::Invalidate(volume) => {
                    self.given_up.insert((node, volume));
                }
                Admin::InvalidateRemote(volume) => {
                    self.given_up.insert((1 - node, volume));
                }
                Admin::PromoteForced(volume)
                | Admin::NewCurrentUuid(volume)
                | Admin::NewCurrentUuidClear(volume) => {
                    self.given_up.extend([(0, volume), (1, volume)]);
                }
                _ => {}
            }
        }
        self.ended = world.ended.len();
    }

    /// Whether the policies of a node have it decide so.
    fn allows(&self, world: &World<'_>, place: Place, primaries: u8, direction: Direction) -> bool {
        let net = &world.nodes[place.0].net;
        let is_primary = self.roles.get(&place) == Some(&Role::Primary);
        let primary_wins = (direction == Direction::Source) == is_primary;
        let without_primary = self.allows_without_primary(world, place, direction);
        match primaries {
            0 => without_primary,
            1 => match net.after_sb_1p {
                AfterSplitBrain1p::Disconnect => false,
                AfterSplitBrain1p::DiscardSecondary => primary_wins,
                AfterSplitBrain1p::Consensus => primary_wins && without_primary,
                AfterSplitBrain1p::CallHelper | AfterSplitBrain1p::Violently => without_primary,
            },
            _ => net.after_sb_2p != AfterSplitBrain2p::Disconnect && without_primary,
        }
    }

    fn allows_without_primary(
        &self,
        world: &World<'_>,
        place: Place,
        direction: Direction,
    ) -> bool {
        use AfterSplitBrain0p as P;
        let (node, volume) = place;
        let loser = match direction {
            Direction::Target => node,
            Direction::Source => 1 - node,
        };
        // What one of them heard over another link is something else.
        let same_link = world.current_link(0) == world.current_link(1);
        let changes = |node: usize| {
            let told = self.changes.get(&(node, volume)).copied();
            told.filter(|_| same_link)
        };
        let (lost, kept) = (changes(loser), changes(1 - loser));
        match world.nodes[node].net.after_sb_0p {
            P::Disconnect => false,
            P::DiscardLocal => direction == Direction::Target,
            P::DiscardRemote => direction == Direction::Source,
            // A node that has not heard yet what the other says has nothing to say about it.
            P::DiscardZeroChanges => lost.is_none_or(|lost| lost == 0),
            P::DiscardLeastChanges => lost.zip(kept).is_none_or(|(lost, kept)| lost <= kept),
            P::DiscardYoungerPrimary | P::DiscardOlderPrimary => true,
        }
    }
}
