// SPDX-License-Identifier: GPL-2.0-only

//! A node stops dead just after somebody was told that something is done: what was promised must be true by then.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::{Doom, Moment, World};

pub const EVENT: Event = Event {
    name: "crashes at a bad moment",
    weight: 4,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    world.doom = Some(Doom {
        victim: rng.node(),
        moment: *rng.pick(&[Moment::Told, Moment::Answered, Moment::DiskDone]),
        left: rng.range(1, 12),
    });
    true
}
