// SPDX-License-Identifier: GPL-2.0-only

//! The peer's disk hangs, and its pings go on: after `ko-count` times `timeout` nobody waits for it any more.

use drbd_core::config::policy::Protocol;
use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState, DiskState};

use super::{expect, Story, Told, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::shell::{Habit, Work};
use crate::world::{Setup, World};

/// Longer than anybody waits here.
const FOR_EVER: u64 = 100_000 * SECOND;

fn setup(seed: u64) -> Setup {
    let mut setup = Setup::default();
    setup.net.ko_count = 2;
    setup.net.wire_protocol = match seed % 3 {
        0 => Protocol::A,
        1 => Protocol::B,
        _ => Protocol::C,
    };
    setup
}

/// A node without a disk reads.
pub const READ: Story = Story {
    name: "read that the peer's disk does not answer",
    seeds: 3,
    setup,
    happen: |world| {
        world.synced()?;
        world.command(ALICE, Admin::Detach(0))?;
        world.reach_state("a Primary without a disk", ALICE, |state| {
            state.disk == DiskState::Diskless
        })?;
        world.nodes[BOB].habits = vec![Habit::slow(Work::PeerRead, FOR_EVER)];
        let number = world.put_request(ALICE, Operation::Read, 100, 8);
        given_up(world)?;
        expect(
            world.request_result(number) == Some(false),
            "a read ends that nobody can serve",
        )?;
        world.reboot(BOB);
        world.mend()
    },
};

/// A node has its writes confirmed, and not the barrier behind them.
pub const BARRIER: Story = Story {
    name: "barrier that the peer's disk does not answer",
    seeds: 3,
    setup,
    happen: |world| {
        world.synced()?;
        world.nodes[BOB].habits = vec![Habit::slow(Work::Flush, FOR_EVER)];
        world.written(ALICE, 100, 8)?;
        given_up(world)?;
        world.command(ALICE, Admin::Demote(0))?;
        world.reboot(BOB);
        world.mend()
    },
};

/// A slow line, and more to send than it takes in that time: what waits here is not the peer's fault.
pub const SLOW_LINE: Story = Story {
    name: "long queue to a slow line",
    seeds: 3,
    setup: |seed| {
        let mut setup = setup(seed);
        setup.net.ping_timeo = 50;
        setup
    },
    happen: |world| {
        world.synced()?;
        world.setup.net_latency = SECOND;
        world.setup.socket_room = 200;
        let link = world.mirroring_link(ALICE, 0);
        let numbers: Vec<u64> = (0..60)
            .map(|spot| world.put_write(ALICE, spot * 8, 8))
            .collect();
        for number in numbers {
            let ended = world.run_until(300 * SECOND, |world| {
                world.history.records[&number].ended.is_some()
            });
            expect(ended, "a write ends")?;
        }
        expect(
            link.is_some() && link == world.mirroring_link(ALICE, 0),
            "the connection is the same",
        )
    },
};

fn given_up(world: &mut World<'_>) -> Told {
    world.reach_state("the end of patience", ALICE, |state| {
        state.connection < ConnectionState::Connected
    })
}
