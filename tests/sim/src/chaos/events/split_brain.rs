// SPDX-License-Identifier: GPL-2.0-only

//! The network goes, and both nodes are promoted; or it comes back, and some of them are demoted before.

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "split brains, made or ended",
    weight: 0,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let begins = world.network;
    world.set_network(!begins);
    for node in 0..2 {
        for volume in 0..world.setup.volumes as u8 {
            if begins {
                world.wish(node, Admin::Promote(volume));
            } else if rng.chance(50) {
                world.wish(node, Admin::Demote(volume));
            }
        }
        if !begins {
            world.repair(node);
        }
    }
    true
}
