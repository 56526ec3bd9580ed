// SPDX-License-Identifier: GPL-2.0-only

//! A Primary whose own disk is the target of a resync loses its source: what only that disk gets is overwritten later.

use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState, DiskState};

use super::{expect, Story, Told, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::shell::{Habit, Work};
use crate::world::{Setup, World};

/// Writes and flushes that begin when the source is gone fail.
pub const SOURCE_GONE: Story = Story {
    name: "writes without current data",
    seeds: 4,
    setup: |_| Setup::default(),
    happen: |world| {
        target_with_applications(world)?;
        world.lose_peer()?;
        for what in [Operation::Write, Operation::Discard, Operation::WriteZeroes] {
            let number = world.put_request(BOB, what, 100, 8);
            fails(world, number)?;
        }
        let flush = world.put_request(BOB, Operation::Flush, 0, 0);
        fails(world, flush)?;
        world.nodes[BOB].habits.clear();
        world.mend()
    },
};

/// A write that the own disk has done, and the source has not when it goes, fails.
pub const SOURCE_GOES: Story = Story {
    name: "write that current data has missed",
    seeds: 4,
    setup: |_| Setup::default(),
    happen: |world| {
        target_with_applications(world)?;
        world.nodes[ALICE]
            .habits
            .push(Habit::slow(Work::PeerWrite, 30 * SECOND));
        let number = world.put_write(BOB, 100, 8);
        world.run(SECOND);
        world.lose_peer()?;
        fails(world, number)?;
        world.nodes[BOB].habits.clear();
        world.mend()
    },
};

fn target_with_applications(world: &mut World<'_>) -> Told {
    world.synced()?;
    world.lose_peer()?;
    for spot in 0..4 {
        world.written(ALICE, spot * 1000, 8)?;
    }
    world.command(ALICE, Admin::Demote(0))?;
    // The resync lasts.
    world.nodes[ALICE].habits = vec![Habit::slow(Work::PeerRead, 60 * SECOND)];
    world.set_network(true);
    world.reach_state("a resync", BOB, |state| {
        state.connection == ConnectionState::SyncTarget && state.disk == DiskState::Inconsistent
    })?;
    world.command(BOB, Admin::Promote(0))
}

fn fails(world: &mut World<'_>, number: u64) -> Told {
    expect(
        world.request_result(number) == Some(false),
        "what no current disk has got fails",
    )
}
