// SPDX-License-Identifier: GPL-2.0-only

//! `drbdadm detach`, by force at times.

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "detaches",
    weight: 4,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    if world.plan().local_disk_always {
        return false;
    }
    let volume = rng.volume(world);
    // By force, and without a peer, a disk is given up that is the only good one.
    let command = if !world.plan().orderly && rng.chance(20) {
        Admin::DetachForced(volume)
    } else {
        Admin::Detach(volume)
    };
    world.wish(rng.node(), command)
}
