// SPDX-License-Identifier: GPL-2.0-only

//! `drbdadm pause-sync`

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "pauses of a resync",
    weight: 4,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let volume = rng.volume(world);
    world.wish(rng.node(), Admin::PauseSync(volume))
}
