// SPDX-License-Identifier: GPL-2.0-only

//! A source that missed the end of its resync finds that out when both meet again, and corrects its UUIDs. The former target
//! has to hear the old ones: by the new ones both disks would be equal.

use drbd_core::state::{ConnectionState, DiskState};

use super::{expect, Story, Told, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::shell::{Habit, Work};
use crate::world::{Setup, World};

/// Bob finishes a resync of no block at all, and the link breaks with his only word about it in the cable. Both are Secondary.
fn part_unnoticed(world: &mut World<'_>) -> Told {
    world.synced()?;
    world.lose_peer()?;
    world.reach_state("another generation", ALICE, |state| {
        state.connection < ConnectionState::Connected
    })?;
    world.command(ALICE, Admin::Demote(0))?;
    world.set_network(true);
    world.reach_state("a resync", BOB, |state| {
        state.connection == ConnectionState::SyncTarget
    })?;
    world.reach_state("the end of a resync", BOB, |state| {
        state.disk == DiskState::UpToDate
    })?;
    let source = world.state(ALICE)?;
    expect(
        source.peer_disk < DiskState::UpToDate,
        "alice has not heard",
    )?;
    world.set_network(false);
    world.cut();
    Ok(())
}

fn setup() -> Setup {
    Setup {
        net_latency: 20_000,
        volatile: false,
        ..Setup::default()
    }
}

/// The source's disk is slow with the superblock, and nothing that it has to say about its data goes before that is written.
pub const SLOW_SOURCE: Story = Story {
    name: "a slow source corrects its UUIDs",
    seeds: 5,
    setup: |_| setup(),
    happen: |world| {
        part_unnoticed(world)?;
        world.nodes[ALICE].habits = vec![Habit::slow(Work::Superblock, 3 * SECOND)];
        world.run(SECOND);
        world.set_network(true);
        world.settled()
    },
};

/// The former target meets it without a disk, and gets that back while both are connected.
pub const DISK_COMES_BACK: Story = Story {
    name: "a source corrects its UUIDs for a disk that comes back",
    seeds: 5,
    setup: |_| setup(),
    happen: |world| {
        part_unnoticed(world)?;
        world.command(BOB, Admin::DetachForced(0))?;
        world.set_network(true);
        world.reach("a connection", World::is_connected)?;
        world.command(BOB, Admin::Attach(0))?;
        world.settled()
    },
};
