// SPDX-License-Identifier: GPL-2.0-only

//! A link that is too slow, and what `on-congestion` makes of it.

mod common;

use bumpalo::Bump;
use common::{connection, good, reach, same_disks, settled, status, ALICE, BOB, SECOND};
use drbd_core::config::policy::{OnCongestion, Protocol};
use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState as C, DiskState as D};
use drbd_sim::admin::Admin;
use drbd_sim::app::io;
use drbd_sim::world::{Setup, World};

/// Alice is Primary, both disks are UpToDate, protocol A.
fn synced(arena: &Bump, policy: OnCongestion) -> World<'_> {
    let mut setup = Setup::default();
    setup.net.wire_protocol = Protocol::A;
    setup.net.on_congestion = policy;
    setup.net.cong_fill = 64;
    common::synced(arena, 11, setup)
}

/// Writes a block after the other until the node is Ahead, and twenty more. None of them takes long.
fn pull_ahead(world: &mut World<'_>) {
    world.slowness = 3 * SECOND;
    let mut more = 20;
    for number in 0..200 {
        let before = world.now;
        assert!(world.write(ALICE, number * 8, 8, 4711));
        assert!(world.now < before + SECOND, "write {number}");
        if connection(world, ALICE) == C::Ahead {
            more -= 1;
            if more == 0 {
                return;
            }
        }
    }
    panic!("not Ahead");
}

#[test]
fn ahead_and_back() {
    let arena = Bump::new();
    let mut world = synced(&arena, OnCongestion::PullAhead);
    pull_ahead(&mut world);
    let behind = |world: &World<'_>| connection(world, BOB) == C::Behind;
    reach(&mut world, "Behind", behind);
    let state = world.engine_state(BOB, 0).expect("up");
    assert!(state.disk < D::UpToDate);
    world.run(6 * SECOND);
    let [alice, bob] = [ALICE, BOB].map(|node| status(&world, node).out_of_sync);
    assert_eq!(bob, alice);
    world.slowness = 0;
    reach(&mut world, "sync", settled);
    same_disks(&world);
}

#[test]
fn what_was_marked_without_a_word_is_told_later() {
    let arena = Bump::new();
    let mut setup_room = synced(&arena, OnCongestion::PullAhead);
    let world = &mut setup_room;
    pull_ahead(world);
    // No room for words any more.
    world.set_network(false);
    for number in 0..450 {
        assert!(world.write(ALICE, number * 8, 8, 4712));
    }
    world.set_network(true);
    world.slowness = 0;
    assert!(world.run_until(120 * SECOND, settled));
    good(world);
    same_disks(world);
}

#[test]
fn crash_of_either_node() {
    for victim in [ALICE, BOB] {
        let arena = Bump::new();
        let mut world = synced(&arena, OnCongestion::PullAhead);
        pull_ahead(&mut world);
        world.run(SECOND / 2);
        world.crash(victim);
        world.slowness = 0;
        world.run(SECOND);
        world.boot(victim);
        world.up(victim);
        reach(
            &mut world,
            &format!("sync after the crash of {victim}"),
            settled,
        );
        same_disks(&world);
        assert_eq!(world.nodes[BOB].disks[0].read(0, 1)[0], 4711);
    }
}

#[test]
fn demoted_while_ahead() {
    let arena = Bump::new();
    let mut world = synced(&arena, OnCongestion::PullAhead);
    pull_ahead(&mut world);
    assert_eq!(world.command(ALICE, Admin::Demote(0)), Ok(()));
    world.slowness = 0;
    assert_eq!(connection(&world, ALICE), C::Ahead);
    world.cut();
    reach(&mut world, "sync", settled);
    same_disks(&world);
}

#[test]
fn disconnect_instead() {
    let arena = Bump::new();
    let mut world = synced(&arena, OnCongestion::Disconnect);
    world.slowness = 3 * SECOND;
    for number in 0..100 {
        assert!(world.write(ALICE, number * 8, 8, 4711));
    }
    let alone = |world: &World<'_>| connection(world, ALICE) == C::StandAlone;
    reach(&mut world, "StandAlone", alone);
    world.slowness = 0;
    assert_eq!(world.command(ALICE, Admin::Connect), Ok(()));
    reach(&mut world, "sync", settled);
    same_disks(&world);
}

#[test]
fn protocol_a_reads_what_it_wrote() {
    let arena = Bump::new();
    let mut world = synced(&arena, OnCongestion::PullAhead);
    pull_ahead(&mut world);
    let number = world.submit(ALICE, 0, io(Operation::Read, 0, 8), vec![]);
    assert_eq!(world.request_result(number), Some(true));
    assert_eq!(world.history.records[&number].values[0], 4711);
}
