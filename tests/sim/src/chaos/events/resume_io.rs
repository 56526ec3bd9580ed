// SPDX-License-Identifier: GPL-2.0-only

//! `drbdadm resume-io`

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "resumptions of I/O",
    weight: 8,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let node = rng.node();
    world.is_suspended_by_hand(node) && world.wish(node, Admin::ResumeIo(0))
}
