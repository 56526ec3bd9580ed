// SPDX-License-Identifier: GPL-2.0-only

//! A source that pulls ahead of its target, at bad moments.

use drbd_core::config::policy::{OnCongestion, OnIoError, Protocol};
use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState, DiskState};

use super::{expect, Story, Told, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::shell::{Habit, Work};
use crate::world::{Setup, World};

fn pulls_ahead() -> Setup {
    let mut setup = Setup {
        net_latency: 10_000,
        ..Setup::default()
    };
    setup.net.wire_protocol = Protocol::A;
    setup.net.on_congestion = OnCongestion::PullAhead;
    setup.net.cong_fill = 64;
    // A cable so slow is no dead peer.
    setup.net.ping_timeo = 50;
    setup
}

/// Alice writes until she is Ahead.
fn ahead(world: &mut World<'_>) -> Told {
    for number in 0..100 {
        if world.state(ALICE)?.connection == ConnectionState::Ahead {
            break;
        }
        world.written(ALICE, number * 8, 8)?;
    }
    Ok(())
}

/// Alice writes until she is Ahead, and begins a resync.
fn ahead_and_back(world: &mut World<'_>) -> Told {
    ahead(world)?;
    world.reach_state("a resync", ALICE, |state| {
        state.connection == ConnectionState::SyncSource
    })
}

/// A source pulls ahead in the middle of a resync, and of the next ones before its target can have begun them. The link breaks before
/// the target hears of the last; or the target loses power, and had none of them on its disk. It is still known by the name that
/// it has.
pub const AHEAD_AGAIN: Story = Story {
    name: "ahead again and again",
    seeds: 40,
    setup: |_| pulls_ahead(),
    happen: |world| {
        world.synced()?;
        world.nodes[ALICE].habits = vec![Habit::slow(Work::PeerRead, SECOND)];
        for resync in 0..3 {
            world.slowness = 2 * SECOND;
            ahead_and_back(world)?;
            if resync == 0 {
                world.slowness = 0;
                world.reach("a question of the target", |world| {
                    world.at_work(ALICE, Work::PeerRead) > 0
                })?;
                world.nodes[BOB].habits = vec![Habit::slow(Work::Superblock, 100 * SECOND)];
            }
        }
        let pause = world.rng.range(0, SECOND);
        world.run(pause);
        if world.seed % 2 == 0 {
            world.cut();
        } else {
            world.crash(BOB);
        }
        world.slowness = 0;
        world.reach_state("the loss of the peer", ALICE, |state| {
            state.connection < ConnectionState::Connected
        })?;
        world.mend()
    },
};

/// A target ends its resync under the name that its source has then. The source pulls ahead before it knows, and once more, and
/// has two newer names when the link breaks: it still knows the one that its target has.
pub const AHEAD_OF_A_TARGET_THAT_IS_DONE: Story = Story {
    name: "ahead of a target that is done",
    seeds: 5,
    setup: |_| pulls_ahead(),
    happen: |world| {
        world.synced()?;
        world.slowness = SECOND;
        for _ in 0..2 {
            ahead_and_back(world)?;
        }
        world.slowness = 0;
        world.nodes[BOB].habits = vec![Habit::slow(Work::ResyncWrite, SECOND / 10)];
        world.reach("the last block", |world| {
            world.at_work(BOB, Work::ResyncWrite) > 0
        })?;
        world.slowness = 3 * SECOND;
        ahead(world)?;
        // What was written is on its way for long; acknowledgements go over the other socket.
        world.slowness = 0;
        world.reach_state("the end of the resync", BOB, |state| {
            state.connection == ConnectionState::Connected
        })?;
        expect(
            world.state(ALICE)?.connection == ConnectionState::Ahead,
            "its source does not know",
        )?;
        world.slowness = SECOND;
        ahead_and_back(world)?;
        ahead(world)?;
        world.cut();
        world.slowness = 0;
        world.reach("the loss of the peer", |world| !world.is_connected())?;
        world.mend()
    },
};

/// A source pulls ahead while the handler of its target runs, before the resync: there will be another one.
pub const AHEAD_AT_ONCE: Story = Story {
    name: "ahead at once",
    seeds: 10,
    setup: |_| pulls_ahead(),
    happen: |world| {
        world.synced()?;
        for _ in 0..3 {
            let before = world.now;
            ahead_and_back(world)?;
            expect(
                world.now < before + 10 * SECOND,
                "a resync follows as soon as all is quiet",
            )?;
        }
        world.settled()
    },
};

/// A Primary asks whether it may detach, and pulls ahead before the answer is there, which comes too late. Its peer agreed, and gave
/// its data a name of its own for that.
pub const AHEAD_WHILE_ASKING: Story = Story {
    name: "ahead while asking to detach",
    seeds: 5,
    setup: |_| Setup {
        net_latency: 200_000,
        ..pulls_ahead()
    },
    happen: |world| {
        world.synced()?;
        world.admin(ALICE, Admin::Detach(0));
        for number in 0..20 {
            world.written(ALICE, number * 8, 8)?;
        }
        world.reach_state("Behind", BOB, |state| {
            state.connection == ConnectionState::Behind
        })?;
        let state = world.state(ALICE)?;
        expect(state.disk == DiskState::UpToDate, "the disk stays")?;
        world.cut();
        world.reach("the loss of the peer", |world| !world.is_connected())?;
        world.mend()
    },
};

/// A Primary asks whether its data may be replaced, and pulls ahead before the answer is there. Its peer agreed, and begins.
pub const AHEAD_WHILE_INVALIDATING: Story = Story {
    name: "ahead while asking to be invalidated",
    seeds: 5,
    setup: |_| Setup {
        net_latency: 200_000,
        ..pulls_ahead()
    },
    happen: |world| {
        world.synced()?;
        world.admin(ALICE, Admin::Invalidate(0));
        for number in 0..20 {
            world.written(ALICE, number * 8, 8)?;
        }
        world.reach_state("Behind", BOB, |state| {
            state.connection == ConnectionState::Behind
        })?;
        world.settled()
    },
};

/// A node that is Ahead cannot read a block, and passes the error on. Were it to mark that block, its target would not know.
pub const AHEAD_AND_UNREADABLE: Story = Story {
    name: "ahead with a block that cannot be read",
    seeds: 6,
    setup: |_| {
        let mut setup = pulls_ahead();
        setup.disk.on_io_error = OnIoError::PassOn;
        setup
    },
    happen: |world| {
        world.synced()?;
        world.slowness = 2 * SECOND;
        ahead(world)?;
        world.nodes[ALICE].habits = vec![Habit::failing(Work::Read)];
        let number = world.put_request(ALICE, Operation::Read, 1600, 8);
        let _ = world.request_result(number);
        world.nodes[ALICE].habits.clear();
        world.slowness = 0;
        world.settled()
    },
};

/// A node is Ahead, and before its peer hears of that, the peer's disk is given up and attached again. The word that comes then is of
/// before: the peer would wait for a resync from a node that waits for its bitmap.
pub const AHEAD_OF_A_FORMER_DISK: Story = Story {
    name: "ahead of a former disk",
    seeds: 6,
    setup: |_| pulls_ahead(),
    happen: |world| {
        world.synced()?;
        // What is written before comes sooner, and is refused before the disk is back.
        world.slowness = SECOND;
        for number in 0..8 {
            world.written(ALICE, number * 8, 8)?;
        }
        world.slowness = 4 * SECOND;
        ahead(world)?;
        world.slowness = 0;
        world.command(BOB, Admin::DetachForced(0))?;
        let pause = world.rng.range(3 * SECOND / 2, 3 * SECOND);
        world.run(pause);
        world.command(BOB, Admin::Attach(0))?;
        expect(
            world.state(BOB)?.disk == DiskState::Negotiating,
            "a disk is being attached before the peer's word is there",
        )?;
        world.settled()
    },
};

/// What a target asked for is on its way while its source pulls ahead and begins another resync, as the cable stalls. The target does not
/// write what it gets for that; the source, which waits for a word about all that it has sent, hears of it.
pub const AHEAD_OF_A_QUESTION: Story = Story {
    name: "ahead of a question",
    seeds: 6,
    setup: |_| pulls_ahead(),
    happen: |world| {
        world.synced()?;
        ahead_and_back(world)?;
        world.slowness = 4 * SECOND;
        world.reach_state("a target that asks", BOB, |state| {
            state.connection == ConnectionState::SyncTarget
        })?;
        world.run(SECOND / 5);
        world.slowness = 0;
        ahead_and_back(world)?;
        if world.seed % 2 == 0 {
            world.settled()?;
        } else {
            let pause = world.rng.range(2 * SECOND, 4 * SECOND);
            world.run(pause);
        }
        ahead_and_back(world)?;
        world.settled()
    },
};
