// SPDX-License-Identifier: GPL-2.0-only

//! A volume is added to a resource that is connected and in use: on one node first, on the other later.

use drbd_core::resource::request::Operation;
use drbd_core::resource::Disconnect;
use drbd_core::state::{ConnectionState, DiskState, Role, StateCode};

use super::{expect, Story, Told, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::app::io;
use crate::shell::{Habit, Work};
use crate::world::{Setup, World};

/// Either node gets it first, with its disk or without; the other one hears nothing of it until it has the volume itself.
pub const ADDED: Story = Story {
    name: "volume added",
    seeds: 16,
    setup: |_| setup(200),
    happen: |world| {
        let seed = world.seed as usize;
        let (first, second) = [(ALICE, BOB), (BOB, ALICE)][seed % 2];
        let disk_at_once = seed / 2 % 2 == 0;
        let primary = seed / 4 % 2;
        in_use(world, primary)?;
        world.command(first, Admin::AddVolume(1))?;
        if disk_at_once {
            world.command(first, Admin::Attach(1))?;
        }
        world.run(SECOND);
        let alone = world.engine_state(first, 1);
        expect(
            alone.is_some_and(|state| {
                state.role == Role::Secondary && state.connection == ConnectionState::WFReportParams
            }),
            "a volume that one node has is Secondary, whatever the others are, and waits for the peer",
        )?;
        world.command(second, Admin::AddVolume(1))?;
        meets(world)?;
        world.command(second, Admin::Attach(1))?;
        if !disk_at_once {
            world.command(first, Admin::Attach(1))?;
        }
        world.reach("two unused disks", |world| {
            (0..2).all(|node| {
                world.engine_state(node, 1).is_some_and(|state| {
                    state.disk == DiskState::Inconsistent
                        && state.peer_disk == DiskState::Inconsistent
                })
            })
        })?;
        world.command(primary, Admin::PromoteForced(1))?;
        world.settled()
    },
};

/// The first node has used its volume alone; the other one attaches its own disk while the words about it are under way.
pub const ADDED_WITH_DISK: Story = Story {
    name: "volume added with its disk",
    seeds: 16,
    setup: |seed| setup([200, 50_000][seed as usize % 2]),
    happen: |world| {
        let (first, second) = [(ALICE, BOB), (BOB, ALICE)][world.seed as usize / 2 % 2];
        in_use(world, first)?;
        world.command(first, Admin::AddVolume(1))?;
        world.command(first, Admin::Attach(1))?;
        world.command(first, Admin::PromoteForced(1))?;
        world.run(SECOND);
        world.command(second, Admin::AddVolume(1))?;
        world.run([0, 100, 60_000, 120_000][world.seed as usize / 4 % 4]);
        world.command(second, Admin::Attach(1))?;
        meets(world)?;
        world.settled()
    },
};

/// One node has a volume more when both connect: with the other one all goes on as if it were not there.
pub const ON_ONE_NODE: Story = Story {
    name: "volume on one node alone",
    seeds: 4,
    setup: |_| setup(200),
    happen: |world| {
        let (first, second) = [(ALICE, BOB), (BOB, ALICE)][world.seed as usize % 2];
        world.command(first, Admin::AddVolume(1))?;
        in_use(world, world.seed as usize / 2 % 2)?;
        world.command(first, Admin::Attach(1))?;
        world.command(second, Admin::AddVolume(1))?;
        meets(world)
    },
};

/// The peer's disk hangs with as much of one volume as `max-buffers` allows: the other one has buffers of its own.
pub const BUFFERS: Story = Story {
    name: "volume beside one that hangs",
    seeds: 2,
    setup: |_| {
        let mut setup = Setup {
            volumes: 2,
            ..Setup::default()
        };
        setup.net.max_buffers = 32;
        setup
    },
    happen: |world| {
        world.both_up()?;
        let (hangs, works) = [(0, 1), (1, 0)][world.seed as usize % 2];
        for volume in 0..2 {
            world.command(ALICE, Admin::PromoteForced(volume))?;
        }
        world.settled()?;
        world.nodes[BOB].habits = vec![Habit::slow(Work::PeerWrite, 30 * SECOND)];
        let value = world.history.next + 1;
        let first = world.submit(ALICE, hangs, io(Operation::Write, 0, 256), vec![value; 256]);
        world.reach("a write that hangs", |world| {
            world.at_work(BOB, Work::PeerWrite) > 0
        })?;
        world.nodes[BOB].habits.clear();
        let second = world.submit(ALICE, works, io(Operation::Write, 0, 8), vec![value + 1; 8]);
        world.succeeds(second, "the write to the other volume succeeds")?;
        expect(
            world.history.records[&first].ended.is_none(),
            "the write before it still hangs",
        )?;
        world.run(30 * SECOND);
        world.settled()
    },
};

/// A Primary leaves as one with fencing does: it wants the other node's disks to be Outdated, of which one is worse.
pub const OUTDATED_BY_LEAVING: Story = Story {
    name: "Outdated disk beside one that is worse",
    seeds: 2,
    setup: |_| Setup {
        volumes: 2,
        ..Setup::default()
    },
    happen: |world| {
        world.both_up()?;
        let worse = world.seed as u8 % 2;
        let good = 1 - worse;
        world.command(BOB, Admin::PauseSync(worse))?;
        for volume in 0..2 {
            world.command(ALICE, Admin::PromoteForced(volume))?;
        }
        let disks = |world: &World<'_>| {
            [good, worse].map(|volume| {
                let state = world.engine_state(BOB, usize::from(volume));
                state.map_or(DiskState::Diskless, |state| state.disk)
            })
        };
        world.reach("a good disk beside an Inconsistent one", |world| {
            disks(world) == [DiskState::UpToDate, DiskState::Inconsistent]
        })?;
        let mut way = Disconnect::new(false);
        way.next(StateCode::PrimaryNoPeer);
        let now = world.now / 1000;
        let alice = world.nodes[ALICE].life.as_mut().ok_or("down")?;
        let asked = alice.engine.at(now).disconnect(&way);
        expect(matches!(asked, Ok(Some(_))), "the other node is asked")?;
        world.settle(ALICE);
        world.reach_state("the end of the connection", ALICE, |state| {
            state.connection == ConnectionState::StandAlone
        })?;
        expect(
            disks(world) == [DiskState::Outdated, DiskState::Inconsistent],
            "the good disk is Outdated, the other one is what it was",
        )?;
        world.command(ALICE, Admin::Connect)?;
        world.command(BOB, Admin::ResumeSync(worse))?;
        world.settled()
    },
};

fn setup(net_latency: u64) -> Setup {
    Setup {
        volumes: 2,
        late_volumes: 1,
        net_latency,
        ..Setup::default()
    }
}

/// Connected, and a node is Primary with the first volume: with the second one, no other may be.
fn in_use(world: &mut World<'_>, primary: usize) -> Told {
    world.both_up()?;
    world.command(primary, Admin::PromoteForced(0))?;
    world.reach("a first volume in order", |world| {
        (0..2).all(|node| {
            world
                .engine_state(node, 0)
                .is_some_and(|state| state.peer_disk == DiskState::UpToDate)
        })
    })
}

fn meets(world: &mut World<'_>) -> Told {
    world.reach("a meeting of the new volume", |world| {
        (0..2).all(|node| {
            world
                .engine_state(node, 1)
                .is_some_and(|state| state.connection >= ConnectionState::Connected)
        })
    })
}
