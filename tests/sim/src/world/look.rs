// SPDX-License-Identifier: GPL-2.0-only

//! How things stand.

use drbd_core::state::{ConnectionState, DiskState, Role};

use crate::world::World;

impl World<'_> {
    /// Both disks in order, both nodes connected.
    pub fn in_sync(&self) -> bool {
        (0..2).all(|node| {
            (0..self.setup.volumes).all(|volume| {
                self.engine_state(node, volume).is_some_and(|state| {
                    state.connection == ConnectionState::Connected
                        && state.disk == DiskState::UpToDate
                        && state.peer_disk == DiskState::UpToDate
                })
            })
        })
    }

    /// The link over which writes of a Primary go to an UpToDate peer.
    pub fn mirroring_link(&self, node: usize, volume: u8) -> Option<u32> {
        let state = self.engine_state(node, usize::from(volume))?;
        let mirrored = state.connection >= ConnectionState::Connected
            && state.peer_disk == DiskState::UpToDate;
        self.current_link(node).filter(|_| mirrored)
    }

    /// Whether promises are to be kept here: an orderly world of chaos.
    pub fn promises(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.promises)
    }

    /// An administrator has applications wait on this node.
    pub fn is_suspended_by_hand(&self, node: usize) -> bool {
        (0..self.setup.volumes).any(|volume| {
            self.engine_state(node, volume)
                .is_some_and(|state| state.suspended)
        })
    }

    /// Nothing is under way.
    pub fn is_idle(&self) -> bool {
        let quiet = (0..2)
            .filter_map(|node| self.links.get(&self.current_link(node)?))
            .all(|link| link.pipes.iter().flatten().all(|pipe| pipe.unread() == 0));
        quiet
            && self.nodes.iter().all(|node| {
                node.life.as_ref().is_none_or(|life| {
                    life.requests.is_empty()
                        && life.backlog.is_empty()
                        && life.disk_io.is_empty()
                        && life.digesting == 0
                        && life.peer_pages.is_empty()
                        && life.running.is_none()
                        && life.sending.is_empty()
                        && !life.scheduled.data
                        && !life.scheduled.meta
                        && life.helpers.is_idle()
                        && !life.engine.has_effects()
                })
            })
    }

    /// What keeps the nodes busy.
    pub fn busy(&self) -> String {
        let mut text = String::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let Some(life) = node.life.as_ref() else {
                continue;
            };
            for (what, count) in [
                ("requests", life.requests.len()),
                ("requests without room", life.backlog.len()),
                ("disk I/O", life.disk_io.len()),
                ("peer requests", life.peer_pages.len()),
                ("command", usize::from(life.running.is_some())),
                ("effects", usize::from(life.engine.has_effects())),
                ("sending", life.sending.len()),
                ("data to send", usize::from(life.scheduled.data)),
                ("answers to send", usize::from(life.scheduled.meta)),
                ("handlers", life.helpers.count()),
            ] {
                if count > 0 {
                    text.push_str(&format!("; node {number}: {count} {what}"));
                }
            }
            if let Some(link) = self.current_link(number).and_then(|id| self.links.get(&id)) {
                for (socket, pipe) in link.pipes[number].iter().enumerate() {
                    if pipe.unread() > 0 {
                        let what = ["data", "meta"][socket];
                        let unread = pipe.unread();
                        text.push_str(&format!("; {unread} bytes of {what} from node {number}"));
                    }
                }
            }
        }
        text
    }

    pub fn is_primary(&self, node: usize, volume: usize) -> bool {
        self.engine_state(node, volume)
            .is_some_and(|state| state.role == Role::Primary)
    }

    /// The first lines of a story: what kind of world this is.
    pub fn introduce(&self) {
        let setup = &self.setup;
        let orderly = self.plan.as_ref().is_some_and(|plan| plan.orderly);
        println!("seed {}: alice and bob, {} volumes of {} sectors, metadata {}, protocol {:?}, disks {} and up to {} us slow, cables up to {} us",
            self.seed,
            setup.volumes,
            setup.device_sectors,
            if setup.internal { "internal" } else { "external" },
            setup.net.wire_protocol,
            if setup.volatile { "with a volatile cache" } else { "without a cache" },
            setup.disk_latency,
            setup.net_latency,
        );
        println!(
            "the world is {}",
            if orderly {
                "orderly: a cluster manager keeps the rules, and every promise is checked"
            } else {
                "wild: anyone does anything"
            }
        );
    }
}
