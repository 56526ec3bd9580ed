// SPDX-License-Identifier: GPL-2.0-only

//! Disks that are larger than an extent of the activity log.

use super::{Story, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::shell::{Habit, Work};
use crate::world::{Ev, Setup};

/// Sectors of an extent of the activity log.
pub const EXTENT: u64 = 8192;

/// A write crosses from one extent to the next. Its Primary dies when the own disk has it, and the peer does not.
pub const CROSSING_WRITE: Story = Story {
    name: "crossing write",
    seeds: 4,
    setup: |_| Setup {
        device_sectors: 20_000,
        volatile: false,
        // The peer hears of it when it is too late.
        net_latency: 50_000,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        let number = world.put_write(ALICE, EXTENT - 8, 16);
        let sector = EXTENT + 4;
        world.reach("the own disk", |world| {
            world.nodes[ALICE].disks[0].look(sector, 1) == [number]
        })?;
        // The cable breaks with all that is in it.
        world.set_network(false);
        let boot = world.nodes[ALICE].boot;
        world.push(world.now, Ev::Crash(ALICE, boot));
        world.reach("a crash", |world| world.nodes[ALICE].life.is_none())?;
        world.cut();
        world.reach("the loss of the peer", |world| {
            world.engine_state(BOB, 0).is_some_and(|state| {
                state.connection < drbd_core::state::ConnectionState::Connected
            })
        })?;
        world.mend()
    },
};

/// A disk is attached, and takes its time to note that it is in use: a crash right after a write must not find it clean, or
/// nobody looks into its activity log.
pub const CLEAN_SUPERBLOCK: Story = Story {
    name: "clean superblock",
    seeds: 10,
    setup: |_| Setup {
        volatile: false,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        world.run(SECOND);
        world.command(ALICE, Admin::DetachForced(0))?;
        world.nodes[ALICE].habits = vec![Habit::slow(Work::Superblock, 5 * SECOND)];
        world.command(ALICE, Admin::Attach(0))?;
        world.put_write(ALICE, 1000, 16);
        let pause = world.rng.range(0, 5 * SECOND);
        world.run(pause);
        world.crash(ALICE);
        world.mend()
    },
};
