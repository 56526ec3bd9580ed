// SPDX-License-Identifier: GPL-2.0-only

//! Generations of data: who meets whom, and what each may believe.

use drbd_core::state::{ConnectionState, DiskState};

use super::{expect, Story, Told, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::shell::{Habit, Work};
use crate::world::{Setup, World};

fn alone(world: &mut World<'_>) -> Told {
    world.set_network(false);
    world.reach("the loss of the peer", |world| {
        (0..2).all(|node| {
            world
                .engine_state(node, 0)
                .is_none_or(|state| state.connection < ConnectionState::Connected)
        })
    })
}

/// Both have what the other lacks, acknowledged: they meet, and nobody's data is thrown away.
fn parted(world: &mut World<'_>, kept: &[(usize, u64, u64)]) -> Told {
    world.reach("that both look for each other", |world| {
        (0..2).all(|node| {
            world
                .engine_state(node, 0)
                .is_some_and(|state| state.connection == ConnectionState::WFConnection)
        })
    })?;
    world.set_network(true);
    world.reach("a split brain", |world| {
        (0..2).any(|node| {
            world
                .engine_state(node, 0)
                .is_some_and(|state| state.connection == ConnectionState::StandAlone)
        })
    })?;
    for (node, sector, value) in kept {
        let held = world.nodes[*node].disks[0].look(*sector, 1)[0];
        expect(held == *value, "what was acknowledged is still there")?;
    }
    Ok(())
}

/// Both part while alice is Primary, and `what` she does then; the link breaks again at the moment in which the target of the
/// resync is done. From then on both are written to.
fn lose_target(world: &mut World<'_>, what: fn(&mut World<'_>) -> Told) -> Told {
    world.synced()?;
    alone(world)?;
    what(world)?;
    world.set_network(true);
    world.reach_state("a resync", BOB, |state| {
        state.connection == ConnectionState::SyncTarget
    })?;
    world.reach_state("the end of a resync", BOB, |state| {
        state.disk == DiskState::UpToDate
    })?;
    // With all that is in the cable, the target's last answers among it.
    world.set_network(false);
    world.cut();
    alone(world)?;
    let here = world.written(ALICE, 1000, 8)?;
    world.command(BOB, Admin::Promote(0))?;
    let there = world.written(BOB, 1500, 8)?;
    world.command(ALICE, Admin::Demote(0))?;
    parted(world, &[(ALICE, 1000, here), (BOB, 1500, there)])
}

fn far_apart() -> Setup {
    Setup {
        net_latency: 20_000,
        volatile: false,
        ..Setup::default()
    }
}

/// A target that asked for a block.
pub const LOST_TARGET: Story = Story {
    name: "lost target",
    seeds: 10,
    setup: |_| far_apart(),
    happen: |world| lose_target(world, |world| world.written(ALICE, 500, 8).map(|_| ())),
};

/// A target that had nothing to ask for.
pub const LOST_TARGET_OF_NOTHING: Story = Story {
    name: "lost target of nothing",
    seeds: 10,
    setup: |_| far_apart(),
    happen: |world| lose_target(world, |_| Ok(())),
};

/// A Primary loses its peer, and power after the first write without it, while its disk is slow with the superblock.
pub const NEW_UUID: Story = Story {
    name: "new UUID",
    seeds: 10,
    setup: |_| Setup {
        volatile: false,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.nodes[ALICE].habits = vec![Habit::slow(Work::Superblock, 5 * SECOND)];
        world.set_network(false);
        world.reach_state("the loss of the peer", ALICE, |state| {
            state.connection < ConnectionState::Connected
        })?;
        let here = world.written(ALICE, 1000, 8)?;
        world.crash(ALICE);
        world.nodes[ALICE].habits.clear();
        world.command(BOB, Admin::Promote(0))?;
        let there = world.written(BOB, 1500, 8)?;
        world.reboot(ALICE);
        parted(world, &[(ALICE, 1000, here), (BOB, 1500, there)])
    },
};

/// Bob's disk is declared Outdated while alice goes on.
fn outdated(world: &mut World<'_>) -> Told {
    world.synced()?;
    alone(world)?;
    world.written(ALICE, 1000, 8)?;
    world.command(BOB, Admin::Outdate(0))?;
    world.run(SECOND);
    Ok(())
}

fn is_outdated(world: &mut World<'_>) -> Told {
    let state = world.state(BOB)?;
    if state.disk != DiskState::Outdated {
        return Err(format!("an Outdated disk became {}", state.disk.name()));
    }
    expect(
        world.command(BOB, Admin::Promote(0)).is_err(),
        "nobody becomes Primary on Outdated data",
    )
}

/// What was declared Outdated is so after a loss of power.
pub const OUTDATED: Story = Story {
    name: "outdated",
    seeds: 3,
    setup: |_| Setup::default(),
    happen: |world| {
        outdated(world)?;
        world.crash(BOB);
        world.reboot(BOB);
        world.run(5 * SECOND);
        is_outdated(world)?;
        world.mend()
    },
};

/// An Outdated disk meets a peer that has no disk: nothing makes it better.
pub const OUTDATED_MEETS_DISKLESS: Story = Story {
    name: "outdated meets diskless",
    seeds: 3,
    setup: |_| Setup::default(),
    happen: |world| {
        outdated(world)?;
        world.command(ALICE, Admin::Demote(0))?;
        world.command(ALICE, Admin::DetachForced(0))?;
        world.set_network(true);
        world.reach("a connection", World::is_connected)?;
        world.run(5 * SECOND);
        is_outdated(world)?;
        world.mend()
    },
};

/// A Primary without a disk attaches its old one, which is good enough as long as the peer has the data that is in use. The
/// peer's disk goes at the same moment.
pub const OLD_DISK: Story = Story {
    name: "old disk attached as the peer's goes",
    seeds: 10,
    setup: |_| Setup {
        net_latency: 100_000,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.command(ALICE, Admin::DetachForced(0))?;
        let value = world.written(ALICE, 1000, 8)?;
        world.run(SECOND);
        world.admin(ALICE, Admin::Attach(0));
        let pause = world.rng.range(0, 100_000);
        world.run(pause);
        world.admin(BOB, Admin::DetachForced(0));
        world.run(2 * SECOND);
        let has_it = world.nodes[ALICE].disks[0].look(1000, 1)[0] == value;
        expect(
            has_it || world.state(ALICE)?.disk != DiskState::UpToDate,
            "a disk without an acknowledged write is not UpToDate",
        )?;
        world.mend()
    },
};

/// The Outdated disk is all that a Primary without a disk has: it is what its applications used last.
pub const OUTDATED_IN_USE: Story = Story {
    name: "outdated and in use",
    seeds: 10,
    setup: |_| Setup {
        net_latency: 50_000,
        ..Setup::default()
    },
    happen: |world| {
        world.synced()?;
        world.command(ALICE, Admin::DetachForced(0))?;
        world.written(ALICE, 1000, 8)?;
        world.run(SECOND);
        alone(world)?;
        world.command(BOB, Admin::Outdate(0))?;
        world.set_network(true);
        world.reach_state("good data", BOB, |state| state.disk == DiskState::UpToDate)?;
        world.written(ALICE, 1500, 8)?;
        world.mend()
    },
};

/// The Outdated disk is not what a Primary without a disk used last: it ends the connection, and nothing has become better.
pub const OUTDATED_AND_REFUSED: Story = Story {
    name: "outdated and refused",
    seeds: 10,
    setup: |_| Setup {
        net_latency: 50_000,
        ..Setup::default()
    },
    happen: |world| {
        outdated(world)?;
        world.command(ALICE, Admin::DetachForced(0))?;
        world.set_network(true);
        world.reach_state("a refusal", ALICE, |state| {
            state.connection == ConnectionState::StandAlone
        })?;
        world.run(5 * SECOND);
        is_outdated(world)?;
        world.command(ALICE, Admin::Demote(0))?;
        world.mend()
    },
};

/// As [`World::synced`], without a sync: nobody has written anything yet.
fn declared_equal(world: &mut World<'_>) -> Told {
    for node in &mut world.nodes {
        node.disks[0].scribble(|sector| (1 << 40) + sector);
    }
    world.both_up()?;
    world.command(ALICE, Admin::NewCurrentUuidClear(0))?;
    world.command(ALICE, Admin::Promote(0))?;
    world.settled()
}

/// A Primary loses its disk, and its peer, before it has heard what the peer calls its data now. It goes on with that data, and
/// not with its own disk, should that work again.
pub const NAME_NOT_HEARD: Story = Story {
    name: "name not heard",
    seeds: 20,
    setup: |_| Setup {
        net_latency: 50_000,
        ..Setup::default()
    },
    happen: |world| {
        // After a sync, or with disks that were declared equal: the peer never told what its data is called since.
        if world.rng.chance(50) {
            world.synced()?;
        } else {
            declared_equal(world)?;
        }
        let write = world
            .rng
            .chance(50)
            .then(|| world.put_write(ALICE, 1000, 8));
        world.admin(ALICE, Admin::DetachForced(0));
        world.reach_state("a peer without a disk", BOB, |state| {
            state.peer_disk <= DiskState::Failed
        })?;
        world.set_network(false);
        world.cut();
        alone(world)?;
        if world.seed % 2 == 0 {
            world.run(SECOND);
            expect(
                world.command(ALICE, Admin::Attach(0)).is_err(),
                "a disk is not attached that the peer may be ahead of",
            )?;
        }
        world.set_network(true);
        world.reach("a connection", World::is_connected)?;
        if let Some(write) = write {
            // It may have been on its way only.
            let _ = world.request_result(write);
        }
        world.written(ALICE, 1500, 8)?;
        world.mend()
    },
};

/// A new Primary writes while its disk is slow to note that it is one, and loses power. What the peer got is not missed.
pub const PROMOTED: Story = Story {
    name: "crash after a promotion",
    seeds: 10,
    setup: |_| Setup::default(),
    happen: |world| {
        world.synced()?;
        world.written(ALICE, 1000, 8)?;
        world.command(ALICE, Admin::Demote(0))?;
        world.settled()?;
        world.nodes[ALICE].habits = vec![
            Habit::slow(Work::Superblock, 5 * SECOND),
            Habit::slow(Work::Write, 5 * SECOND),
        ];
        world.command(ALICE, Admin::Promote(0))?;
        world.put_write(ALICE, 1000, 8);
        world.run(SECOND);
        world.crash(ALICE);
        world.mend()
    },
};
