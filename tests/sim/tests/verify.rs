// SPDX-License-Identifier: GPL-2.0-only

//! Online verify and resync by checksums, step by step.

mod common;

use bumpalo::Bump;
use common::{connection, good, met, reach, same_disks, settled, status, ALICE, BOB, SECOND};
use drbd_core::config::policy::Protocol;
use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState as C, DiskState as D};
use drbd_sim::admin::Admin;
use drbd_sim::app::io;
use drbd_sim::digest;
use drbd_sim::world::{Setup, World};

const ALL: (Option<u64>, u64) = (Some(0), u64::MAX);

fn setup(algorithm: &str) -> Setup {
    let mut setup = Setup::default();
    setup.net.verify_alg = digest::name(algorithm);
    setup.net.csums_alg = digest::name(algorithm);
    setup
}

fn synced(arena: &Bump, setup: Setup) -> World<'_> {
    common::synced(arena, 1, setup)
}

fn verify(world: &mut World<'_>, node: usize, (start, stop): (Option<u64>, u64)) {
    assert_eq!(
        world.command(node, Admin::Verify(0, start, stop)),
        Ok(()),
        "verify begins"
    );
    reach(world, "end of the verify", settled);
}

fn marked(world: &World<'_>) -> Vec<u64> {
    let [alice, bob] = [ALICE, BOB].map(|node| world.marked(node, 0));
    assert_eq!(alice, bob, "both nodes mark the same");
    alice
}

#[test]
fn finds_what_differs() {
    for algorithm in ["short", "long"] {
        for node in [ALICE, BOB] {
            let arena = Bump::new();
            let mut world = synced(&arena, setup(algorithm));
            for sector in [3, 80, 81, 88, 2000] {
                world.rot(BOB, 0, sector);
            }
            verify(&mut world, node, ALL);
            assert_eq!(marked(&world), [0, 10, 11, 250]);
            // Only an administrator makes them equal.
            assert_eq!(world.command(ALICE, Admin::Disconnect), Ok(()));
            assert_eq!(world.command(ALICE, Admin::Connect), Ok(()));
            reach(&mut world, "resync", settled);
            world.rotten.clear();
            assert_eq!(marked(&world), []);
            same_disks(&world);
        }
    }
}

#[test]
fn a_part_and_then_the_rest() {
    let arena = Bump::new();
    let mut world = synced(&arena, setup("short"));
    for sector in [8, 1000, 2001] {
        world.rot(BOB, 0, sector);
    }
    verify(&mut world, ALICE, (Some(803), 1200));
    assert_eq!(marked(&world), [125]);
    for node in [ALICE, BOB] {
        assert_eq!(world.verify_position(node, 0), Some(1200));
    }
    verify(&mut world, BOB, (None, u64::MAX));
    assert_eq!(marked(&world), [125, 250]);
    verify(&mut world, ALICE, (None, u64::MAX));
    assert_eq!(marked(&world), [1, 125, 250]);
    // One block is verified in any case, also the last one.
    verify(&mut world, ALICE, (Some(80), 0));
    assert_eq!(world.verify_position(ALICE, 0), Some(88));
    verify(&mut world, ALICE, (Some(u64::MAX), u64::MAX));
    assert_eq!(world.verify_position(BOB, 0), Some(0));
}

#[test]
fn refusals() {
    let arena = Bump::new();
    let mut world = synced(&arena, Setup::default());
    let start = Admin::Verify(0, ALL.0, ALL.1);
    assert_eq!(
        world.command(ALICE, start),
        Err("NoVerifyAlgorithm".to_string())
    );
    let mut world = met(&arena, 2, setup("short"));
    // Both disks are Inconsistent: a verify does not make them UpToDate.
    assert_eq!(
        world.command(ALICE, start),
        Err("NoUpToDateDisk".to_string())
    );
    assert_eq!(
        world.engine_state(BOB, 0).map(|state| state.disk),
        Some(D::Inconsistent)
    );
}

#[test]
fn different_algorithms_do_not_connect() {
    let arena = Bump::new();
    let mut world = World::new(&arena, 3, setup("short"));
    world.nodes[BOB].net.csums_alg = digest::name("long");
    world.up(ALICE);
    world.up(BOB);
    reach(&mut world, "refusal", |world| {
        [ALICE, BOB]
            .map(|node| connection(world, node))
            .contains(&C::StandAlone)
    });
}

/// Alice is written to, all over and where the verify is just now; answers how many writes there were.
fn write_while_verifying(world: &mut World<'_>) -> u64 {
    let mut number = 0;
    let position = |world: &World<'_>| {
        let life = world.nodes[ALICE].life.as_ref()?;
        let device = drbd_core::resource::device::DeviceIndex(0);
        Some(life.engine.device(device)?.verify().cursor)
    };
    while connection(world, ALICE).is_verify() {
        let pause = world.rng.below(600);
        world.run(pause);
        good(world);
        // A resync or verify gets its turn when the applications leave one.
        let busy = world.nodes[ALICE]
            .life
            .as_ref()
            .map(|life| life.requests.len());
        if busy > Some(6) {
            continue;
        }
        number += 1;
        let near = position(world).unwrap_or(0).min(1480);
        let first = if number % 2 == 0 {
            near.saturating_sub(world.rng.below(30))
        } else {
            world.rng.below(1480)
        };
        let count = 1 + world.rng.below(20).min(1499 - first);
        let values = vec![1000 + number; count as usize];
        world.submit(ALICE, 0, io(Operation::Write, first, count), values);
    }
    number
}

#[test]
fn while_it_is_written_to() {
    for (seed, protocol) in [
        Protocol::A,
        Protocol::B,
        Protocol::C,
        Protocol::C,
        Protocol::C,
    ]
    .into_iter()
    .enumerate()
    {
        for node in [ALICE, BOB] {
            let arena = Bump::new();
            let mut setup = setup("short");
            setup.net.wire_protocol = protocol;
            setup.net_latency = [10, 2000, 10, 10, 500][seed];
            setup.disk_latency = 100;
            setup.disk.c_plan_ahead = 0;
            setup.disk.resync_rate = 2000;
            let mut world = synced(&arena, setup);
            // A write that one disk has done long before the other one.
            world.nodes[seed % 2].latency = 20_000;
            world.rot(BOB, 0, 1500);
            let begun = world.command(node, Admin::Verify(0, ALL.0, ALL.1));
            assert_eq!(begun, Ok(()));
            let number = write_while_verifying(&mut world);
            assert!(number > 100, "{number} writes while verifying");
            reach(&mut world, "peace", settled);
            assert_eq!(marked(&world), [187], "verified by node {node}");
        }
    }
}

#[test]
fn link_lost() {
    let arena = Bump::new();
    let mut setup = setup("long");
    setup.disk.c_plan_ahead = 0;
    setup.disk.resync_rate = 250;
    let mut world = synced(&arena, setup);
    assert_eq!(world.command(BOB, Admin::Verify(0, ALL.0, ALL.1)), Ok(()));
    world.run(2 * SECOND);
    world.cut();
    reach(&mut world, "connection", settled);
    for node in [ALICE, BOB] {
        let position = world.verify_position(node, 0).expect("up");
        assert!((400..3000).contains(&position), "{position}");
    }
    verify(&mut world, ALICE, (None, u64::MAX));
    assert_eq!(world.verify_position(ALICE, 0), Some(0));
}

fn received(world: &World<'_>, node: usize) -> u64 {
    status(world, node).counters.received
}

#[test]
fn equal_blocks_are_not_sent() {
    let arena = Bump::new();
    let mut world = synced(&arena, setup("long"));
    let before = received(&world, BOB);
    world.rot(BOB, 0, 800);
    assert_eq!(world.command(BOB, Admin::Invalidate(0)), Ok(()));
    reach(&mut world, "sync", settled);
    let sent = received(&world, BOB) - before;
    assert!((8..=1024).contains(&sent), "{sent} sectors were sent");
    same_disks(&world);
}

#[test]
fn checksums_after_a_crash_only() {
    let arena = Bump::new();
    let mut setup = setup("short");
    setup.net.csums_after_crash_only = true;
    let mut world = synced(&arena, setup);
    let size = world.engine_size(ALICE, 0);
    let before = received(&world, BOB);
    assert_eq!(world.command(BOB, Admin::Invalidate(0)), Ok(()));
    reach(&mut world, "sync", settled);
    assert!(received(&world, BOB) - before >= size, "everything is sent");
    assert!(world.write(ALICE, 0, 8, 7));
    world.crash(ALICE);
    reach(&mut world, "loss of the peer", |world| {
        connection(world, BOB) < C::Connected
    });
    assert_eq!(world.command(BOB, Admin::Promote(0)), Ok(()));
    assert!(world.write(BOB, 2000, 8, 8));
    world.boot(ALICE);
    world.up(ALICE);
    reach(&mut world, "resync", settled);
    let sent = received(&world, ALICE);
    assert!((8..size / 2).contains(&sent), "{sent} sectors were sent");
}
