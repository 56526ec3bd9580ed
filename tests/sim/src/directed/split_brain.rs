// SPDX-License-Identifier: GPL-2.0-only

//! A split brain that policies resolve: both nodes have to come to the same end.

use drbd_core::config::policy::{AfterSplitBrain0p, AfterSplitBrain1p, RoleConflict};
use drbd_core::state::ConnectionState;

use super::{Story, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::world::Setup;

/// A Primary has a few changes less than its peer when they introduce themselves, and writes on while they do: then it has more. Both go by
/// the number that it told.
pub const LEAST_CHANGES: Story = Story {
    name: "changes while they are counted",
    seeds: 10,
    setup: |_| {
        let mut setup = Setup {
            net_latency: 200_000,
            ..Setup::default()
        };
        setup.net.after_sb_0p = AfterSplitBrain0p::DiscardLeastChanges;
        setup.net.after_sb_1p = AfterSplitBrain1p::Violently;
        setup.net.rr_conflict = RoleConflict::Violently;
        setup
    },
    happen: |world| {
        world.synced()?;
        world.part()?;
        world.lose_peer()?;
        for spot in 0..5 {
            world.written(ALICE, 100 + spot * 8, 8)?;
        }
        world.command(BOB, Admin::Promote(0))?;
        for spot in 0..6 {
            world.written(BOB, 400 + spot * 8, 8)?;
        }
        world.command(BOB, Admin::Demote(0))?;
        world.set_network(true);
        world.reach_state("a handshake", ALICE, |state| {
            state.connection == ConnectionState::WFReportParams
        })?;
        world.run(10_000);
        for spot in 0..3 {
            world.put_write(ALICE, 800 + spot * 8, 8);
        }
        world.settled()
    },
};

/// By the policies a Primary with fewer changes loses, and it cannot step down now; the administrator of its peer has said that the peer's changes go.
/// The peer goes by the policies. When the Primary is demoted, they decide for both.
pub const PRIMARY_LOST: Story = Story {
    name: "Primary that has lost, and its peer that was to lose",
    seeds: 10,
    setup: |_| {
        let mut setup = Setup::default();
        setup.net.after_sb_0p = AfterSplitBrain0p::DiscardLeastChanges;
        setup.net.after_sb_1p = AfterSplitBrain1p::CallHelper;
        setup
    },
    happen: |world| {
        world.synced()?;
        world.part()?;
        world.command(BOB, Admin::Promote(0))?;
        world.written(BOB, 400, 8)?;
        for spot in 0..3 {
            world.written(ALICE, 100 + spot * 8, 8)?;
        }
        world.command(ALICE, Admin::Demote(0))?;
        world.command(ALICE, Admin::Disconnect)?;
        world.command(ALICE, Admin::ConnectDiscardMyData)?;
        world.set_network(true);
        world.run(10 * SECOND);
        world.command(BOB, Admin::Demote(0))?;
        world.mend()
    },
};
