// SPDX-License-Identifier: GPL-2.0-only

//! A read does not fail while the peer has the data and can be asked.

use drbd_core::resource::request::Operation;
use drbd_core::wire::data::max_bio_size;

use super::{Checker, Verdict};
use crate::app::Record;
use crate::world::World;

pub struct ReadErrors;

impl Checker for ReadErrors {
    fn name(&self) -> &'static str {
        "read errors"
    }

    fn ends(&mut self, world: &World<'_>, number: u64, record: &Record) -> Verdict {
        let failed = record.ended.is_some_and(|(_, good)| !good);
        if record.io.operation != Operation::Read || record.io.read_ahead || !failed {
            return Ok(());
        }
        let peer = &world.nodes[1 - record.node];
        let good_peer = peer.faults == 0
            && peer.read_faults == 0
            && peer.boot == record.peer_boot
            && world.disk_is_good(1 - record.node, record.volume);
        // Longer than its protocol has room for: from before it connected.
        let asked = record.io.size <= max_bio_size(world.setup.newest_protocol)
            && record.link.is_some()
            && record.link == world.mirroring_link(record.node, record.volume);
        if good_peer && asked {
            return Err(format!(
                "node {}: read {number} failed, and the peer has the data",
                record.node
            ));
        }
        Ok(())
    }
}
