// SPDX-License-Identifier: GPL-2.0-only

//! A disk fails now and then, whatever it is asked for, its metadata included. Or it is repaired.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "disks that begin to fail, or are repaired",
    weight: 3,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    if world.plan().local_disk_always {
        return false;
    }
    world.nodes[rng.node()].faults = *rng.pick(&[0, 0, 0, 1, 20, 300]);
    true
}
