// SPDX-License-Identifier: GPL-2.0-only

//! `drbdadm down` on a Secondary, and `drbdadm up`.

use drbd_core::state::Role;

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "nodes taken down, and up again",
    weight: 3,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let node = rng.node();
    let volumes = 0..world.setup.volumes;
    let secondary = volumes.clone().all(|volume| {
        world
            .engine_state(node, volume)
            .is_some_and(|state| state.role == Role::Secondary)
    });
    let idle = world.nodes[node]
        .life
        .as_ref()
        .is_some_and(|life| life.admin.is_empty() && life.running.is_none());
    if !secondary || !idle {
        return false;
    }
    world.admin(node, Admin::Disconnect);
    for volume in volumes {
        world.admin(node, Admin::Detach(volume as u8));
    }
    world.admin(node, Admin::Remove);
    true
}
