// SPDX-License-Identifier: GPL-2.0-only

//! Peers that speak an older protocol.

use bumpalo::Bump;
use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState as C, DiskState as D};
use drbd_sim::admin::Admin;
use drbd_sim::app::io;
use drbd_sim::world::{Setup, World};

const ALICE: usize = 0;
const BOB: usize = 1;
const SECOND: u64 = 1_000_000;

/// So many sectors are more than protocol 94 has room for.
const LONG: u64 = 200;

fn setup(protocol: u32) -> Setup {
    Setup {
        newest_protocol: protocol,
        features: 0,
        ..Setup::default()
    }
}

fn reach(world: &mut World<'_>, what: &str, done: impl Fn(&World<'_>) -> bool) {
    let reached = world.run_until(60 * SECOND, done);
    assert_eq!(world.failures, Vec::<String>::new());
    assert!(reached, "{what} is not reached");
}

fn settled(world: &World<'_>) -> bool {
    world.in_sync() && world.is_idle()
}

fn connection(world: &World<'_>, node: usize) -> C {
    world.engine_state(node, 0).expect("up").connection
}

/// Alice is Primary, both disks are UpToDate.
fn synced(arena: &Bump, protocol: u32) -> World<'_> {
    let mut world = World::new(arena, 5, setup(protocol));
    world.up(ALICE);
    world.up(BOB);
    reach(&mut world, "connection", |world| {
        (0..2).all(|node| connection(world, node) == C::Connected)
    });
    assert_eq!(world.command(ALICE, Admin::PromoteForced(0)), Ok(()));
    reach(&mut world, "sync", settled);
    world
}

fn same_disks(world: &World<'_>) {
    let [alice, bob] = [0, 1].map(|node| world.nodes[node].disks[0].read(0, 1024));
    assert!(alice == bob);
}

fn long_request(world: &mut World<'_>, operation: Operation) -> Option<bool> {
    let values = match operation {
        Operation::Write => vec![4711; LONG as usize],
        Operation::Read => vec![],
        _ => vec![0; LONG as usize],
    };
    let number = world.submit(ALICE, 0, io(operation, 16, LONG), values);
    world.request_result(number)
}

#[test]
fn a_day_with_every_protocol() {
    for protocol in 86..=101 {
        let arena = Bump::new();
        let mut world = synced(&arena, protocol);
        assert!(world.write(ALICE, 8, 64, 1));
        assert_eq!(world.command(BOB, Admin::Disconnect), Ok(()), "{protocol}");
        assert_eq!(connection(&world, BOB), C::StandAlone);
        assert!(world.write(ALICE, 16, 8, 2));
        assert_eq!(world.command(BOB, Admin::Connect), Ok(()));
        reach(&mut world, "resync", settled);
        assert_eq!(
            world.command(BOB, Admin::Invalidate(0)),
            Ok(()),
            "{protocol}"
        );
        reach(&mut world, "resync", settled);
        assert_eq!(world.command(ALICE, Admin::Demote(0)), Ok(()));
        assert_eq!(world.command(ALICE, Admin::Disconnect), Ok(()));
        assert_eq!(connection(&world, ALICE), C::StandAlone);
        world.run(SECOND);
        same_disks(&world);
        assert_eq!(world.failures, Vec::<String>::new());
    }
}

/// The block layer learns the limits of a peer late: what it made before must not hang, nor get lost.
#[test]
fn a_write_that_is_too_long_for_the_peer() {
    for operation in [Operation::Write, Operation::Discard, Operation::WriteZeroes] {
        let arena = Bump::new();
        let mut world = synced(&arena, 94);
        assert!(world.write(ALICE, 16, 64, 1));
        assert_eq!(long_request(&mut world, operation), Some(true));
        // It went to one disk only, and to the other with the next connection.
        reach(&mut world, "resync", settled);
        same_disks(&world);
        assert_eq!(world.failures, Vec::<String>::new());
    }
}

#[test]
fn what_only_the_peer_has_and_is_too_long_fails() {
    let arena = Bump::new();
    let mut world = synced(&arena, 94);
    assert!(world.write(ALICE, 16, 64, 1));
    assert_eq!(world.command(ALICE, Admin::Detach(0)), Ok(()));
    for operation in [Operation::Read, Operation::Write] {
        assert_eq!(long_request(&mut world, operation), Some(false));
    }
    assert_eq!(connection(&world, ALICE), C::Connected);
    assert!(world.write(ALICE, 16, 64, 2));
    assert_eq!(world.failures, Vec::<String>::new());
}

#[test]
fn the_limit_of_a_peer_is_that_of_its_protocol() {
    for (protocol, most) in [(86, 32), (94, 32), (95, 128), (99, 128), (100, 1024)] {
        let arena = Bump::new();
        let world = synced(&arena, protocol);
        for node in &world.nodes {
            let engine = &node.life.as_ref().expect("up").engine;
            let limits = engine.peer_limits(DeviceIndex(0));
            assert_eq!(limits.max_bio_size, most << 10, "{protocol}");
            assert!(!limits.discards && !limits.write_zeroes);
        }
    }
}

/// Before protocol 100 no packet says which volume it is about.
#[test]
fn one_volume_only() {
    let arena = Bump::new();
    let two = Setup {
        volumes: 2,
        ..setup(99)
    };
    is_refused(&mut World::new(&arena, 5, two));
}

/// Before protocol 92 a peer takes a dry run for the real thing.
#[test]
fn no_dry_run() {
    let arena = Bump::new();
    let mut dry = setup(91);
    dry.net.tentative = true;
    is_refused(&mut World::new(&arena, 5, dry));
}

fn is_refused(world: &mut World<'_>) {
    world.up(ALICE);
    world.up(BOB);
    reach(world, "refusal", |world| {
        (0..2).any(|node| connection(world, node) == C::StandAlone)
    });
    world.run(SECOND);
    for node in 0..2 {
        let state = world.engine_state(node, 0).expect("up");
        assert!(state.connection < C::WFReportParams);
        assert_eq!(state.disk, D::Inconsistent);
    }
    assert_eq!(world.failures, Vec::<String>::new());
}
