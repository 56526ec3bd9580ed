// SPDX-License-Identifier: GPL-2.0-only

//! `drbdadm invalidate`, and a loss of power before all blocks are marked.

use drbd_core::state::{ConnectionState, DiskState};

use super::{Story, BOB, SECOND};
use crate::admin::Admin;
use crate::shell::{Habit, Work};
use crate::world::Setup;

/// A disk has data that nobody can trust: its administrator throws it away, while the peer is out of reach and marks
/// nothing. The node dies while the marks are being written: the disk says for itself that all of it is to be replaced.
pub const INVALIDATE: Story = Story {
    name: "invalidate",
    seeds: 10,
    setup: |_| Setup::default(),
    happen: |world| {
        world.synced()?;
        let rotten = world.engine_size(BOB, 0) / 2;
        world.rot(BOB, 0, rotten);
        world.nodes[BOB].habits = vec![Habit::slow(Work::BitmapPage, SECOND)];
        world.command(BOB, Admin::Disconnect)?;
        world.reach_state("the loss of the peer", BOB, |state| {
            state.connection == ConnectionState::StandAlone
        })?;
        // The marks of that are written by now.
        world.run(3 * SECOND);
        world.admin(BOB, Admin::Invalidate(0));
        world.reach("marks on their way", |world| {
            world.at_work(BOB, Work::BitmapPage) > 0
                && world
                    .engine_state(BOB, 0)
                    .is_some_and(|state| state.disk < DiskState::UpToDate)
        })?;
        world.run(20_000);
        world.crash(BOB);
        world.mend()
    },
};
