// SPDX-License-Identifier: GPL-2.0-only

//! Somebody who is no peer connects to a node that looks for one, and sends what it likes.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "strangers",
    weight: 4,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let node = rng.node();
    world.visit(node, rng)
}
