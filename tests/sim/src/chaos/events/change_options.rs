// SPDX-License-Identifier: GPL-2.0-only

//! `drbdadm adjust` on both nodes, while everything runs: another protocol, size of epochs, order of writes.

use drbd_core::config::policy::Protocol;
use drbd_core::resource::device::DeviceIndex;

use crate::chaos::events::Event;
use crate::rng::Rng;
use crate::world::World;

/// Microseconds between two changes: the word of the first has reached the peer.
pub const BETWEEN: u64 = 3_000_000;

pub const EVENT: Event = Event {
    name: "changes of options",
    weight: 3,
    happen,
};

fn happen(world: &mut World<'_>, rng: &mut Rng) -> bool {
    let (now, volatile) = (world.now, world.setup.volatile);
    let Some(plan) = world.plan.as_ref() else {
        return false;
    };
    if now < plan.options_changed + BETWEEN {
        return false;
    }
    let mut protocol = *rng.pick(&[Protocol::A, Protocol::B, Protocol::C, Protocol::C]);
    if world.setup.newest_protocol < 100 {
        // An older peer could not be told: 8.4 refuses it while connected.
        protocol = world.setup.net.wire_protocol;
    }
    let epoch = *rng.pick(&[1, 3, 20, 2048]);
    // Nothing less than the default is right for a disk that forgets.
    let flushes = volatile || rng.chance(50);
    let drain = volatile || rng.chance(50);
    if let Some(plan) = world.plan.as_mut() {
        plan.options_changed = now;
        plan.ever_a |= protocol == Protocol::A;
        plan.ever_b |= protocol == Protocol::B;
    }
    world.tell(2, || {
        format!("options: protocol {protocol:?}, max-epoch-size {epoch}, flushes {flushes}, drain {drain}")
    });
    world.protocol_changes(protocol);
    for node in 0..2 {
        let place = &mut world.nodes[node];
        place.net.wire_protocol = protocol;
        place.net.max_epoch_size = epoch;
        place.disk_conf.disk_flushes = flushes;
        place.disk_conf.disk_drain = drain;
        let Some(life) = place.life.as_mut() else {
            continue;
        };
        let engine = life.engine.at(now / 1000);
        if let Some(mut conf) = engine.connection().conf().cloned() {
            conf.wire_protocol = protocol;
            conf.max_epoch_size = epoch;
            let digest = crate::integrity::size_of(&conf.integrity_alg);
            engine.set_net_options(conf, digest);
        }
        for volume in 0..world.setup.volumes {
            let index = DeviceIndex(volume as u8);
            let disk = engine.device(index).and_then(|device| device.disk());
            if let Some(mut conf) = disk.map(|disk| disk.conf.clone()) {
                conf.disk_flushes = flushes;
                conf.disk_drain = drain;
                engine.set_disk_options(index, conf);
            }
        }
        world.settle(node);
    }
    true
}
