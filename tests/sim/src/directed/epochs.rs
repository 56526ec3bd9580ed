// SPDX-License-Identifier: GPL-2.0-only

//! What was flushed between two writes keeps them apart on the peer's disk.

use drbd_core::config::policy::{OnIoError, Protocol};
use drbd_core::resource::request::Operation;
use drbd_core::state::DiskState;

use super::{Story, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::shell::{Habit, Work};
use crate::world::Setup;

/// A Secondary has a write in the cache of its disk, which is being flushed for the barrier behind it, and loses power.
pub const POWER_LOST_IN_FLUSH: Story = Story {
    name: "power is lost in a flush",
    seeds: 10,
    setup: |_| Setup {
        volatile: true,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.settled()?;
        world.nodes[BOB].habits = vec![Habit::slow(Work::Flush, 2 * SECOND)];
        for spot in 0..4 {
            world.written(ALICE, 100 + spot * 400, 8)?;
        }
        world.run(SECOND / 2);
        world.crash(BOB);
        world.mend()
    },
};

/// A write, a flush, another write, while the peer's disk takes its time: then the peer loses power. The checker of the
/// order complains where the second is there without the first.
pub const LATER_EPOCH: Story = Story {
    name: "later epoch",
    seeds: 20,
    setup: |_| {
        let mut setup = Setup::default();
        setup.net.wire_protocol = Protocol::A;
        setup
    },
    happen: |world| {
        world.synced()?;
        world.nodes[ALICE].latency = 10;
        world.nodes[BOB].habits = vec![Habit::slow(Work::Flush, 40_000)];
        world.written(ALICE, 100, 8)?;
        // The same instant says nothing about before and after.
        world.run(100);
        let flush = world.put_request(ALICE, Operation::Flush, 0, 0);
        world.succeeds(flush, "a flush succeeds")?;
        world.run(100);
        world.put_write(ALICE, 1000, 8);
        let pause = world.rng.range(2000, 30_000);
        world.run(pause);
        world.crash(BOB);
        world.run(100_000);
        world.mend()
    },
};

/// A disk is told to go while the peer's write is on its way to it, the last thing that it does. The write is in the disk's cache
/// then, and its barrier is acknowledged: it has to be there after a loss of power, or marked.
pub const LAST_WRITE: Story = Story {
    name: "last write before a detach",
    seeds: 10,
    setup: |seed| {
        let mut setup = Setup::default();
        setup.net.wire_protocol = [Protocol::A, Protocol::C][seed as usize % 2];
        setup
    },
    happen: |world| {
        world.synced()?;
        world.written(ALICE, 500, 8)?;
        world.run(SECOND);
        world.nodes[BOB].habits = vec![Habit::slow(Work::PeerWrite, SECOND)];
        world.put_write(ALICE, 1000, 8);
        let pause = world.rng.range(100_000, 900_000);
        world.run(pause);
        world.command(BOB, Admin::Detach(0))?;
        world.written(ALICE, 1500, 8)?;
        world.run(SECOND);
        world.crash(BOB);
        world.mend()
    },
};

/// A target's disk fails with what a resync wrote in its cache, and is attached again over the same link: the next barrier cannot
/// be acknowledged, and ends the link. Writes that came behind that barrier must not keep it from ending.
pub const BEHIND_A_LOST_BARRIER: Story = Story {
    name: "behind a lost barrier",
    seeds: 20,
    setup: |_| {
        let mut setup = Setup::default();
        setup.net.wire_protocol = Protocol::A;
        setup
    },
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        for spot in 0..40 {
            world.written(ALICE, spot * 40, 30)?;
        }
        world.run(SECOND);
        world.set_network(true);
        world.reach("a resync", |world| {
            world.at_work(BOB, Work::ResyncWrite) > 0
        })?;
        let pause = world.rng.range(100, 4000);
        world.run(pause);
        world.nodes[BOB].habits = vec![Habit::failing(Work::ResyncWrite)];
        world.reach_state("a disk that failed", BOB, |state| {
            state.disk == DiskState::Diskless
        })?;
        world.nodes[BOB].habits.clear();
        world.run(100_000);
        world.command(BOB, Admin::Attach(0))?;
        world.settled()?;
        for spot in 0..10 {
            world.written(ALICE, 100 + spot * 40, 8)?;
        }
        world.run(SECOND);
        world.mend()
    },
};

/// `on-io-error pass_on`: the peer's disk cannot be flushed, and goes on. Its barrier confirms nothing: a loss of power takes what was in
/// the cache.
pub const FAILED_FLUSH: Story = Story {
    name: "a flush that fails",
    seeds: 10,
    setup: |_| {
        let mut setup = Setup::default();
        setup.disk.on_io_error = OnIoError::PassOn;
        setup
    },
    happen: |world| {
        world.synced()?;
        world.written(ALICE, 500, 8)?;
        world.settled()?;
        // Nor does the superblock get there, before which the cache is emptied.
        world.nodes[BOB].habits = vec![
            Habit::failing(Work::Flush),
            Habit::slow(Work::Superblock, 10 * SECOND),
        ];
        world.written(ALICE, 1000, 8)?;
        world.put_request(ALICE, Operation::Flush, 0, 0);
        world.reach_state("a disk that passed an error on", BOB, |state| {
            state.disk == DiskState::Inconsistent
        })?;
        let pause = world.rng.range(0, 2_000);
        world.run(pause);
        world.crash(BOB);
        world.mend()
    },
};
