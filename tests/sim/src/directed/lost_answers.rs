// SPDX-License-Identifier: GPL-2.0-only

//! A source of 8.4 throws away what a target has asked for, where it finds that the target's disk is gone. No seed does that: our
//! source answers.

use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState, DiskState};

use super::{Story, Told, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::shell::{Habit, Work};
use crate::world::{Setup, World};

/// The disk comes back, and its blocks are wanted again.
pub const ASKED_AGAIN: Story = Story {
    name: "answer thrown away",
    seeds: 10,
    setup: |_| Setup::default(),
    happen: |world| {
        asked_in_vain(world)?;
        world.command(BOB, Admin::Attach(0))?;
        world.mend()
    },
};

/// The node without a disk becomes Primary, and writes there.
pub const WRITTEN_TO: Story = Story {
    name: "write where an answer was thrown away",
    seeds: 10,
    setup: |_| Setup::default(),
    happen: |world| {
        asked_in_vain(world)?;
        world.command(ALICE, Admin::Demote(0))?;
        world.command(BOB, Admin::Promote(0))?;
        for spot in 0..5 {
            world.written(BOB, spot * 400, 30)?;
        }
        world.mend()
    },
};

/// A target of a thin resync has asked for zeros when its disk is given up, and attached again. It becomes Primary and writes there before
/// they come.
pub const LATE_ZEROS: Story = Story {
    name: "late zeros",
    seeds: 5,
    setup: |_| {
        let mut setup = Setup::default();
        setup.disk.rs_discard_granularity = 65536;
        setup
    },
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        let number = world.put_request(ALICE, Operation::Discard, 0, 512);
        world.succeeds(number, "a discard succeeds")?;
        world.run(SECOND);
        world.nodes[ALICE].habits = vec![Habit::slow(Work::PeerRead, 5 * SECOND)];
        world.set_network(true);
        world.reach("a question", |world| {
            world.at_work(ALICE, Work::PeerRead) > 0
        })?;
        world.command(BOB, Admin::DetachForced(0))?;
        world.command(BOB, Admin::Attach(0))?;
        world.reach_state("another resync", BOB, |state| {
            state.connection == ConnectionState::SyncTarget
        })?;
        world.command(ALICE, Admin::Demote(0))?;
        world.command(BOB, Admin::Promote(0))?;
        world.nodes[ALICE].habits.clear();
        for spot in 0..4 {
            world.put_write(BOB, spot * 128 + 16, 8);
        }
        world.settled()
    },
};

/// What was to be compared by its checksum was asked for behind the word that the disk is gone.
pub const ASKED_TOO_LATE: Story = Story {
    name: "asked for when the disk was gone",
    seeds: 10,
    setup: |_| {
        let mut setup = Setup::default();
        setup.net.csums_alg = crate::digest::name("short");
        setup
    },
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        for spot in 0..5 {
            world.written(ALICE, spot * 400, 30)?;
        }
        world.run(SECOND);
        world.nodes[BOB].habits = vec![Habit::failing(Work::PeerRead)];
        world.throw_away[ALICE] = true;
        world.set_network(true);
        world.reach_state("a node without a disk", BOB, |state| {
            state.connection == ConnectionState::Connected && state.disk == DiskState::Diskless
        })?;
        world.run(SECOND);
        world.throw_away[ALICE] = false;
        world.nodes[BOB].habits.clear();
        if world.seed % 2 == 0 {
            world.command(BOB, Admin::Attach(0))?;
        } else {
            world.command(ALICE, Admin::Demote(0))?;
            world.command(BOB, Admin::Promote(0))?;
            for spot in 0..5 {
                world.written(BOB, spot * 400, 30)?;
            }
        }
        world.mend()
    },
};

/// A target has asked for blocks that will not come, and its disk is given up.
fn asked_in_vain(world: &mut World<'_>) -> Told {
    world.synced()?;
    world.lose_peer()?;
    for spot in 0..5 {
        world.written(ALICE, spot * 400, 30)?;
    }
    world.run(SECOND);
    world.throw_away[ALICE] = true;
    world.set_network(true);
    world.reach("an answer that does not come", |world| {
        !world.throw_away[ALICE]
    })?;
    world.reach_state("a resync", BOB, |state| {
        state.connection == ConnectionState::SyncTarget
    })?;
    world.command(BOB, Admin::DetachForced(0))?;
    world.reach_state("a node without a disk", BOB, |state| {
        state.disk == DiskState::Diskless
    })
}
