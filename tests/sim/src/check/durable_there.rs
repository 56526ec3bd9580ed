// SPDX-License-Identifier: GPL-2.0-only

//! Protocol C: a write with FUA that was acknowledged survives a loss of power of the peer, too.

use std::collections::BTreeSet;

use drbd_core::config::policy::Protocol;
use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState, State};

use super::{Checker, Crash, Verdict};
use crate::app::Record;
use crate::world::World;

#[derive(Default)]
pub struct DurableThere {
    /// Writes that the peer has, for good.
    promised: BTreeSet<u64>,
}

impl Checker for DurableThere {
    fn name(&self) -> &'static str {
        "durable at the peer"
    }

    fn ends(&mut self, world: &World<'_>, number: u64, record: &Record) -> Verdict {
        let (node, volume, peer) = (record.node, record.volume, 1 - record.node);
        let mirrored = record.link.is_some()
            && record.link == world.mirroring_link(node, volume)
            && world.disk_is_good(peer, volume)
            && world.nodes[peer].boot == record.peer_boot;
        if mirrored
            && record.io.fua
            // Before protocol 95 no packet says so.
            && world.setup.newest_protocol >= 95
            && record.io.operation == Operation::Write
            && record.ended.is_some_and(|(_, good)| good)
            && world.nodes[node].net.wire_protocol == Protocol::C
        {
            self.promised.insert(number);
        }
        Ok(())
    }

    fn state_changed(
        &mut self,
        _world: &World<'_>,
        _node: usize,
        _volume: u8,
        _old: &State,
        new: &State,
    ) -> Verdict {
        // A resync may write the same once more, and not yet for good.
        if new.connection == ConnectionState::SyncTarget {
            self.promised.clear();
        }
        Ok(())
    }

    fn crashed(&mut self, world: &World<'_>, crash: &Crash) -> Verdict {
        for (volume, sectors) in crash.lost.iter().enumerate() {
            for (sector, before) in sectors {
                let write = world.history.records.get(before);
                let there = write.is_some_and(|write| {
                    write.node != crash.node
                        && usize::from(write.volume) == volume
                        && (write.io.sector..write.io.sector + write.io.sectors()).contains(sector)
                });
                if there && self.promised.contains(before) {
                    return Err(format!(
                        "node {}: write {before} of the peer was acknowledged with FUA, and sector {sector} did not survive",
                        crash.node
                    ));
                }
            }
        }
        Ok(())
    }
}
