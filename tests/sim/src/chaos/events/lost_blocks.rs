// SPDX-License-Identifier: GPL-2.0-only

//! A disk begins to lose blocks: reading them fails. Or it is repaired.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "disks that begin to lose blocks, or are repaired",
    weight: 4,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    if world.plan().local_disk_always {
        return false;
    }
    world.nodes[rng.node()].read_faults = *rng.pick(&[0, 0, 5, 100, 500]);
    true
}
