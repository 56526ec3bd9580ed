// SPDX-License-Identifier: GPL-2.0-only

//! `on-no-data-accessible suspend-io`: what waits goes on when data is back.

mod common;

use bumpalo::Bump;
use common::{good, synced, ALICE, BOB, SECOND};
use drbd_core::config::policy::OnNoData;
use drbd_core::resource::request::Operation;
use drbd_core::state::DiskState as D;
use drbd_sim::admin::Admin;
use drbd_sim::app::io;
use drbd_sim::world::Setup;

#[test]
fn the_peer_comes_back() {
    let arena = Bump::new();
    let mut setup = Setup::default();
    setup.options.on_no_data = OnNoData::SuspendIo;
    let mut world = synced(&arena, 3, setup);
    assert!(world.write(ALICE, 0, 8, 4711));
    assert_eq!(world.command(ALICE, Admin::Detach(0)), Ok(()));
    // These are under way when the only disk goes out of reach, the others come later.
    world.nodes[BOB].latency = 5 * SECOND;
    let early = [
        world.submit(ALICE, 0, io(Operation::Write, 80, 8), vec![4712; 8]),
        world.submit(ALICE, 0, io(Operation::Read, 0, 8), vec![]),
    ];
    world.run(SECOND / 100);
    world.set_network(false);
    world.cut();
    world.run(2 * SECOND);
    let state = world.engine_state(ALICE, 0).expect("up");
    assert!(state.suspended_no_data && state.disk == D::Diskless);
    let late = [
        world.submit(ALICE, 0, io(Operation::Write, 160, 8), vec![4713; 8]),
        world.submit(ALICE, 0, io(Operation::Read, 80, 8), vec![]),
    ];
    world.run(10 * SECOND);
    for number in early.into_iter().chain(late) {
        assert!(world.history.records[&number].ended.is_none());
    }
    world.nodes[BOB].latency = 200;
    world.set_network(true);
    for number in early.into_iter().chain(late) {
        assert_eq!(world.request_result(number), Some(true));
    }
    assert!(!world.engine_state(ALICE, 0).expect("up").is_suspended());
    assert_eq!(world.history.records[&early[1]].values[0], 4711);
    for (sector, value) in [(80, 4712), (160, 4713)] {
        assert_eq!(world.nodes[BOB].disks[0].read(sector, 1)[0], value);
    }
    good(&world);
}
