// SPDX-License-Identifier: GPL-2.0-only

//! An administrator changes `data-integrity-alg`, connected or not; mostly on both nodes, one after the other.

use drbd_core::config::text::Text;

use crate::chaos::events::Event;
use crate::integrity::DIGESTS;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "changes of a digest",
    weight: 4,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    // An older peer could not be told: 8.4 refuses it while connected.
    if world.setup.newest_protocol < 100 {
        return false;
    }
    if world.setup.net.integrity_alg.is_empty() || !world.may_change_options() {
        return false;
    }
    let name: &[u8] = match rng.below(4) {
        0 => b"",
        _ => rng.pick(DIGESTS).0,
    };
    let name = Text::truncated(name);
    let first = rng.node();
    world.tell(first, || format!("gets data-integrity-alg {name}"));
    world.adjust_integrity(first, name);
    if rng.chance(80) {
        world.adjust_integrity(1 - first, name);
    }
    true
}
