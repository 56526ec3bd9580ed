// SPDX-License-Identifier: GPL-2.0-only

//! What an administrator does on an ordinary day, step by step.

mod common;

use bumpalo::Bump;
use common::{connection, good, met, reach, same_disks, settled, status, ALICE, BOB, SECOND};
use drbd_core::config::policy::Protocol;
use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState as C, DiskState as D, Role};
use drbd_sim::admin::Admin;
use drbd_sim::app::io;
use drbd_sim::world::{Setup, World};

fn synced(arena: &Bump) -> World<'_> {
    synced_with(arena, Setup::default())
}

fn synced_with(arena: &Bump, setup: Setup) -> World<'_> {
    common::synced(arena, 1, setup)
}

fn sectors(world: &World<'_>) -> u64 {
    world.engine_size(ALICE, 0)
}

fn out_of_sync(world: &World<'_>, node: usize) -> u64 {
    status(world, node).out_of_sync
}

fn received(world: &World<'_>, node: usize) -> u64 {
    status(world, node).counters.received
}

fn disk(world: &World<'_>, node: usize) -> D {
    world.engine_state(node, 0).expect("up").disk
}

#[test]
fn create_attach_connect() {
    let arena = Bump::new();
    let mut world = met(&arena, 1, Setup::default());
    reach(&mut world, "idle", |world| world.is_idle());
    for node in 0..2 {
        let state = world.engine_state(node, 0).expect("up");
        assert_eq!(state.connection, C::Connected);
        assert_eq!(
            (state.disk, state.peer_disk),
            (D::Inconsistent, D::Inconsistent)
        );
        assert_eq!((state.role, state.peer), (Role::Secondary, Role::Secondary));
    }
    assert!(world.command(ALICE, Admin::Promote(0)).is_err());
}

#[test]
fn first_full_sync() {
    let arena = Bump::new();
    let mut world = synced(&arena);
    world.run(5 * SECOND);
    good(&world);
    assert_eq!(out_of_sync(&world, ALICE), 0);
    assert_eq!(out_of_sync(&world, BOB), 0);
    assert!(received(&world, BOB) >= sectors(&world));
}

#[test]
fn several_volumes() {
    let arena = Bump::new();
    let setup = Setup {
        volumes: 3,
        ..Setup::default()
    };
    let mut world = met(&arena, 3, setup);
    for volume in 0..3 {
        assert_eq!(world.command(ALICE, Admin::PromoteForced(volume)), Ok(()));
    }
    reach(&mut world, "sync", settled);
}

#[test]
fn writes_reach_both() {
    for protocol in [Protocol::A, Protocol::B, Protocol::C] {
        let arena = Bump::new();
        let mut setup = Setup::default();
        setup.net.wire_protocol = protocol;
        let mut world = synced_with(&arena, setup);
        for number in 0..200 {
            assert!(world.write(ALICE, number * 8 % 2000, 1 + number % 16, 100 + number));
            if protocol == Protocol::C {
                let value = world.nodes[BOB].disks[0].read(number * 8 % 2000, 1);
                assert_eq!(value, [100 + number]);
            }
        }
        let discard = world.submit(ALICE, 0, io(Operation::Discard, 64, 64), vec![]);
        let flush = world.submit(ALICE, 0, io(Operation::Flush, 0, 0), vec![]);
        assert_eq!(world.request_result(discard), Some(true));
        assert_eq!(world.request_result(flush), Some(true));
        let read = world.submit(ALICE, 0, io(Operation::Read, 8, 8), vec![]);
        assert_eq!(world.request_result(read), Some(true));
        reach(&mut world, "idle", settled);
        same_disks(&world);
        world.run(30 * SECOND);
        reach(&mut world, "peace", settled);
    }
}

#[test]
fn many_writes_at_once() {
    for seed in 0..20 {
        let arena = Bump::new();
        let mut setup = Setup::default();
        setup.net.wire_protocol = [Protocol::A, Protocol::B, Protocol::C][seed as usize % 3];
        let mut world = met(&arena, seed, setup);
        assert_eq!(world.command(ALICE, Admin::PromoteForced(0)), Ok(()));
        // Some of them while the sync runs.
        let mut numbers = Vec::new();
        for number in 0..600u64 {
            let (first, count) = (world.rng.below(1000), 1 + world.rng.below(24));
            let values = vec![1000 + number; count as usize];
            numbers.push(world.submit(ALICE, 0, io(Operation::Write, first, count), values));
            if number % 40 == 0 {
                world.run(3_000);
            }
        }
        for number in numbers {
            assert_eq!(world.request_result(number), Some(true), "seed {seed}");
            good(&world);
        }
        reach(&mut world, "sync", settled);
        println!("seed {seed}");
        same_disks(&world);
    }
}

#[test]
fn only_what_changed_is_resynced() {
    let arena = Bump::new();
    let mut world = synced(&arena);
    assert_eq!(world.command(BOB, Admin::Disconnect), Ok(()));
    for number in 0..20 {
        assert!(world.write(ALICE, number * 64, 8, 500 + number));
    }
    assert_eq!(out_of_sync(&world, ALICE), 20);
    let before = received(&world, BOB);
    assert_eq!(world.command(BOB, Admin::Connect), Ok(()));
    reach(&mut world, "sync", settled);
    same_disks(&world);
    assert_eq!(received(&world, BOB) - before, 160);
}

#[test]
fn switch_over() {
    let arena = Bump::new();
    let mut world = synced(&arena);
    assert!(world.command(BOB, Admin::Promote(0)).is_err());
    assert_eq!(world.command(ALICE, Admin::Demote(0)), Ok(()));
    assert_eq!(world.command(BOB, Admin::Promote(0)), Ok(()));
    assert!(world.write(BOB, 8, 8, 77));
    reach(&mut world, "idle", settled);
    assert_eq!(world.nodes[ALICE].disks[0].read(8, 1), [77]);
    assert_eq!(world.command(BOB, Admin::Demote(0)), Ok(()));
    assert_eq!(world.command(ALICE, Admin::Promote(0)), Ok(()));
}

#[test]
fn invalidate() {
    let arena = Bump::new();
    let mut world = synced(&arena);
    let before = received(&world, BOB);
    assert_eq!(world.command(BOB, Admin::Invalidate(0)), Ok(()));
    reach(&mut world, "resync", |world| {
        disk(world, BOB) == D::Inconsistent
    });
    reach(&mut world, "sync", settled);
    assert_eq!(received(&world, BOB) - before, sectors(&world));
    same_disks(&world);
}

#[test]
fn invalidate_remote() {
    let arena = Bump::new();
    let mut world = synced(&arena);
    let before = received(&world, BOB);
    assert_eq!(world.command(ALICE, Admin::InvalidateRemote(0)), Ok(()));
    reach(&mut world, "resync", |world| {
        disk(world, BOB) == D::Inconsistent
    });
    reach(&mut world, "sync", settled);
    assert_eq!(received(&world, BOB) - before, sectors(&world));
    same_disks(&world);
}

#[test]
fn invalidate_alone() {
    let arena = Bump::new();
    let mut world = synced(&arena);
    assert_eq!(world.command(BOB, Admin::Disconnect), Ok(()));
    assert_eq!(world.command(BOB, Admin::Invalidate(0)), Ok(()));
    assert_eq!(disk(&world, BOB), D::Inconsistent);
    assert_eq!(world.command(BOB, Admin::Connect), Ok(()));
    reach(&mut world, "sync", settled);
    same_disks(&world);
}

#[test]
fn pause_and_resume() {
    for pauser in [ALICE, BOB] {
        let arena = Bump::new();
        let mut setup = Setup::default();
        // Slow enough to be caught.
        setup.disk.c_plan_ahead = 0;
        setup.disk.resync_rate = 400;
        let mut world = met(&arena, 1, setup);
        assert_eq!(world.command(ALICE, Admin::PromoteForced(0)), Ok(()));
        reach(&mut world, "resync", |world| {
            connection(world, BOB) == C::SyncTarget
        });
        assert_eq!(world.command(pauser, Admin::PauseSync(0)), Ok(()));
        reach(&mut world, "pause", |world| {
            connection(world, BOB) == C::PausedSyncT && connection(world, ALICE) == C::PausedSyncS
        });
        world.run(3 * SECOND);
        let left = out_of_sync(&world, BOB);
        assert!(left > 0);
        world.run(5 * SECOND);
        assert_eq!(out_of_sync(&world, BOB), left);
        assert_eq!(world.command(pauser, Admin::ResumeSync(0)), Ok(()));
        reach(&mut world, "sync", settled);
        same_disks(&world);
    }
}

#[test]
fn skip_the_initial_sync() {
    let arena = Bump::new();
    let mut world = met(&arena, 1, Setup::default());
    reach(&mut world, "idle", |world| world.is_idle());
    assert_eq!(world.command(ALICE, Admin::NewCurrentUuidClear(0)), Ok(()));
    reach(&mut world, "both UpToDate", settled);
    assert_eq!(out_of_sync(&world, ALICE) + out_of_sync(&world, BOB), 0);
    assert_eq!(received(&world, BOB) + received(&world, ALICE), 0);
    assert_eq!(world.command(ALICE, Admin::Promote(0)), Ok(()));
    assert!(world.write(ALICE, 0, 8, 3));
    world.cut();
    reach(&mut world, "sync", settled);
}

#[test]
fn split_brain() {
    let arena = Bump::new();
    let mut world = synced(&arena);
    world.set_network(false);
    reach(&mut world, "loss", |world| {
        [ALICE, BOB].map(|node| connection(world, node) < C::Connected) == [true; 2]
    });
    assert_eq!(world.command(BOB, Admin::Promote(0)), Ok(()));
    assert!(world.write(ALICE, 0, 8, 1));
    assert!(world.write(BOB, 0, 8, 2));
    world.set_network(true);
    // One of them sees it for sure; the other one may only see that the peer hangs up.
    reach(&mut world, "split brain", |world| {
        (0..2).any(|node| {
            let life = world.nodes[node].life.as_ref().expect("up");
            life.engine.is_stand_alone()
        })
    });
    assert_eq!(world.nodes[ALICE].disks[0].read(0, 1), [1]);
    assert_eq!(world.nodes[BOB].disks[0].read(0, 1), [2]);
    // The administrator decides.
    for node in 0..2 {
        assert_eq!(world.command(node, Admin::Disconnect), Ok(()));
    }
    assert_eq!(world.command(BOB, Admin::Demote(0)), Ok(()));
    assert_eq!(world.command(BOB, Admin::ConnectDiscardMyData), Ok(()));
    assert_eq!(world.command(ALICE, Admin::Connect), Ok(()));
    reach(&mut world, "sync", settled);
    same_disks(&world);
    assert_eq!(world.nodes[BOB].disks[0].read(0, 1), [1]);
}

#[test]
fn detach_and_attach() {
    let arena = Bump::new();
    let mut world = synced(&arena);
    assert_eq!(world.command(ALICE, Admin::Detach(0)), Ok(()));
    assert!(world.write(ALICE, 16, 8, 9));
    let read = world.submit(ALICE, 0, io(Operation::Read, 16, 8), vec![]);
    assert_eq!(world.request_result(read), Some(true));
    assert_eq!(world.history.records[&read].values, vec![9; 8]);
    assert_eq!(world.command(ALICE, Admin::Attach(0)), Ok(()));
    reach(&mut world, "sync", settled);
    same_disks(&world);
    assert_eq!(world.command(BOB, Admin::Detach(0)), Ok(()));
    assert!(world.write(ALICE, 24, 8, 10));
    assert_eq!(world.command(BOB, Admin::Attach(0)), Ok(()));
    reach(&mut world, "sync", settled);
    same_disks(&world);
}

#[test]
fn cut_in_the_middle_of_anything() {
    for seed in 0..300 {
        let arena = Bump::new();
        let mut world = met(&arena, seed, Setup::default());
        assert_eq!(world.command(ALICE, Admin::PromoteForced(0)), Ok(()));
        for number in 0..100u64 {
            let first = world.rng.below(3000);
            world.submit(
                ALICE,
                0,
                io(Operation::Write, first, 8),
                vec![number + 1; 8],
            );
        }
        let delay = world.rng.below(100_000);
        world.run(delay);
        world.cut();
        let delay = world.rng.below(3_000_000);
        world.run(delay);
        world.cut();
        good(&world);
        reach(&mut world, &format!("sync of seed {seed}"), settled);
        same_disks(&world);
    }
}

#[test]
fn the_primary_crashes_and_returns() {
    for seed in 0..300 {
        let arena = Bump::new();
        let mut world = met(&arena, seed, Setup::default());
        assert_eq!(world.command(ALICE, Admin::PromoteForced(0)), Ok(()));
        reach(&mut world, "sync", settled);
        for number in 0..100u64 {
            let first = world.rng.below(3000);
            world.submit(
                ALICE,
                0,
                io(Operation::Write, first, 8),
                vec![number + 1; 8],
            );
        }
        let delay = world.rng.below(30_000);
        world.run(delay);
        world.crash(ALICE);
        reach(&mut world, "loss", |world| {
            connection(world, BOB) < C::Connected
        });
        let fail_over = world.rng.chance(50);
        if fail_over {
            assert_eq!(world.command(BOB, Admin::Promote(0)), Ok(()));
            assert!(world.write(BOB, 8, 8, 12345));
        }
        world.boot(ALICE);
        world.up(ALICE);
        reach(&mut world, &format!("sync of seed {seed}"), settled);
        same_disks(&world);
        if fail_over {
            assert_eq!(world.nodes[ALICE].disks[0].read(8, 1), [12345]);
        }
    }
}

#[test]
fn the_secondary_crashes_and_returns() {
    for seed in 0..300 {
        let arena = Bump::new();
        let mut world = met(&arena, seed, Setup::default());
        assert_eq!(world.command(ALICE, Admin::PromoteForced(0)), Ok(()));
        let delay = world.rng.below(300_000);
        world.run(delay);
        for number in 0..100u64 {
            let first = world.rng.below(3000);
            world.submit(
                ALICE,
                0,
                io(Operation::Write, first, 8),
                vec![number + 1; 8],
            );
        }
        let delay = world.rng.below(30_000);
        world.run(delay);
        world.crash(BOB);
        let delay = world.rng.below(3_000_000);
        world.run(delay);
        world.boot(BOB);
        world.up(BOB);
        reach(&mut world, &format!("sync of seed {seed}"), settled);
        same_disks(&world);
    }
}
