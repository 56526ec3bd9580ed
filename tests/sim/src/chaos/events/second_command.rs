// SPDX-License-Identifier: GPL-2.0-only

//! An administrator does what was done already, or takes back what was begun just now.

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "commands given again, or taken back",
    weight: 3,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let (node, volume) = (rng.node(), rng.volume(world));
    let commands: &[Admin] = match rng.below(5) {
        0 => &[Admin::Connect, Admin::Connect],
        1 => &[Admin::Disconnect, Admin::Connect],
        2 => &[Admin::Disconnect, Admin::Disconnect, Admin::Connect],
        3 => &[Admin::Attach(volume), Admin::Attach(volume)],
        _ => &[Admin::PauseSync(volume), Admin::ResumeSync(volume)],
    };
    commands.iter().all(|command| world.wish(node, *command))
}
