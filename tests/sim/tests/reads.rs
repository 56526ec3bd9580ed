// SPDX-License-Identifier: GPL-2.0-only

//! Which disk serves a read, and what happens when it cannot.

mod common;

use bumpalo::Bump;
use common::{good, reach, settled, status, ALICE, BOB, SECOND};
use drbd_core::config::policy::{OnIoError, ReadBalancing};
use drbd_core::resource::request::Operation;
use drbd_core::state::DiskState as D;
use drbd_sim::admin::Admin;
use drbd_sim::app::io;
use drbd_sim::world::{Setup, World};

/// Alice is Primary, both disks are UpToDate.
fn synced(arena: &Bump, method: ReadBalancing, on_io_error: OnIoError) -> World<'_> {
    let mut setup = Setup::default();
    setup.disk.read_balancing = method;
    setup.disk.on_io_error = on_io_error;
    common::synced(arena, 7, setup)
}

fn read(world: &mut World<'_>, sector: u64) -> Option<u64> {
    let number = world.submit(ALICE, 0, io(Operation::Read, sector, 8), vec![]);
    let good = world.request_result(number)?;
    good.then(|| world.history.records[&number].values[0])
}

/// Sectors that a node has read from its disk.
fn served(world: &World<'_>, node: usize) -> u64 {
    status(world, node).counters.read
}

#[test]
fn every_method_chooses() {
    // Sixteen reads of 4 KiB, 32 KiB apart.
    for (method, remote) in [
        (ReadBalancing::PreferLocal, 0),
        (ReadBalancing::PreferRemote, 16),
        (ReadBalancing::RoundRobin, 8),
        (ReadBalancing::LeastPending, 16),
        (ReadBalancing::CongestedRemote, 0),
        (ReadBalancing::Striping32K, 8),
        (ReadBalancing::Striping64K, 8),
        (ReadBalancing::Striping128K, 8),
        (ReadBalancing::Striping256K, 8),
        (ReadBalancing::Striping512K, 0),
        (ReadBalancing::Striping1M, 0),
    ] {
        let arena = Bump::new();
        let mut world = synced(&arena, method, OnIoError::Detach);
        assert!(world.write(ALICE, 0, 1024, 4711));
        let (alice, bob) = (served(&world, ALICE), served(&world, BOB));
        for number in 0..16 {
            assert_eq!(read(&mut world, number * 64), Some(4711));
        }
        assert_eq!(served(&world, BOB) - bob, remote * 8, "{method:?}");
        assert_eq!(
            served(&world, ALICE) - alice,
            (16 - remote) * 8,
            "{method:?}"
        );
        good(&world);
    }
}

#[test]
fn what_cannot_be_read_here_comes_from_the_peer() {
    for (policy, disk) in [
        (OnIoError::Detach, D::Diskless),
        (OnIoError::PassOn, D::Inconsistent),
    ] {
        let arena = Bump::new();
        let mut world = synced(&arena, ReadBalancing::PreferLocal, policy);
        assert!(world.write(ALICE, 0, 8, 4711));
        world.nodes[ALICE].read_faults = 1000;
        assert_eq!(read(&mut world, 0), Some(4711));
        world.run(SECOND);
        let state = world.engine_state(ALICE, 0).expect("up");
        assert_eq!((state.disk, state.peer_disk), (disk, D::UpToDate));
        assert_eq!(read(&mut world, 0), Some(4711));
        good(&world);
    }
}

#[test]
fn what_the_peer_refuses_is_read_here() {
    let arena = Bump::new();
    let mut world = synced(&arena, ReadBalancing::PreferRemote, OnIoError::Detach);
    assert!(world.write(ALICE, 0, 8, 4711));
    world.nodes[BOB].read_faults = 1000;
    assert_eq!(read(&mut world, 0), Some(4711));
    world.run(SECOND);
    assert_eq!(world.engine_state(BOB, 0).expect("up").disk, D::Diskless);
    assert_eq!(world.coverage.reached()["packet NegDReply"], 1);
}

#[test]
fn a_peer_that_is_lost_owes_nothing() {
    let arena = Bump::new();
    let mut world = synced(&arena, ReadBalancing::PreferRemote, OnIoError::Detach);
    assert!(world.write(ALICE, 0, 8, 4711));
    // The answer does not come any more.
    world.nodes[BOB].latency = 10 * SECOND;
    let number = world.submit(ALICE, 0, io(Operation::Read, 0, 8), vec![]);
    world.run(SECOND / 100);
    assert!(world.history.records[&number].ended.is_none());
    world.crash(BOB);
    assert_eq!(world.request_result(number), Some(true));
    assert_eq!(world.history.records[&number].values[0], 4711);
    // Nor does that of the only disk there is.
    world.boot(BOB);
    world.nodes[BOB].latency = 200;
    world.up(BOB);
    reach(&mut world, "sync", settled);
    assert_eq!(world.command(ALICE, Admin::Detach(0)), Ok(()));
    assert_eq!(read(&mut world, 0), Some(4711));
    world.crash(BOB);
    assert_eq!(read(&mut world, 0), None);
    good(&world);
}
