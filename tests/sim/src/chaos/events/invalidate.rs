// SPDX-License-Identifier: GPL-2.0-only

//! `drbdadm invalidate`: in an orderly world only where the peer has everything.

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "invalidates",
    weight: 3,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let volume = rng.volume(world);
    if world.plan().orderly && !world.is_quiet() {
        return false;
    }
    world.wish(rng.node(), Admin::Invalidate(volume))
}
