// SPDX-License-Identifier: GPL-2.0-only

//! What an administrator does who keeps no rules: only in worlds without promises.

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "rash commands",
    weight: 9,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    if world.plan().orderly {
        return false;
    }
    let volume = rng.volume(world);
    let command = *rng.pick(&[
        Admin::Promote(volume),
        Admin::Promote(volume),
        Admin::PromoteForced(volume),
        Admin::Demote(volume),
        Admin::Demote(volume),
        Admin::ConnectDiscardMyData,
        Admin::NewCurrentUuid(volume),
    ]);
    world.wish(rng.node(), command)
}
