// SPDX-License-Identifier: GPL-2.0-only

//! Roles: who becomes Primary, and what stands in his way for a moment only.

use drbd_core::state::{DiskState, Role};

use super::{expect, Story, ALICE, BOB};
use crate::admin::Admin;
use crate::world::Setup;

/// Both nodes want something at the same moment, and one of them refuses the other's wish for that alone.
pub const BOTH_ASK: Story = Story {
    name: "promotion while the peer wants something else",
    seeds: 4,
    setup: |_| Setup {
        net_latency: 20_000,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.command(ALICE, Admin::Demote(0))?;
        let (first, second) = [(ALICE, BOB), (BOB, ALICE)][world.seed as usize % 2];
        world.admin(first, Admin::Detach(0));
        world.run([0, 10_000][world.seed as usize / 2 % 2]);
        world.command(second, Admin::Promote(0))?;
        world.reach_state("a Primary", second, |state| {
            state.role == Role::Primary && state.disk == DiskState::UpToDate
        })?;
        world.mend()
    },
};

/// One node takes over from the other, and asks before it has heard that the other is Secondary.
pub const TAKEN_OVER: Story = Story {
    name: "promotion a moment after a demotion",
    seeds: 2,
    setup: |_| Setup {
        net_latency: 20_000,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        let (old, new) = [(ALICE, BOB), (BOB, ALICE)][world.seed as usize % 2];
        if old == BOB {
            world.command(ALICE, Admin::Demote(0))?;
            world.command(BOB, Admin::Promote(0))?;
        }
        world.command(old, Admin::Demote(0))?;
        let peer = world.state(new)?.peer;
        expect(peer == Role::Primary, "the new one has not heard of it")?;
        world.command(new, Admin::Promote(0))?;
        world.settled()
    },
};
