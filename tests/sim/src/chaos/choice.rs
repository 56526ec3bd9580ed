// SPDX-License-Identifier: GPL-2.0-only

//! What kind of world a seed means: its machines, its cables, its configuration.

use drbd_core::config::disk::DiskConf;
use drbd_core::config::net::NetConf;
use drbd_core::config::policy::{
    AfterSplitBrain0p, AfterSplitBrain1p, AfterSplitBrain2p, OnCongestion, OnIoError, OnNoData,
    Protocol, ReadBalancing, RoleConflict,
};

use crate::rng::Rng;
use crate::shell::helpers::ROOM;
use crate::world::Setup;

/// A world for a seed.
pub fn setup(rng: &mut Rng, orderly: bool) -> Setup {
    let mut setup = Setup {
        volumes: *rng.pick(&[1, 1, 1, 1, 2, 3]),
        device_sectors: *rng.pick(&[1024, 1024, 1024, 2048, 2048, 2048, 4096, 4096, 40_000]),
        internal: rng.chance(50),
        volatile: rng.chance(70),
        disk_latency: *rng.pick(&[10, 200, 2000]),
        net_latency: *rng.pick(&[10, 200, 5000]),
        socket_room: *rng.pick(&[100, 2000, 64 * 1024]),
        ..Setup::default()
    };
    if setup.internal {
        setup.device_sectors += 400;
    }
    if rng.chance(30) {
        setup.net.integrity_alg = crate::integrity::any(rng);
    }
    if rng.chance(30) {
        crate::secrets::put(&mut setup.net, crate::secrets::RIGHT);
    }
    if rng.chance(20) {
        setup.larger = rng.below(2000);
    }
    if rng.chance(30) {
        setup.features = rng.below(16) as u32;
    }
    setup.sizes.requests = *rng.pick(&[2, 8, 64]);
    setup.sizes.peer_requests = *rng.pick(&[4, 16, 64]);
    setup.sizes.epochs = *rng.pick(&[4, 16]);
    setup.sizes.extents = *rng.pick(&[3, 7, 67]);
    setup.options.on_no_data =
        *rng.pick(&[OnNoData::IoError, OnNoData::IoError, OnNoData::SuspendIo]);
    net(rng, &mut setup.net);
    if rng.chance(70) {
        let algorithm: &str = rng.pick::<&str>(&["short", "long"]);
        setup.net.verify_alg = crate::digest::name(algorithm);
    }
    if rng.chance(60) {
        let algorithm: &str = rng.pick::<&str>(&["short", "long"]);
        setup.net.csums_alg = crate::digest::name(algorithm);
        setup.net.csums_after_crash_only = rng.chance(30);
    }
    disk(rng, &mut setup.disk, orderly, setup.volatile);
    setup
}

/// Options of the connection.
pub fn net(rng: &mut Rng, net: &mut NetConf) {
    net.wire_protocol = *rng.pick(&[Protocol::A, Protocol::B, Protocol::C, Protocol::C]);
    net.max_epoch_size = *rng.pick(&[1, 3, 20, 2048]);
    net.max_buffers = *rng.pick(&[32, 2048]);
    net.use_rle = rng.chance(70);
    net.ping_int = *rng.pick(&[1, 10]);
    net.on_congestion = match net.wire_protocol {
        Protocol::A => *rng.pick(&[
            OnCongestion::Block,
            OnCongestion::PullAhead,
            OnCongestion::PullAhead,
            OnCongestion::Disconnect,
        ]),
        _ => OnCongestion::Block,
    };
    net.cong_fill = *rng.pick(&[0, 8, 200, 2000]);
    net.cong_extents = *rng.pick(&[2, 67]);
}

/// Options of a disk.
pub fn disk(rng: &mut Rng, disk: &mut DiskConf, orderly: bool, volatile: bool) {
    disk.c_plan_ahead = *rng.pick(&[0, 20]);
    disk.resync_rate = *rng.pick(&[500, 10_000]);
    disk.read_balancing = *rng.pick(ReadBalancing::ALL);
    disk.on_io_error = *rng.pick(OnIoError::ALL);
    if orderly {
        // A Primary without peer that goes on with an Inconsistent disk gives up what nobody else has.
        disk.on_io_error = *rng.pick(&[OnIoError::CallHelper, OnIoError::Detach]);
    }
    disk.disk_timeout = *rng.pick(&[0, 5, 30]);
    // Who has no cache that can be lost needs no flushes.
    disk.disk_flushes = volatile || rng.chance(50);
    disk.md_flushes = volatile || rng.chance(50);
}

/// How fast it resyncs, from a number of its own.
pub fn pace_of_resync(rng: &mut Rng, setup: &mut Setup) {
    setup.disk.c_min_rate = *rng.pick(&[0, 250, 250, 4000]);
    setup.disk.c_fill_target = *rng.pick(&[0, 8, 100, 100, 2000]);
    setup.disk.c_delay_target = *rng.pick(&[1, 10]);
    setup.disk.c_max_rate = *rng.pick(&[2000, 102_400, 102_400]);
    setup.one_after_the_other = rng.chance(50);
    setup.disk.rs_discard_granularity = *rng.pick(&[0, 4096, 8192, 65_536]);
}

/// Whether handlers take their time, and what waits for them, from numbers of its own.
pub fn pace_of_handlers(seed: u64, setup: &mut Setup) {
    if !Rng::new(seed ^ 0x4a9d).chance(30) {
        return;
    }
    let waits_for_each = Rng::new(seed ^ 0x5a1e).chance(50);
    let room = if waits_for_each {
        0
    } else {
        *Rng::new(seed ^ 0x700).pick(&[1, 3, ROOM])
    };
    setup.slow_handlers = Some(room);
}

/// How old the peers are, from a number of its own.
pub fn age_of_peers(rng: &mut Rng, setup: &mut Setup) {
    if setup.volumes > 1 || !rng.chance(20) {
        return;
    }
    setup.newest_protocol = *rng.pick(&[86, 87, 88, 89, 90, 91, 93, 94, 95, 96, 97, 99, 100]);
    // There were no features yet.
    setup.features = 0;
    if setup.newest_protocol < 87 {
        // Nobody could say which digest it uses.
        setup.net.integrity_alg = Default::default();
    }
}

/// Whether the last of several volumes is added while the others are in use, on each node at another moment, from a number of its
/// own. Not with a larger disk on one of them: who has none yet takes its size over, and refuses a smaller one for ever.
pub fn late_volumes(seed: u64, setup: &mut Setup) {
    if setup.volumes > 1 && setup.larger == 0 && Rng::new(seed ^ 0x1a7e).chance(30) {
        setup.late_volumes = 1;
    }
}

/// Now and then a volume whose bitmap takes several pages, and several packets. What is copied is copied fast, for there is a lot of it.
pub fn large_volume(rng: &mut Rng, setup: &mut Setup) {
    if !rng.chance(2) {
        return;
    }
    setup.volumes = 1;
    setup.late_volumes = 0;
    setup.larger = 0;
    setup.device_sectors = *rng.pick(&[300_000, 530_000, 700_000]);
    setup.disk_latency = setup.disk_latency.min(200);
    setup.net_latency = setup.net_latency.min(200);
    setup.socket_room = setup.socket_room.max(64 * 1024);
    setup.disk.resync_rate = 1_000_000;
    setup.disk.c_plan_ahead = 0;
    setup.sizes.peer_requests = 64;
    setup.net.max_buffers = 2048;
}

/// Patience with the peer, and how far ahead a resync plans, from a number of its own.
pub fn patience(rng: &mut Rng, setup: &mut Setup) {
    if !rng.chance(40) {
        return;
    }
    setup.net.ko_count = *rng.pick(&[0, 1, 2, 7]);
    setup.net.timeout = *rng.pick(&[10, 30, 60]);
    setup.net.ping_timeo = *rng.pick(&[1, 5, 30]);
    setup.net.connect_int = *rng.pick(&[1, 10]);
    setup.disk.c_plan_ahead = *rng.pick(&[0, 1, 20, 300]);
}

/// Who loses after a split brain, and whether a Primary may be the target of a resync, from a number of its own.
pub fn policies(rng: &mut Rng, net: &mut NetConf) -> bool {
    if !rng.chance(50) {
        return false;
    }
    net.after_sb_0p = *rng.pick(AfterSplitBrain0p::ALL);
    net.after_sb_1p = *rng.pick(AfterSplitBrain1p::ALL);
    net.after_sb_2p = *rng.pick(AfterSplitBrain2p::ALL);
    net.rr_conflict = *rng.pick(RoleConflict::ALL);
    net.always_asbp = rng.chance(30);
    true
}

/// What the configuration of the second node says where that of the first speaks of "this node".
pub fn seen_from_the_other_side(policy: AfterSplitBrain0p) -> AfterSplitBrain0p {
    match policy {
        AfterSplitBrain0p::DiscardLocal => AfterSplitBrain0p::DiscardRemote,
        AfterSplitBrain0p::DiscardRemote => AfterSplitBrain0p::DiscardLocal,
        other => other,
    }
}
