// SPDX-License-Identifier: GPL-2.0-only

//! `drbdadm verify`, of a part or of all, whatever goes on.

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "verifies",
    weight: 4,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let (node, volume) = (rng.node(), rng.volume(world));
    let size = world.engine_size(node, usize::from(volume)).max(1);
    let start = rng.chance(50).then(|| rng.below(2 * size));
    let stop = if rng.chance(50) {
        rng.below(size)
    } else {
        u64::MAX
    };
    world.wish(node, Admin::Verify(volume, start, stop))
}
