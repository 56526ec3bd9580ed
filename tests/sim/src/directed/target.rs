// SPDX-License-Identifier: GPL-2.0-only

//! The target of a resync, and what its disk says of it.

use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState, DiskState, State};

use super::extents::EXTENT;
use super::{expect, Story, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::node::Sizes;
use crate::shell::{Habit, Work};
use crate::world::Setup;

/// A target whose disk takes its time with metadata loses power in the middle. What it was sent, and acknowledged, was in
/// the disk's cache.
pub const SLOW_METADATA: Story = Story {
    name: "slow metadata of a target",
    seeds: 10,
    setup: |_| Setup::default(),
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        for spot in 0..10 {
            world.written(ALICE, spot * 400, 30)?;
        }
        // What is written at the loss of the peer is done by now.
        world.run(SECOND);
        let work = [Work::Superblock, Work::BitmapPage][world.seed as usize % 2];
        world.nodes[BOB].habits = vec![Habit::slow(work, 3 * SECOND)];
        world.set_network(true);
        world.reach_state("a resync", BOB, |state| {
            state.connection == ConnectionState::SyncTarget
        })?;
        let pause = world.rng.range(0, 200_000);
        world.run(pause);
        world.crash(BOB);
        world.mend()
    },
};

/// A target whose metadata is slow is written to without pause: each write clears a mark that is on disk, or soon will be. It has to ask for
/// blocks all the same.
pub const WRITTEN_WITHOUT_PAUSE: Story = Story {
    name: "target that is written to without pause",
    seeds: 3,
    setup: |_| Setup {
        device_sectors: 40_000,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        for spot in 0..150 {
            world.written(ALICE, spot * 256, 256)?;
        }
        world.run(SECOND);
        world.nodes[BOB].habits = vec![Habit::slow(Work::BitmapPage, 300_000)];
        world.nodes[ALICE].habits = vec![Habit::slow(Work::PeerRead, 200_000)];
        world.set_network(true);
        world.reach_state("a resync", BOB, |state| {
            state.connection == ConnectionState::SyncTarget
        })?;
        let mut asked = false;
        for spot in 0..300 {
            world.put_write(ALICE, spot * 128, 8);
            world.run(50_000);
            asked |= world.at_work(ALICE, Work::PeerRead) > 0;
        }
        expect(asked, "the target asks for blocks")?;
        world.mend()
    },
};

/// The target of a resync that takes long, or its source, loses power in the middle: most of what was done is not done again.
pub const CRASHES_IN_A_LONG_RESYNC: Story = Story {
    name: "crash in a long resync",
    seeds: 4,
    setup: |_| Setup {
        device_sectors: 40_000,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        for spot in 0..150 {
            world.written(ALICE, spot * 256, 256)?;
        }
        world.command(ALICE, Admin::Demote(0))?;
        world.run(SECOND);
        // Afterwards its activity log is empty, which would mark all that it names.
        world.command(ALICE, Admin::Detach(0))?;
        world.command(ALICE, Admin::Attach(0))?;
        world.nodes[ALICE].habits = vec![Habit::slow(Work::PeerRead, 200_000)];
        world.set_network(true);
        let resyncs = |state: &State| state.connection == ConnectionState::SyncTarget;
        world.reach_state("a resync", BOB, resyncs)?;
        let all = world.marked(BOB, 0).len();
        world.run(20 * SECOND);
        let left = world.marked(BOB, 0).len();
        expect(left > 0, "the resync goes on")?;
        let victim = world.seed as usize % 2;
        world.crash(victim);
        world.reach_state("the loss of the peer", 1 - victim, |state| {
            state.connection < ConnectionState::Connected
        })?;
        world.boot(victim);
        world.up(victim);
        world.reach_state("the resync again", BOB, resyncs)?;
        let again = world.marked(BOB, 0).len() - left;
        expect(again < (all - left) / 2, "less than half is done again")?;
        world.mend()
    },
};

/// Metadata on a device of its own. A page of the bitmap of a Primary that is a target is on its way, with the data before
/// it, and meanwhile the resync writes more: the page must not say of those blocks, too, that they are equal, before they are on stable storage.
pub const WRITTEN_WHILE_FLUSHING: Story = Story {
    name: "written while flushing",
    seeds: 10,
    setup: |_| Setup {
        device_sectors: 20_000,
        sizes: Sizes {
            extents: 1,
            ..Sizes::default()
        },
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        for spot in 0..10 {
            world.written(ALICE, spot * 400, 256)?;
        }
        world.run(SECOND);
        world.command(ALICE, Admin::Demote(0))?;
        world.nodes[BOB].habits = vec![
            Habit::slow(Work::ResyncWrite, 200_000),
            Habit::slow(Work::BitmapPage, 300_000),
        ];
        world.set_network(true);
        world.reach("blocks that are being written", |world| {
            world.at_work(BOB, Work::ResyncWrite) > 0
        })?;
        world.command(BOB, Admin::Promote(0))?;
        let pause = world.rng.range(0, 400_000);
        world.run(pause);
        // Its activity log has room for one extent: another write, another extent, and a page of the bitmap before that.
        world.written(BOB, EXTENT + 4096, 8)?;
        world.put_write(BOB, 4096, 8);
        world.reach("a page of the bitmap", |world| {
            world.at_work(BOB, Work::BitmapPage) > 0
        })?;
        world.reach("its end", |world| world.at_work(BOB, Work::BitmapPage) == 0)?;
        world.crash(BOB);
        world.mend()
    },
};

/// A source takes its time to note what it calls its target's data. Meanwhile the target detaches and attaches again: the word
/// about the first resync must not be taken for one about the second.
pub const OLD_SYNC_UUID: Story = Story {
    name: "old sync UUID",
    seeds: 10,
    setup: |_| Setup::default(),
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        world.written(ALICE, 500, 30)?;
        world.run(SECOND);
        world.nodes[ALICE].habits = vec![Habit::slow(Work::Superblock, 5 * SECOND)];
        world.set_network(true);
        world.reach_state("a source", ALICE, |state| {
            state.connection == ConnectionState::SyncSource
        })?;
        let pause = world.rng.range(0, 2_000_000);
        world.run(pause);
        world.command(BOB, Admin::DetachForced(0))?;
        world.nodes[ALICE].habits.clear();
        world.command(BOB, Admin::Attach(0))?;
        world.mend()
    },
};

/// A node that is about to be the source asks whether it may detach, and begins before the answer is there: the word about it
/// comes to a target that has given the resync up already, and must not wait for another one.
pub const LATE_SYNC_UUID: Story = Story {
    name: "late sync UUID",
    seeds: 10,
    setup: |_| Setup {
        net_latency: 200_000,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        world.written(ALICE, 500, 30)?;
        world.command(ALICE, Admin::Demote(0))?;
        world.run(SECOND);
        world.set_network(true);
        world.reach_state("a source to be", ALICE, |state| {
            state.connection == ConnectionState::WFBitMapS
        })?;
        let pause = world.rng.range(0, 250_000);
        world.run(pause);
        world.command(ALICE, Admin::Detach(0))?;
        world.run(SECOND);
        world.command(ALICE, Admin::Attach(0))?;
        world.mend()
    },
};

/// A target's resync is paused, and goes on before the target has noted that it began: its word about that still says that its
/// disk is Outdated. The Primary's own disk must not be detached for it.
pub const PAUSED: Story = Story {
    name: "paused resync",
    seeds: 3,
    setup: |_| Setup::default(),
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        world.written(ALICE, 500, 30)?;
        world.nodes[ALICE].habits = vec![Habit::slow(Work::PeerRead, 10 * SECOND)];
        world.command(BOB, Admin::PauseSync(0))?;
        world.set_network(true);
        world.reach_state("a paused source", ALICE, |state| {
            state.connection == ConnectionState::PausedSyncS
        })?;
        world.command(BOB, Admin::ResumeSync(0))?;
        world.reach_state("a source", ALICE, |state| {
            state.connection == ConnectionState::SyncSource
        })?;
        expect(
            world.command(ALICE, Admin::Detach(0)).is_err(),
            "the only disk with all of the data stays",
        )?;
        let state = world.state(ALICE)?;
        expect(state.disk == DiskState::UpToDate, "it is in use")?;
        world.mend()
    },
};

/// A target asks to disconnect while its disk still writes what it was sent. Its word that those blocks are equal comes to a
/// source that has written to one of them since, without it.
pub const LATE_WORD: Story = Story {
    name: "late word of a target",
    seeds: 60,
    setup: |_| Setup {
        net_latency: 200_000,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        world.written(ALICE, 496, 8)?;
        let takes = world.rng.range(20_000, 300_000);
        world.nodes[BOB].habits = vec![Habit::slow(Work::ResyncWrite, takes)];
        world.set_network(true);
        world.reach("a block that is being written", |world| {
            world.at_work(BOB, Work::ResyncWrite) > 0
        })?;
        world.admin(BOB, Admin::Disconnect);
        world.reach_state("consent", ALICE, |state| {
            state.connection == ConnectionState::TearDown
        })?;
        world.written(ALICE, 496, 8)?;
        world.mend()
    },
};

/// There is nothing to do, and the source takes its time to note that it begins. A ping comes and goes meanwhile: the source must not
/// be done before its target has heard of the start.
pub const NOTHING_TO_DO: Story = Story {
    name: "resync of nothing",
    seeds: 5,
    setup: |_| Setup::default(),
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        world.run(SECOND);
        world.set_network(true);
        world.reach_state("a source to be", ALICE, |state| {
            state.connection == ConnectionState::WFBitMapS
        })?;
        world.nodes[ALICE].habits = vec![Habit::slow(Work::Superblock, 25 * SECOND)];
        world.run(25 * SECOND);
        world.mend()
    },
};

/// A target gives its disk up in the middle of a resync, when it might have been done as far as the source knows, and takes it
/// again. At the end of the resync that follows, the source is promoted: its data is called as before, for the target has all of it.
pub const PROMOTED_AT_THE_END: Story = Story {
    name: "promoted as a target that had gone is done",
    seeds: 5,
    setup: |_| Setup::default(),
    happen: |world| {
        world.synced()?;
        world.lose_peer()?;
        world.written(ALICE, 800, 8)?;
        world.command(ALICE, Admin::Demote(0))?;
        world.nodes[ALICE].habits = vec![Habit::slow(Work::PeerRead, SECOND)];
        world.set_network(true);
        world.reach("a question of the target", |world| {
            world.at_work(ALICE, Work::PeerRead) > 0
        })?;
        world.command(BOB, Admin::Detach(0))?;
        world.command(BOB, Admin::Attach(0))?;
        world.nodes[BOB].habits = vec![Habit::slow(Work::ResyncWrite, SECOND / 10)];
        world.reach("the last block", |world| {
            world.at_work(BOB, Work::ResyncWrite) > 0
        })?;
        world.nodes[ALICE].habits = vec![Habit::slow(Work::Superblock, SECOND)];
        world.command(ALICE, Admin::Promote(0))?;
        world.reach_state("the end of the resync", BOB, |state| {
            state.disk == DiskState::UpToDate
        })?;
        world.nodes[ALICE].habits.clear();
        world.command(ALICE, Admin::Detach(0))?;
        world.written(ALICE, 100, 8)?;
        world.crash(ALICE);
        world.mend()
    },
};

/// A Primary is the target, and its disk takes its time with a write that its peer has confirmed, and has on stable storage. The
/// connection goes, and comes back.
pub const WRITE_OUTLIVES_LINK: Story = Story {
    name: "write that outlives its connection",
    seeds: 5,
    setup: |_| {
        let mut setup = Setup::default();
        setup.disk.c_plan_ahead = 0;
        setup.disk.resync_rate = 250;
        setup
    },
    happen: |world| {
        world.synced()?;
        world.command(ALICE, Admin::Invalidate(0))?;
        world.reach_state("a resync", ALICE, |state| {
            state.connection == ConnectionState::SyncTarget
        })?;
        world.nodes[ALICE].habits = vec![Habit::slow(Work::Write, 15 * SECOND)];
        world.run(SECOND);
        let number = world.put_write(ALICE, 4000, 8);
        for sector in [3900, 3800] {
            world.put_request(ALICE, Operation::Flush, 0, 0);
            world.put_write(ALICE, sector, 8);
            world.run(SECOND);
        }
        world.cut();
        world.reach_state("the loss of the peer", ALICE, |state| {
            state.connection < ConnectionState::Connected
        })?;
        world.mend()?;
        world.succeeds(number, "a write that takes its time")
    },
};
