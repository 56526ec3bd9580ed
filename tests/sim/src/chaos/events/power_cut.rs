// SPDX-License-Identifier: GPL-2.0-only

//! The power goes for both nodes at once: in the middle of anything, or of a switch-over.

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::{Ev, World};

pub const EVENT: Event = Event {
    name: "power cuts",
    weight: 2,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let primary = (0..2).find(|node| world.is_primary(*node, 0));
    // The manager of an orderly world moves the Primary where both have everything.
    if let Some(node) = primary.filter(|_| rng.chance(50)) {
        if world.is_quiet() && world.plan().current == [true; 2] {
            begin_switch_over(world, node);
        }
    }
    let soon = world.now + rng.range(0, 5000);
    for node in 0..2 {
        let boot = world.nodes[node].boot;
        world.push(soon, Ev::Crash(node, boot));
    }
    true
}

/// The one is Secondary, as far as it knows itself, and the other about to be Primary: what their disks say is another matter.
fn begin_switch_over(world: &mut World<'_>, from: usize) {
    world.keep_calm(true);
    let volumes = 0..world.setup.volumes as u8;
    let demoted = volumes
        .clone()
        .all(|volume| world.command(from, Admin::Demote(volume)).is_ok());
    // That took its time.
    if demoted && world.is_quiet() {
        for volume in volumes {
            world.admin(1 - from, Admin::Promote(volume));
        }
    }
    world.keep_calm(false);
}
