// SPDX-License-Identifier: GPL-2.0-only

//! A node that is down starts again, and is configured as its administrator does it each time.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "boots",
    weight: 10,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let node = rng.node();
    world.nodes[node].life.is_none() && {
        world.start_again(node);
        true
    }
}
