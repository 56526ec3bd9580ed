// SPDX-License-Identifier: GPL-2.0-only

//! `drbdadm suspend-io`

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "suspensions of I/O",
    weight: 2,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let volume = rng.volume(world);
    world.wish(rng.node(), Admin::SuspendIo(volume))
}
