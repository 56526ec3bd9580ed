// SPDX-License-Identifier: GPL-2.0-only

//! The exchange of bitmaps, and what comes between.

use drbd_core::state::{ConnectionState, DiskState};

use super::{Story, Told, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::world::{Setup, World};

/// A disk is attached, given up, and attached again, before the answer is there. The protocol does not say which of them an answer
/// is about, nor the bitmap behind it, of which a part has gone.
pub const BROKEN_OFF: Story = Story {
    name: "bitmap broken off",
    seeds: 20,
    setup: |_| {
        let mut setup = setup();
        // A bitmap takes two packets, of which the cable takes one.
        setup.net.use_rle = false;
        setup.socket_room = 100;
        setup
    },
    happen: |world| {
        attached_twice(world)?;
        world.mend()
    },
};

/// The same with a bitmap that comes in whole. Its source wrote when it had heard that the disk is gone: a second bitmap says so.
pub const SENT_TWICE: Story = Story {
    name: "bitmap sent twice",
    seeds: 20,
    setup: |_| setup(),
    happen: |world| {
        attached_twice(world)?;
        // Or both connect anew before it is heard of.
        world.run_until(SECOND, |world| {
            world
                .engine_state(ALICE, 0)
                .is_some_and(|state| state.peer_disk <= DiskState::Failed)
        });
        let number = world.put_write(ALICE, 2000, 8);
        world.mend()?;
        world.succeeds(number, "a write of a Primary alone")
    },
};

fn setup() -> Setup {
    Setup {
        net_latency: 20_000,
        ..Setup::default()
    }
}

/// The source has answered to the first time, and its answer is on its way.
fn attached_twice(world: &mut World<'_>) -> Told {
    world.synced()?;
    world.command(BOB, Admin::Detach(0))?;
    world.reach_state("a node without a disk", BOB, |state| {
        state.disk == DiskState::Diskless
    })?;
    world.written(ALICE, 1000, 8)?;
    world.admin(BOB, Admin::Attach(0));
    world.reach_state("the answer to an attach", ALICE, |state| {
        state.connection == ConnectionState::WFBitMapS
    })?;
    world.command(BOB, Admin::DetachForced(0))?;
    world.command(BOB, Admin::Attach(0))
}
