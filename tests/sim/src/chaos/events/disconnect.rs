// SPDX-License-Identifier: GPL-2.0-only

//! `drbdadm disconnect`, by force at times.

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "disconnects",
    weight: 5,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let command = if rng.chance(30) {
        Admin::DisconnectForced
    } else {
        Admin::Disconnect
    };
    world.wish(rng.node(), command)
}
