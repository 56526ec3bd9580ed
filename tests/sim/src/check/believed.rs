// SPDX-License-Identifier: GPL-2.0-only

//! At the moment in which a node comes to believe that both disks are UpToDate they are equal, but for what is being written:
//! from then on applications may read from either, and a node that goes is missed in nothing.

use drbd_core::config::policy::Protocol;
use drbd_core::state::{ConnectionState, DiskState};

use super::{Checker, Verdict};
use crate::admin::Admin;
use crate::world::World;

pub struct Believed;

impl Checker for Believed {
    fn name(&self) -> &'static str {
        "believed"
    }

    fn believes(&mut self, world: &World<'_>, node: usize, volume: u8) -> Verdict {
        let peer = 1 - node;
        // What a node has not heard yet is no fault of its own.
        let same_link = world.current_link(node).is_some()
            && world.current_link(node) == world.current_link(peer);
        // Nor is a peer that has just pulled ahead, or has let the link or this disk go, and writes alone.
        let peer_works = world
            .engine_state(peer, usize::from(volume))
            .is_some_and(|state| {
                state.disk >= DiskState::Inconsistent
                    && state.peer_disk > DiskState::Failed
                    && state.connection > ConnectionState::TearDown
                    && state.connection != ConnectionState::Ahead
            });
        let passed_on = world.nodes.iter().any(|node| node.passed_on);
        // A peer that asks whether it may let its disk go, and was told that it may, has not heard that yet.
        let asks = world.nodes[peer]
            .life
            .as_ref()
            .and_then(|life| life.running.as_ref())
            .is_some_and(|running| running.command == Admin::Detach(volume));
        let excused = asks || passed_on || world.declared_equal || !world.rotten.is_empty();
        if !same_link || !peer_works || excused {
            return Ok(());
        }
        let number = usize::from(volume);
        let size = world
            .engine_size(node, number)
            .min(world.engine_size(peer, number));
        let [own, other] = [node, peer].map(|node| world.nodes[node].disks[number].look(0, size));
        let differs = (0..size).find(|sector| {
            own[*sector as usize] != other[*sector as usize]
                && !is_being_written(world, volume, *sector)
        });
        world.coverage.count("beliefs that both disks are equal");
        match differs {
            Some(sector) => Err(format!(
                "node {node} believes that both disks of volume {volume} are UpToDate, and sector {sector} is {} here and {} there",
                own[sector as usize], other[sector as usize]
            )),
            None => Ok(()),
        }
    }
}

/// With protocols A and B an application hears of the end before the peer has it.
fn is_being_written(world: &World<'_>, volume: u8, sector: u64) -> bool {
    world.history.records.values().any(|record| {
        record.writes(volume, sector) && (record.ended.is_none() || record.protocol != Protocol::C)
    })
}
