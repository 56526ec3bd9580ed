// SPDX-License-Identifier: GPL-2.0-only

//! What an administrator wants while two nodes introduce themselves.

use drbd_core::state::{ConnectionState, DiskState};

use super::{Story, ALICE, BOB};
use crate::admin::Admin;
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
        world.reach_state("a handshake", BOB, |state| {
            state.connection == ConnectionState::WFReportParams
        })?;
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
