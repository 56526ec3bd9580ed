// SPDX-License-Identifier: GPL-2.0-only

//! `drbdadm outdate`: in an orderly world only fence handlers do that, and there are none.

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "disks declared Outdated",
    weight: 2,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let volume = rng.volume(world);
    !world.plan().orderly && world.wish(rng.node(), Admin::Outdate(volume))
}
