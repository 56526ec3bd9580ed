// SPDX-License-Identifier: GPL-2.0-only

//! The target of a resync, or of one that is about to begin, is detached; in a wild world its source, too.

use drbd_core::state::{ConnectionState, DiskState};

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "detaches in a resync",
    weight: 6,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let (node, volume) = (rng.node(), rng.volume(world));
    let Some(state) = world.engine_state(node, usize::from(volume)) else {
        return false;
    };
    let in_resync = state.connection > ConnectionState::Connected && !state.connection.is_verify();
    let plan = world.plan();
    let allowed = !plan.orderly || state.disk < DiskState::UpToDate;
    in_resync && allowed && !plan.local_disk_always && world.wish(node, Admin::Detach(volume))
}
