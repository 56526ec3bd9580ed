// SPDX-License-Identifier: GPL-2.0-only

//! A disk that does not answer, and who waits for it.

mod common;

use bumpalo::Bump;
use common::{good, reach, same_disks, settled, ALICE, BOB, SECOND};
use drbd_core::resource::request::Operation;
use drbd_core::state::DiskState as D;
use drbd_sim::admin::Admin;
use drbd_sim::app::io;
use drbd_sim::world::{Setup, World};

/// Alice is Primary, both disks are UpToDate.
fn synced(arena: &Bump, disk_timeout: u32) -> World<'_> {
    let mut setup = Setup::default();
    setup.disk.disk_timeout = disk_timeout;
    common::synced(arena, 5, setup)
}

fn disks(world: &World<'_>, node: usize) -> (D, D) {
    let state = world.engine_state(node, 0).expect("up");
    (state.disk, state.peer_disk)
}

/// What the disk has is waited for; what comes later is not.
fn goes_on_without(world: &mut World<'_>, hanging: u64) {
    let failed = |world: &World<'_>| disks(world, BOB) == (D::UpToDate, D::Failed);
    assert!(world.run_until(5 * SECOND, failed));
    assert_eq!(disks(world, ALICE), (D::Failed, D::UpToDate));
    let before = world.now;
    assert!(world.write(ALICE, 800, 8, 4712));
    let read = world.submit(ALICE, 0, io(Operation::Read, 800, 8), vec![]);
    assert_eq!(world.request_result(read), Some(true));
    assert_eq!(world.history.records[&read].values[0], 4712);
    assert!(world.now < before + SECOND);
    assert!(
        world.history.records[&hanging].ended.is_none(),
        "its pages are the disk's"
    );
    let gone = |world: &World<'_>| disks(world, ALICE) == (D::Diskless, D::UpToDate);
    assert!(world.run_until(60 * SECOND, gone));
    assert_eq!(world.request_result(hanging), Some(true));
    world.nodes[ALICE].latency = 200;
    world.run(SECOND);
    assert_eq!(world.command(ALICE, Admin::Attach(0)), Ok(()));
    reach(world, "sync", settled);
    same_disks(world);
}

fn hang(world: &mut World<'_>, operation: Operation) -> u64 {
    // Chance may still let it answer soon: not with this seed.
    world.nodes[ALICE].latency = 1000 * SECOND;
    let values = if operation == Operation::Write {
        vec![4711; 8]
    } else {
        vec![]
    };
    let number = world.submit(ALICE, 0, io(operation, 0, 8), values);
    world.run(SECOND / 10);
    world.nodes[ALICE].latency = 200;
    assert!(world.history.records[&number].ended.is_none());
    number
}

#[test]
fn disk_timeout() {
    for operation in [Operation::Write, Operation::Read] {
        let arena = Bump::new();
        let mut world = synced(&arena, 10);
        assert!(world.write(ALICE, 0, 8, 4710));
        world.nodes[ALICE].latency = 30 * SECOND;
        let values = if operation == Operation::Write {
            vec![4711; 8]
        } else {
            vec![]
        };
        let number = world.submit(ALICE, 0, io(operation, 0, 8), values);
        goes_on_without(&mut world, number);
    }
}

#[test]
fn detach_by_force() {
    let arena = Bump::new();
    let mut world = synced(&arena, 0);
    assert!(world.write(ALICE, 0, 8, 4710));
    let number = hang(&mut world, Operation::Write);
    world.admin(ALICE, Admin::DetachForced(0));
    world.run(SECOND / 100);
    assert_eq!(disks(&world, ALICE), (D::Failed, D::UpToDate));
    assert!(world.write(ALICE, 800, 8, 4712));
    assert!(world.history.records[&number].ended.is_none());
    good(&world);
}

#[test]
fn a_peer_whose_disk_hangs_gives_it_up() {
    let arena = Bump::new();
    let mut world = synced(&arena, 10);
    world.nodes[BOB].latency = 100 * SECOND;
    let number = world.submit(ALICE, 0, io(Operation::Write, 0, 8), vec![4711; 8]);
    let failed = |world: &World<'_>| disks(world, ALICE) == (D::UpToDate, D::Failed);
    assert!(world.run_until(5 * SECOND, failed));
    assert!(world.write(ALICE, 800, 8, 4712));
    good(&world);
    let _ = number;
}

#[test]
fn without_a_connection() {
    let arena = Bump::new();
    let mut world = synced(&arena, 10);
    assert_eq!(world.command(BOB, Admin::Disconnect), Ok(()));
    world.crash(ALICE);
    world.boot(ALICE);
    world.admin(ALICE, Admin::Attach(0));
    world.run(SECOND);
    assert_eq!(world.command(ALICE, Admin::PromoteForced(0)), Ok(()));
    world.run(SECOND);
    world.nodes[ALICE].latency = 1000 * SECOND;
    world.submit(ALICE, 0, io(Operation::Write, 0, 8), vec![4711; 8]);
    let failed = |world: &World<'_>| disks(world, ALICE).0 == D::Failed;
    assert!(world.run_until(5 * SECOND, failed));
}
