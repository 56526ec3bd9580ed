// SPDX-License-Identifier: GPL-2.0-only

//! The network between both nodes is gone.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "partitions",
    weight: 4,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let _ = rng;
    world.network && {
        world.set_network(false);
        true
    }
}
