// SPDX-License-Identifier: GPL-2.0-only

//! Two nodes on an ordinary day: where the tests begin, and what they wait for. Each test file uses all of it, or what it
//! does not use is used in here: nothing is there for one of them alone.

use bumpalo::Bump;
use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::DeviceStatus;
use drbd_core::state::ConnectionState as C;
use drbd_sim::admin::Admin;
use drbd_sim::world::{Setup, World};

pub const ALICE: usize = 0;
pub const BOB: usize = 1;
/// In microseconds, as all times of the simulator.
pub const SECOND: u64 = 1_000_000;

/// No checker has found anything.
pub fn good(world: &World<'_>) {
    assert_eq!(world.failures, Vec::<String>::new());
}

/// Goes on until `done`, for a minute at the most.
pub fn reach(world: &mut World<'_>, what: &str, done: impl Fn(&World<'_>) -> bool) {
    let reached = world.run_until(60 * SECOND, done);
    good(world);
    let states = [ALICE, BOB].map(|node| world.engine_state(node, 0));
    assert!(reached, "{what} is not reached: {states:?}");
}

/// Of a node that is up.
pub fn connection(world: &World<'_>, node: usize) -> C {
    world.engine_state(node, 0).expect("up").connection
}

pub fn connected(world: &World<'_>) -> bool {
    [ALICE, BOB].map(|node| connection(world, node) >= C::Connected) == [true; 2]
}

/// All disks are equal and UpToDate, and nobody has anything to do.
pub fn settled(world: &World<'_>) -> bool {
    world.in_sync() && world.is_idle()
}

/// Of a node that is up: what drbdsetup shows of its first volume.
pub fn status(world: &World<'_>, node: usize) -> DeviceStatus {
    let life = world.nodes[node].life.as_ref().expect("up");
    life.engine.status(DeviceIndex(0)).expect("there")
}

/// The disks are the same, byte by byte, and both nodes know it.
pub fn same_disks(world: &World<'_>) {
    let count = world.engine_size(ALICE, 0);
    assert!(count > 1000);
    let [alice, bob] = [ALICE, BOB].map(|node| world.nodes[node].disks[0].read(0, count));
    let differing: Vec<_> = (0..)
        .zip(alice.into_iter().zip(bob))
        .filter(|(_, (alice, bob))| alice != bob)
        .take(20)
        .collect();
    assert_eq!(differing, [], "sectors that differ");
    let marked = [ALICE, BOB].map(|node| status(world, node).out_of_sync);
    assert_eq!(marked, [0, 0], "blocks that are marked");
}

/// Both connected, Inconsistent.
pub fn met(arena: &Bump, seed: u64, setup: Setup) -> World<'_> {
    let mut world = World::new(arena, seed, setup);
    world.up(ALICE);
    world.up(BOB);
    reach(&mut world, "connection", connected);
    world
}

/// Alice is Primary, both UpToDate.
pub fn synced(arena: &Bump, seed: u64, setup: Setup) -> World<'_> {
    let mut world = met(arena, seed, setup);
    assert_eq!(world.command(ALICE, Admin::PromoteForced(0)), Ok(()));
    reach(&mut world, "sync", settled);
    same_disks(&world);
    world
}
