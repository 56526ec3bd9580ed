// SPDX-License-Identifier: GPL-2.0-only

//! An attach that comes to nothing: the disk cannot be opened, or there is no memory.

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "attaches that come to nothing",
    weight: 2,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let volume = rng.volume(world);
    world.wish(rng.node(), Admin::AttachInVain(volume))
}
