// SPDX-License-Identifier: GPL-2.0-only

//! `drbdadm invalidate`, and a loss of power before all blocks are marked.

use drbd_core::state::{ConnectionState, DiskState};

use super::{expect, Story, ALICE, BOB, SECOND};
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

/// The same while the peer is there; the link breaks before the resync has begun. What was thrown away does not come back.
pub const INVALIDATE_AND_CUT: Story = Story {
    name: "invalidate, and the link breaks",
    seeds: 5,
    setup: |_| Setup::default(),
    happen: |world| {
        world.synced()?;
        let rotten = world.engine_size(BOB, 0) / 2;
        world.rot(BOB, 0, rotten);
        world.command(ALICE, Admin::Demote(0))?;
        world.run(SECOND);
        world.nodes[ALICE].habits = vec![Habit::slow(Work::BitmapPage, 2 * SECOND)];
        world.command(BOB, Admin::Invalidate(0))?;
        let pause = world.rng.range(0, SECOND);
        world.run(pause);
        world.cut();
        world.reach("the loss of the peer", |world| !world.is_connected())?;
        world.mend()
    },
};

/// A node throws its peer's data away, or its own, while the peer's administrator stops resyncs of another volume that goes first.
/// The peer agrees, and tells its state for that other reason: it may be faster than the answer, which is on the other socket.
pub const ANSWER_IS_SLOWER: Story = Story {
    name: "invalidate, and the answer is slower than the state",
    seeds: 20,
    setup: |_| Setup {
        volumes: 2,
        one_after_the_other: true,
        net_latency: 100_000,
        ..Setup::default()
    },
    happen: |world| {
        world.both_up()?;
        for volume in 0..2 {
            world.command(ALICE, Admin::PromoteForced(volume))?;
        }
        world.settled()?;
        world.nodes[BOB].habits = vec![Habit::slow(Work::BitmapPage, SECOND)];
        let wish = if world.seed % 2 == 0 {
            Admin::InvalidateRemote(1)
        } else {
            world.command(ALICE, Admin::Demote(1))?;
            Admin::Invalidate(1)
        };
        world.admin(ALICE, wish);
        world.reach("the agreement", |world| {
            world.engine_state(BOB, 1).is_some_and(|state| {
                matches!(
                    state.connection,
                    ConnectionState::StartingSyncT | ConnectionState::StartingSyncS
                )
            })
        })?;
        world.command(BOB, Admin::PauseSync(0))?;
        world.run(3 * SECOND);
        world.command(BOB, Admin::ResumeSync(0))?;
        world.mend()
    },
};

/// A Primary without a disk works on its peer's, and the administrator there wants that one to be replaced by hers.
pub const INVALIDATE_THE_LAST_DISK: Story = Story {
    name: "invalidate the disk of a Primary without one",
    seeds: 2,
    setup: |_| Setup::default(),
    happen: |world| {
        world.synced()?;
        world.command(ALICE, Admin::Detach(0))?;
        world.reach_state("that the peer knows", BOB, |state| {
            state.peer_disk == DiskState::Diskless
        })?;
        expect(
            world.command(BOB, Admin::Invalidate(0)).is_err(),
            "there is nothing to replace it by",
        )?;
        let disk = world.state(BOB)?.disk;
        expect(disk == DiskState::UpToDate, "the disk is what it was")?;
        world.written(ALICE, 100, 8)?;
        world.mend()
    },
};
