// SPDX-License-Identifier: GPL-2.0-only

//! What goes wrong, or is wanted, while two nodes introduce themselves.

use drbd_core::config::policy::OnIoError;
use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState, DiskState};

use super::{expect, Story, ALICE, BOB};
use crate::admin::Admin;
use crate::shell::{Habit, Work};
use crate::world::{Setup, World};

/// A node without a disk has said who it is, and heard nothing yet. Its administrator wants what needs a peer.
pub const NOTHING_HEARD: Story = Story {
    name: "command in a handshake",
    seeds: 10,
    setup: |_| Setup {
        net_latency: 100_000,
        ..Setup::default()
    },
    happen: |world| {
        // Nobody has said yet whose data counts.
        world.up(ALICE);
        world.up(BOB);
        world.reach("a connection", World::is_connected)?;
        world.command(BOB, Admin::Detach(0))?;
        world.reach_state("a node without a disk", BOB, |state| {
            state.disk == DiskState::Diskless
        })?;
        world.cut();
        world.reach_state("the loss of the peer", BOB, |state| {
            state.connection < ConnectionState::WFReportParams
        })?;
        world.reach_state("a handshake", BOB, |state| {
            state.connection >= ConnectionState::WFReportParams
        })?;
        if world.state(BOB)?.connection > ConnectionState::WFReportParams {
            // All of the peer's words came at once.
            return Ok(());
        }
        // Nothing comes any more, and nobody has missed it yet.
        world.set_network(false);
        let command = [Admin::Verify(0, None, u64::MAX), Admin::InvalidateRemote(0)];
        let result = world.command(BOB, command[world.seed as usize % 2]);
        let state = world.state(BOB)?;
        if result.is_ok() || state.connection >= ConnectionState::Connected {
            return Err(format!(
                "a command in a handshake: {result:?}, and the node is {}",
                state.connection.name()
            ));
        }
        Ok(())
    },
};

/// A Primary with newer data has said that its disk is UpToDate. Then a block cannot be read, which it passes on, and it hears
/// of the peer.
pub const ERROR_PASSED_ON: Story = Story {
    name: "disk error in a handshake",
    seeds: 5,
    setup: |_| {
        let mut setup = Setup {
            net_latency: 100_000,
            ..Setup::default()
        };
        setup.disk.on_io_error = OnIoError::PassOn;
        setup
    },
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        let newer = world.written(ALICE, 1000, 8)?;
        world.set_network(true);
        world.reach_state("a handshake", ALICE, |state| {
            state.connection == ConnectionState::WFReportParams
        })?;
        world.nodes[ALICE].habits = vec![Habit {
            work: Work::Read,
            takes: Some(10),
            fails: true,
        }];
        let read = world.put_request(ALICE, Operation::Read, 100, 8);
        world.reach_state("a disk error in the handshake", ALICE, |state| {
            state.connection == ConnectionState::WFReportParams
                && state.disk == DiskState::Inconsistent
        })?;
        world.nodes[ALICE].habits.clear();
        world.settled()?;
        expect(world.request_result(read).is_some(), "a read ends")?;
        let read = world.put_request(ALICE, Operation::Read, 1000, 8);
        world.succeeds(read, "a read succeeds")?;
        let held = &world.history.records[&read].values;
        expect(
            held.iter().all(|held| *held == newer),
            "the data of the Primary is not given up",
        )
    },
};
