// SPDX-License-Identifier: GPL-2.0-only

//! The link becomes slow, or as fast as it was.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "changes of the speed of the link",
    weight: 5,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    world.slowness = *rng.pick(&[0, 0, 20_000, 300_000]);
    true
}
