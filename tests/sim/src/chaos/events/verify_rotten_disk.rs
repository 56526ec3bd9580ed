// SPDX-License-Identifier: GPL-2.0-only

//! Some sectors of a Secondary's disk rot, and a verify looks for them, while the Primary goes on. No other trouble comes
//! in between; when it is over, the disk is as if nothing had happened.

use drbd_core::config::policy::ReadBalancing;
use drbd_core::state::{ConnectionState, Role};

use crate::admin::Admin;
use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

pub const EVENT: Event = Event {
    name: "disks that rotted",
    weight: 6,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let (node, volume) = (rng.node(), rng.volume(world));
    // Nobody reads from a Secondary, and nothing else makes a difference.
    let reads_there = !matches!(
        world.setup.disk.read_balancing,
        ReadBalancing::PreferLocal | ReadBalancing::CongestedRemote
    );
    if reads_there || !world.plan().local_disk_always {
        return false;
    }
    let clean = (0..2).all(|node| world.marked(node, volume).is_empty());
    if !clean || !world.is_quiet() {
        return false;
    }
    let number = usize::from(volume);
    let is_secondary = |node: &usize| {
        world
            .engine_state(*node, number)
            .is_some_and(|state| state.role == Role::Secondary)
    };
    let Some(victim) = (0..2).find(is_secondary) else {
        return false;
    };
    let size = world.engine_size(victim, number);
    for _ in 0..rng.range(0, 5) {
        let sector = rng.below(size);
        // What is not acknowledged yet was written there and is gone: that is no rot.
        if !world.is_being_written(volume, sector) {
            world.rot(victim, volume, sector);
        }
    }
    world.keep_calm(true);
    let link = world.current_link(node);
    if world
        .command(node, Admin::Verify(volume, Some(0), u64::MAX))
        .is_ok()
    {
        wait_and_check(world, volume, link);
    }
    world.undo_rot();
    world.keep_calm(false);
    true
}

fn wait_and_check(world: &mut World<'_>, volume: u8, link: Option<u32>) {
    let number = usize::from(volume);
    let over = |world: &World<'_>| {
        (0..2).all(|node| {
            world
                .engine_state(node, number)
                .is_none_or(|state| !state.connection.is_verify())
        })
    };
    if !world.run_until(3_000_000_000, over) {
        world.fail("a verify does not end".into());
        return;
    }
    // What the engines have to say about it is still to be heard.
    world.run(1_000_000);
    // A link may break without anybody's help: a slow disk, a small socket, a buffer that changes. Another one may be there by now.
    let to_the_end = (0..2).all(|node| {
        world.current_link(node) == link
            && world.verify_position(node, volume) == Some(0)
            && world
                .engine_state(node, number)
                .is_some_and(|state| state.connection == ConnectionState::Connected)
    });
    if to_the_end {
        world.check(|checker, world| checker.verified(world, volume));
    }
}
