// SPDX-License-Identifier: GPL-2.0-only

//! A partition ends.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "ends of partitions",
    weight: 12,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let _ = rng;
    !world.network && {
        world.set_network(true);
        true
    }
}
