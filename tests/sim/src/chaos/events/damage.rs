// SPDX-License-Identifier: GPL-2.0-only

//! A cable that flips bits: data that goes over it with a digest costs the connection, and nothing else.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "packets to be damaged",
    weight: 4,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    if world.setup.net.integrity_alg.is_empty() {
        return false;
    }
    world.damage[rng.node()] = true;
    true
}
