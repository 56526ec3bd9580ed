// SPDX-License-Identifier: GPL-2.0-only

//! The cluster manager moves the Primary, where the rules allow it.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "moves of the cluster manager",
    weight: 8,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let node = rng.node();
    world.move_primary(node)
}
