// SPDX-License-Identifier: GPL-2.0-only

//! Nothing else happens: whoever waits must be woken by what it waits for.

use drbd_core::state::DiskState;

use super::{expect, Story, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::world::Setup;

/// An application writes while I/O is suspended.
pub const SUSPENDED: Story = Story {
    name: "suspended write",
    seeds: 2,
    setup: |_| Setup::default(),
    happen: |world| {
        world.synced()?;
        world.command(ALICE, Admin::SuspendIo(0))?;
        let number = world.put_write(ALICE, 100, 8);
        world.run(SECOND);
        expect(
            world.history.records[&number].ended.is_none(),
            "a write waits",
        )?;
        world.command(ALICE, Admin::ResumeIo(0))?;
        world.succeeds(number, "a write goes on when I/O is resumed")
    },
};

/// A Primary writes the same blocks again before the first write is done: without a disk; or without a peer, and with all
/// blocks marked, so that it needs no activity log.
pub const OVERLAPPING: Story = Story {
    name: "overlapping writes",
    seeds: 10,
    setup: |_| Setup::default(),
    happen: |world| {
        world.synced()?;
        if world.seed % 2 == 0 {
            world.command(ALICE, Admin::Detach(0))?;
            world.reach_state("a Primary without a disk", ALICE, |state| {
                state.disk == DiskState::Diskless
            })?;
        } else {
            world.command(ALICE, Admin::Disconnect)?;
            world.command(ALICE, Admin::InvalidateRemote(0))?;
        }
        world.run(SECOND);
        let numbers = [(100, 8), (104, 16), (96, 8), (96, 40)]
            .map(|(sector, sectors)| world.put_write(ALICE, sector, sectors));
        for number in numbers {
            world.succeeds(number, "a write goes on when the one before it is done")?;
        }
        world.mend()
    },
};

/// The peer is asked whether it agrees, and goes for good before it answers.
pub const LINK_LOST: Story = Story {
    name: "question to a peer that goes",
    seeds: 10,
    setup: |_| Setup {
        net_latency: 50_000,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        let before = world.ended.len();
        world.admin(ALICE, Admin::Detach(0));
        // The question is on its way, or just not.
        let pause = world.rng.range(0, 40_000);
        world.run(pause);
        world.set_network(false);
        world.reach("an answer to an administrator", |world| {
            world.ended.len() > before
        })
    },
};

/// A Primary asks whether it may detach. Its peer agrees, and loses power, or its own disk, before its consent arrives: the
/// Primary keeps its disk, and its data alone has changed.
pub const CONSENT_LOST: Story = Story {
    name: "consent of a peer that goes",
    seeds: 6,
    setup: |_| Setup {
        net_latency: 200_000,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.admin(ALICE, Admin::Detach(0));
        world.reach_state("the consent", BOB, |state| {
            state.peer_disk <= DiskState::Failed
        })?;
        if world.seed % 2 == 0 {
            world.run(50_000);
            world.crash(BOB);
        } else {
            world.admin(BOB, Admin::DetachForced(0));
            world.run(1000);
            world.cut();
        }
        world.reach("the loss of the peer", |world| !world.is_connected())?;
        // A consent that was faster than the trouble has taken the disk away.
        if world.state(ALICE)?.disk == DiskState::UpToDate {
            world.written(ALICE, 1000, 8)?;
        }
        world.mend()
    },
};
