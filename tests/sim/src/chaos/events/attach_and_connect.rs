// SPDX-License-Identifier: GPL-2.0-only

//! An administrator looks at a node, and puts right what is not as it should be: `drbdadm up`.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "repairs",
    weight: 15,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    world.repair(rng.node())
}
