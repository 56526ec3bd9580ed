// SPDX-License-Identifier: GPL-2.0-only

//! A disk takes very long for what is asked of it, or is as fast as it was.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "disks that hang, or go on",
    weight: 3,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    // `disk-timeout` may give up the only good disk.
    if world.plan().local_disk_always || world.plan().orderly {
        return false;
    }
    let usual = world.setup.disk_latency;
    world.nodes[rng.node()].latency = *rng.pick(&[usual, usual, 3_000_000, 20_000_000]);
    true
}
