// SPDX-License-Identifier: GPL-2.0-only

//! `connect --tentative`: an administrator asks what would come of a connection. Nothing comes of it, on either node.

use drbd_core::state::{ConnectionState, DiskState, State};

use super::{expect, Story, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::world::{Setup, World};

/// The node that asks lacks writes, or has some that its peer lacks, or both.
pub const PEER_ASKS: Story = Story {
    name: "dry run of the peer",
    seeds: 9,
    setup: |_| Setup::default(),
    happen: |world| {
        world.synced()?;
        let (alice_writes, bob_writes) = (world.seed % 3 != 1, world.seed % 3 != 0);
        if !alice_writes {
            world.command(ALICE, Admin::Demote(0))?;
            world.command(BOB, Admin::Promote(0))?;
        }
        world.lose_peer()?;
        world.command(BOB, Admin::Disconnect)?;
        if alice_writes {
            world.written(ALICE, 100, 8)?;
        }
        if bob_writes {
            world.command(ALICE, Admin::Demote(0))?;
            world.command(BOB, Admin::Promote(0))?;
            world.written(BOB, 200, 8)?;
            world.command(BOB, Admin::Demote(0))?;
        }
        let before = remembered(world)?;
        world.set_network(true);
        world.nodes[BOB].net.tentative = true;
        world.command(BOB, Admin::Connect)?;
        world.reach_state("the end of the dry run", BOB, |state| {
            state.connection == ConnectionState::StandAlone
        })?;
        world.reach_state("a node that waits for its peer", ALICE, |state| {
            state.connection == ConnectionState::WFConnection
        })?;
        world.run(SECOND);
        let alice: State = world.state(ALICE)?;
        expect(
            alice.connection == ConnectionState::WFConnection,
            "the peer goes on waiting",
        )?;
        expect(remembered(world)? == before, "a dry run changes nothing")?;
        world.nodes[BOB].net.tentative = false;
        if alice_writes && bob_writes {
            return Ok(());
        }
        world.command(BOB, Admin::Connect)?;
        world.mend()
    },
};

type Remembered = [(DiskState, Vec<u64>); 2];

fn remembered(world: &World<'_>) -> Result<Remembered, String> {
    Ok([
        (world.state(ALICE)?.disk, world.marked(ALICE, 0)),
        (world.state(BOB)?.disk, world.marked(BOB, 0)),
    ])
}
