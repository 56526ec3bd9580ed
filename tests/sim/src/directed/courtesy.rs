// SPDX-License-Identifier: GPL-2.0-only

//! Who is to keep out of the way of applications does, and still comes to an end (`c-min-rate`).

use drbd_core::resource::device::DeviceIndex;

use super::{expect, Story, Told, ALICE, BOB, SECOND};
use crate::admin::Admin;
use crate::world::{Setup, World};

const SECTORS: u64 = 40_000;

/// An application writes to the disk that is verified.
pub const VERIFIED: Story = Story {
    name: "a disk in use is verified",
    seeds: 3,
    setup: |_| setup(),
    happen: |world| verify(world, BOB),
};

/// An application writes to the disk of the node that verifies.
pub const VERIFIES: Story = Story {
    name: "a node in use verifies",
    seeds: 3,
    setup: |_| setup(),
    happen: |world| verify(world, ALICE),
};

fn setup() -> Setup {
    let mut setup = Setup {
        device_sectors: SECTORS,
        ..Setup::default()
    };
    setup.net.verify_alg = crate::digest::name("short");
    setup.disk.c_max_rate = 4000;
    setup
}

/// `node` verifies while alice's applications write; what is written there does not count as load on bob.
fn verify(world: &mut World<'_>, node: usize) -> Told {
    world.nodes[BOB].disk_conf.c_min_rate = 0;
    world.synced()?;
    let quiet = blocks_in_three_seconds(world, node, false)?;
    world.settled()?;
    let busy = blocks_in_three_seconds(world, node, true)?;
    expect(quiet > 2500, "it keeps to c-max-rate alone")?;
    // And what was under way before the first write was noticed.
    expect((8..=800).contains(&busy), "it keeps to c-min-rate")?;
    world.settled()?;
    expect(left(world, node) == 0, "it comes to its end")?;
    world.mend()
}

fn left(world: &World<'_>, node: usize) -> u64 {
    let life = world.nodes[node].life.as_ref();
    let device = life.and_then(|life| life.engine.device(DeviceIndex(0)));
    device.map_or(0, |device| device.verify().left)
}

/// How many blocks a verify compares in that time.
fn blocks_in_three_seconds(
    world: &mut World<'_>,
    node: usize,
    writes: bool,
) -> Result<u64, String> {
    let end = world.now + 3 * SECOND;
    world.command(node, Admin::Verify(0, Some(0), u64::MAX))?;
    while world.now < end {
        if writes {
            world.written(ALICE, world.now % 300 * 128, 128)?;
        }
        world.run(50_000);
    }
    Ok(SECTORS / 8 - left(world, node))
}
