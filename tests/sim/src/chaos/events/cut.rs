// SPDX-License-Identifier: GPL-2.0-only

//! A connection breaks, at any byte; the next one may come at once.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "cut connections",
    weight: 10,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let _ = rng;
    world.cut();
    true
}
