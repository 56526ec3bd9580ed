// SPDX-License-Identifier: GPL-2.0-only

//! A node stops dead; what its disk had not flushed may be gone.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "crashes",
    weight: 6,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let node = rng.node();
    let lives = world.nodes[node].life.is_some();
    world.crash(node);
    lives
}
