// SPDX-License-Identifier: GPL-2.0-only

//! Who reads gets what was written last, or an error.

use drbd_core::config::policy::{OnIoError, Protocol};
use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState, DiskState};

use super::{expect, Story, Told, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::shell::{Habit, Work};
use crate::world::{Setup, World};

/// A target with applications reads blocks that are just being brought in sync, on a disk that takes its time.
pub const PRIMARY_TARGET: Story = Story {
    name: "reads of a target",
    seeds: 3,
    setup: |_| Setup::default(),
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        let mut written = Vec::new();
        for spot in 0..4 {
            let number = world.written(ALICE, spot * 1000, 8)?;
            written.push((spot * 1000, number));
        }
        world.command(ALICE, Admin::Demote(0))?;
        world.nodes[BOB].habits = vec![Habit::slow(Work::ResyncWrite, 200_000)];
        world.set_network(true);
        world.reach_state("a resync", BOB, |state| {
            state.connection == ConnectionState::SyncTarget
        })?;
        world.command(BOB, Admin::Promote(0))?;
        for _ in 0..40 {
            for (sector, number) in &written {
                read_is(world, BOB, *sector, *number)?;
            }
            world.run(5000);
        }
        world.mend()
    },
};

/// A target with applications writes a block: the peer has it long before the own disk, and says that it is equal there. Who reads it
/// meanwhile must not get what the own disk had before.
pub const SLOWER_DISK: Story = Story {
    name: "reads beside a slow write of a target",
    seeds: 3,
    setup: |_| Setup {
        device_sectors: 40_000,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.command(ALICE, Admin::DetachForced(0))?;
        for spot in 0..140 {
            world.written(ALICE, spot * 256, 256)?;
        }
        let before = world.written(ALICE, 39_000, 8)?;
        world.nodes[BOB].habits = vec![Habit::slow(Work::PeerRead, 10 * SECOND)];
        world.command(ALICE, Admin::Attach(0))?;
        world.reach_state("a resync", ALICE, |state| {
            state.connection == ConnectionState::SyncTarget
        })?;
        world.run(10_000);
        world.nodes[ALICE].habits = vec![Habit::slow(Work::Write, SECOND)];
        let write = world.put_write(ALICE, 39_000, 8);
        let mut reads = Vec::new();
        for _ in 0..10 {
            world.run(50_000);
            reads.push(world.put_request(ALICE, Operation::Read, 39_000, 8));
        }
        world.succeeds(write, "a write succeeds")?;
        world.mend()?;
        let is_known = |number: &u64| {
            let held = &world.history.records[number].values;
            held.iter().all(|held| [before, write].contains(held))
        };
        expect(
            reads.iter().all(is_known),
            "who reads gets what was there, or what is being written",
        )
    },
};

fn read_is(world: &mut World<'_>, node: usize, sector: u64, value: u64) -> Told {
    let number = world.put_request(node, Operation::Read, sector, 8);
    world.succeeds(number, "a read succeeds")?;
    let held = &world.history.records[&number].values;
    if held.iter().all(|held| *held == value) {
        Ok(())
    } else {
        Err(format!(
            "a read of sector {sector} got {held:?}, and not {value}"
        ))
    }
}

/// The only disk fails to write, and passes that on. Its Primary was told that the write is done, and reads.
pub const WORTHLESS_DISK: Story = Story {
    name: "read from a worthless disk",
    seeds: 20,
    setup: |_| {
        let mut setup = Setup {
            net_latency: 20_000,
            ..Setup::default()
        };
        setup.net.wire_protocol = Protocol::A;
        setup.disk.on_io_error = OnIoError::PassOn;
        setup
    },
    happen: |world| {
        world.synced()?;
        world.command(ALICE, Admin::Detach(0))?;
        world.reach_state("a Primary without a disk", ALICE, |state| {
            state.disk == DiskState::Diskless
        })?;
        world.nodes[BOB].habits = vec![Habit::failing(Work::PeerWrite)];
        let write = world.put_write(ALICE, 100, 8);
        world.succeeds(write, "a write succeeds with protocol A")?;
        let read = world.put_request(ALICE, Operation::Read, 100, 8);
        let result = world.request_result(read);
        expect(result.is_some(), "a read ends")?;
        let held = &world.history.records[&read].values;
        expect(
            result == Some(false) || held.iter().all(|held| *held == write),
            "what is read is what was written",
        )
    },
};
