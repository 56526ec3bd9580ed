// SPDX-License-Identifier: GPL-2.0-only

//! A disk that fails to write, with each `on-io-error`, each kind of write, each protocol: what it lacks is known
//! afterwards, and brought back.

use drbd_core::config::policy::{OnIoError, OnNoData, Protocol};
use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState, DiskState};

use super::{expect, Story, Told, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::shell::{Habit, Work};
use crate::world::{Setup, World};

const PROTOCOLS: &[Protocol] = &[Protocol::A, Protocol::B, Protocol::C];
const OPERATIONS: &[Operation] = &[Operation::Write, Operation::Discard, Operation::WriteZeroes];
/// Every combination once.
const SEEDS: u64 = 27;

fn setup(seed: u64) -> Setup {
    let mut setup = Setup {
        device_sectors: 40_000,
        ..Setup::default()
    };
    setup.sizes.extents = 3;
    setup.disk.on_io_error = OnIoError::ALL[seed as usize % 3];
    setup.net.wire_protocol = PROTOCOLS[seed as usize / 3 % 3];
    setup
}

fn operation(world: &World<'_>) -> Operation {
    OPERATIONS[world.seed as usize / 9 % 3]
}

/// A write of a Primary fails on its own disk. The peer has it.
pub const OWN_WRITE: Story = Story {
    name: "own write fails",
    seeds: SEEDS,
    setup,
    happen: |world| fails_on(world, ALICE, Work::Write),
};

/// A write of a Primary fails on the disk of the peer.
pub const PEER_WRITE: Story = Story {
    name: "write of the peer fails",
    seeds: SEEDS,
    setup,
    happen: |world| fails_on(world, BOB, Work::PeerWrite),
};

fn fails_on(world: &mut World<'_>, node: usize, work: Work) -> Told {
    world.synced()?;
    world.written(ALICE, 100, 40)?;
    world.settled()?;
    world.nodes[node].habits = vec![Habit::failing(work)];
    let what = operation(world);
    let number = world.put_request(ALICE, what, 108, 16);
    world.succeeds(number, "a write succeeds that one of two good disks has")?;
    world.reach("the end of a good disk", |world| {
        world
            .engine_state(node, 0)
            .is_none_or(|state| state.disk < DiskState::UpToDate)
    })?;
    world.nodes[node].habits.clear();
    let read = world.put_request(ALICE, Operation::Read, 108, 16);
    world.succeeds(read, "a read succeeds")?;
    let value = match what {
        Operation::Write => number,
        _ => 0,
    };
    let held = &world.history.records[&read].values;
    expect(
        held.iter().all(|held| *held == value),
        "what is read is what was written",
    )?;
    // The activity log turns to other extents, and forgets this one.
    for round in 0..2 {
        for extent in 1..5 {
            world.written(ALICE, extent * 8192 + round, 8)?;
        }
    }
    // The good disk remains one.
    let other = 1 - node;
    let good = world.state(other)?.disk;
    expect(
        good == DiskState::UpToDate,
        "the other disk is UpToDate still",
    )?;
    world.mend()
}

/// The peer's disk goes while a write is on its way, and the peer tells no length with its refusal.
pub const NO_LENGTH: Story = Story {
    name: "refusal without a length",
    seeds: 9,
    setup: |seed| {
        let mut setup = setup(seed);
        setup.net_latency = 50_000;
        setup.net.wire_protocol = Protocol::C;
        setup.disk.on_io_error = OnIoError::Detach;
        setup
    },
    happen: |world| {
        world.synced()?;
        world.written(ALICE, 1000, 40)?;
        world.settled()?;
        world.no_lengths[BOB] = true;
        world.admin(BOB, Admin::DetachForced(0));
        world.run(1000);
        let what = OPERATIONS[world.seed as usize % 3];
        let number = world.put_request(ALICE, what, 1000, 40);
        world.succeeds(number, "a write succeeds that the own disk has")?;
        world.run(SECOND);
        world.no_lengths[BOB] = false;
        world.mend()
    },
};

/// A target cannot write what it is sent, for a while.
pub const RESYNC_WRITE: Story = Story {
    name: "write of a resync fails",
    seeds: 9,
    setup,
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        for spot in 0..5 {
            world.written(ALICE, spot * 500, 30)?;
        }
        world.nodes[BOB].habits = vec![Habit::failing(Work::ResyncWrite)];
        world.set_network(true);
        world.run_until(20 * super::SECOND, World::is_connected);
        world.run(5 * super::SECOND);
        let state = world.state(BOB)?;
        expect(
            state.disk < DiskState::UpToDate,
            "a target that wrote nothing is not UpToDate",
        )?;
        let believed = world.state(ALICE)?.peer_disk;
        expect(
            believed < DiskState::UpToDate || believed == DiskState::Unknown,
            "its source knows",
        )?;
        world.mend()
    },
};

/// The target cannot write some blocks, and asks for them again when it got to the end and found one that was busy: now it can. Its
/// source counts them as failed, may be done before the target is, and writes alone from then on.
pub const SECOND_ATTEMPT: Story = Story {
    name: "second attempt of a resync",
    seeds: 20,
    setup: |_| {
        let mut setup = Setup {
            net_latency: 50_000,
            device_sectors: 40_000,
            volatile: false,
            ..Setup::default()
        };
        setup.disk.on_io_error = OnIoError::PassOn;
        setup
    },
    happen: |world| {
        world.synced()?;
        world.part()?;
        for spot in 0..20 {
            world.written(ALICE, 8000 + spot * 80, 8)?;
        }
        world.nodes[BOB].habits = vec![
            Habit::failing(Work::ResyncWrite),
            Habit::slow(Work::PeerWrite, SECOND),
        ];
        world.set_network(true);
        world.reach_state("a resync", BOB, |state| {
            state.connection == ConnectionState::SyncTarget
        })?;
        world.put_write(ALICE, 8000, 8);
        world.reach("writes that fail", |world| {
            world.at_work(BOB, Work::PeerWrite) > 0
        })?;
        let pause = world.rng.range(100_000, 900_000);
        world.run(pause);
        world.nodes[BOB].habits.clear();
        let ended = world.run_until(5 * SECOND, |world| {
            world
                .engine_state(ALICE, 0)
                .is_some_and(|state| state.connection <= ConnectionState::Connected)
        });
        if ended {
            world.put_write(ALICE, 100, 8);
        }
        world.mend()
    },
};

/// `on-no-data-accessible suspend-io`: the disk of a Primary waits for a resync, and the peer's goes. Its peer refuses a write
/// before it has heard that, and attaches its disk again: the resync brings what is there.
pub const SOURCE_REFUSES: Story = Story {
    name: "write that a source refuses",
    seeds: 6,
    setup: |_| {
        let mut setup = Setup {
            net_latency: 50_000,
            ..Setup::default()
        };
        setup.options.on_no_data = OnNoData::SuspendIo;
        setup
    },
    happen: |world| {
        world.synced()?;
        world.command(ALICE, Admin::PauseSync(0))?;
        world.command(ALICE, Admin::Invalidate(0))?;
        world.reach_state("a resync that is paused", ALICE, |state| {
            state.connection == ConnectionState::PausedSyncT
        })?;
        world.run(SECOND);
        world.admin(BOB, Admin::DetachForced(0));
        let number = world.put_write(ALICE, 1000, 8);
        world.run(2 * SECOND);
        world.command(BOB, Admin::Attach(0))?;
        world.succeeds(number, "a write that waits for data succeeds")?;
        world.command(ALICE, Admin::ResumeSync(0))?;
        world.mend()?;
        let held = world.nodes[ALICE].disks[0].look(1000, 1)[0];
        expect(held == number, "what was acknowledged is still there")
    },
};
