// SPDX-License-Identifier: GPL-2.0-only

//! Disks that come back while connected. A Primary without a disk goes on with its peer's data, which has the same name as what it has on its own disk: nothing was
//! written between. From the first write on it is another generation, or the old disk could be taken for the newer one.

use drbd_core::resource::request::Operation;
use drbd_core::state::DiskState;

use super::{expect, Story, Told, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::world::{Setup, World};

/// Alice's disk goes as the link breaks: bob has not heard of it, and his data is still called like hers.
fn one_name(world: &mut World<'_>) -> Told {
    world.synced()?;
    world.command(ALICE, Admin::DetachForced(0))?;
    world.part()
}

fn setup() -> Setup {
    Setup {
        net_latency: 50_000,
        ..Setup::default()
    }
}

/// Bob's disk goes, too, or not; then it comes back only when both are connected. What alice writes there is not lost when she gets her own back.
pub const BOTH_DISKS: Story = Story {
    name: "both disks go, and the peer's comes back first",
    seeds: 10,
    setup: |_| setup(),
    happen: |world| {
        one_name(world)?;
        let gone = world.rng.chance(50);
        if gone {
            world.command(BOB, Admin::DetachForced(0))?;
        }
        world.set_network(true);
        world.reach("a connection", World::is_connected)?;
        if gone {
            world.command(BOB, Admin::Attach(0))?;
        }
        world.reach_state("the peer's data", ALICE, |state| {
            state.peer_disk == DiskState::UpToDate
        })?;
        let value = world.written(ALICE, 1000, 8)?;
        world.command(ALICE, Admin::Attach(0))?;
        world.mend()?;
        let held = world.nodes[ALICE].disks[0].look(1000, 1)[0];
        expect(held == value, "what was acknowledged is still there")
    },
};

/// The link breaks around the first write, perhaps before alice has heard the new name. It is her data all the same.
pub const FIRST_WRITE: Story = Story {
    name: "the link breaks around the first write without a disk",
    seeds: 20,
    setup: |_| setup(),
    happen: |world| {
        one_name(world)?;
        world.set_network(true);
        world.reach_state("the peer's data", ALICE, |state| {
            state.peer_disk == DiskState::UpToDate
        })?;
        let write = world.put_write(ALICE, 1000, 8);
        let pause = world.rng.range(0, 150_000);
        world.run(pause);
        world.part()?;
        world.set_network(true);
        world.reach("a connection", World::is_connected)?;
        // It may have been on its way only.
        let _ = world.request_result(write);
        world.written(ALICE, 1500, 8)?;
        world.command(ALICE, Admin::Attach(0))?;
        world.mend()
    },
};

/// Her data is not bob's: he was away when she wrote, and her disk went before he was back. She does without rather than go back in time.
pub const OLDER_DATA: Story = Story {
    name: "older data offered to a Primary without a disk",
    seeds: 3,
    setup: |_| setup(),
    happen: |world| {
        world.synced()?;
        world.part()?;
        let value = world.written(ALICE, 1000, 8)?;
        world.command(ALICE, Admin::DetachForced(0))?;
        world.run(SECOND);
        world.set_network(true);
        world.run(5 * SECOND);
        let read = world.put_request(ALICE, Operation::Read, 1000, 8);
        let result = world.request_result(read);
        let held = &world.history.records[&read].values;
        expect(
            result != Some(true) || held.iter().all(|held| *held == value),
            "who reads gets what was written last, or an error",
        )
    },
};

/// Both have what the other lacks, and attach their disks at the same moment while connected: each calls its own UpToDate
/// while the other has none yet. They are not equal for that.
pub const ATTACHED_AT_ONCE: Story = Story {
    name: "disks of a split brain attached at once",
    seeds: 10,
    setup: |_| setup(),
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        world.written(ALICE, 1000, 8)?;
        world.command(BOB, Admin::PromoteForced(0))?;
        world.written(BOB, 1500, 8)?;
        for node in [ALICE, BOB] {
            world.command(node, Admin::Demote(0))?;
            world.command(node, Admin::Detach(0))?;
        }
        world.set_network(true);
        world.reach("a connection", World::is_connected)?;
        world.run(SECOND);
        for node in [ALICE, BOB] {
            // Its state of before the attach comes to a peer that has begun to attach.
            world.admin(node, Admin::PauseSync(0));
            world.admin(node, Admin::Attach(0));
        }
        world.run(5 * SECOND);
        expect(!world.in_sync(), "what differs is not UpToDate twice")
    },
};
