// SPDX-License-Identifier: GPL-2.0-only

//! A target that never noted the start of its resync.

use drbd_core::state::ConnectionState;

use super::{Story, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::shell::{Habit, Work};
use crate::world::Setup;

/// All is to be copied, for the bitmap counts from other data than the target's. The target loses power before it has noted that, its source
/// loses power twice, and goes on each time: the two know each other all the same.
pub const FULL_RESYNC: Story = Story {
    name: "full resync that its target never noted",
    seeds: 10,
    setup: |_| Setup {
        volatile: false,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.part()?;
        world.written(ALICE, 500, 8)?;
        world.command(ALICE, Admin::Disconnect)?;
        world.command(ALICE, Admin::NewCurrentUuid(0))?;
        world.command(ALICE, Admin::Connect)?;
        world.nodes[BOB].habits = vec![Habit::slow(Work::Superblock, 10 * SECOND)];
        world.set_network(true);
        world.reach_state("a resync of everything", ALICE, |state| {
            state.connection == ConnectionState::SyncSource
        })?;
        let pause = world.rng.range(0, 2_000_000);
        world.run(pause);
        world.crash(BOB);
        world.nodes[BOB].habits.clear();
        for spot in 1..3 {
            world.run(SECOND);
            world.crash(ALICE);
            world.reboot(ALICE);
            world.command(ALICE, Admin::Promote(0))?;
            world.written(ALICE, 1000 * spot, 8)?;
        }
        world.run(SECOND);
        world.reboot(BOB);
        world.settled()
    },
};
