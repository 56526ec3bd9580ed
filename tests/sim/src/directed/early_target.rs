// SPDX-License-Identifier: GPL-2.0-only

//! A target whose resync goes wrong before it has begun.

use drbd_core::state::{ConnectionState, DiskState};

use super::{expect, Story, ALICE, BOB, SECOND};
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

/// Bitmaps are under way, and the disk that has the newer data goes: what the other one has is old, and nobody may believe that
/// it is current, for applications would read it.
pub const SOURCE_DISK_LOST: Story = Story {
    name: "source's disk goes before the resync begins",
    seeds: 10,
    setup: |_| Setup {
        net_latency: 200_000,
        volatile: false,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.part()?;
        world.written(ALICE, 500, 8)?;
        if world.seed % 2 == 0 {
            world.command(ALICE, Admin::Demote(0))?;
        }
        world.set_network(true);
        world.reach_state("an exchange of bitmaps", BOB, |state| {
            state.connection == ConnectionState::WFBitMapT
        })?;
        world.reach_state("the same at the source", ALICE, |state| {
            state.connection > ConnectionState::WFReportParams
        })?;
        let pause = world.rng.range(0, 150_000);
        world.run(pause);
        world.admin(ALICE, Admin::DetachForced(0));
        world.reach_state("the loss of the good disk", BOB, |state| {
            state.peer_disk <= DiskState::Failed
        })?;
        let (source, target) = (world.state(ALICE)?, world.state(BOB)?);
        expect(
            target.disk < DiskState::UpToDate && source.peer_disk < DiskState::UpToDate,
            "old data is not called UpToDate",
        )?;
        world.mend()
    },
};
