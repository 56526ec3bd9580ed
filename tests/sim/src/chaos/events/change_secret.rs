// SPDX-License-Identifier: GPL-2.0-only

//! An administrator gets the secret of one node wrong, leaves it out, or puts it right.

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::secrets::RIGHT;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "changes of a secret",
    weight: 8,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    if !world.has_secrets() || !world.may_change_options() {
        return false;
    }
    let secret: &[u8] = match rng.below(6) {
        0 => b"open barley",
        1 => b"",
        _ => RIGHT,
    };
    let node = rng.node();
    world.tell(node, || "gets a secret".into());
    world.adjust_secret(node, secret);
    true
}
