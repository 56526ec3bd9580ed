// SPDX-License-Identifier: GPL-2.0-only

//! What kind of world a seed means: its machines, its cables, its configuration.

use drbd_core::config::policy::{OnCongestion, OnIoError, OnNoData, Protocol, ReadBalancing};

use crate::rng::Rng;
use crate::world::Setup;

/// A world for a seed.
pub fn setup(rng: &mut Rng) -> Setup {
    let mut setup = Setup {
        volumes: *rng.pick(&[1, 1, 1, 2]),
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
    setup.net.wire_protocol = *rng.pick(&[Protocol::A, Protocol::B, Protocol::C, Protocol::C]);
    setup.net.max_epoch_size = *rng.pick(&[1, 3, 20, 2048]);
    setup.net.max_buffers = *rng.pick(&[32, 2048]);
    setup.net.use_rle = rng.chance(70);
    setup.net.ping_int = *rng.pick(&[1, 10]);
    if rng.chance(30) {
        crate::secrets::put(&mut setup.net, crate::secrets::RIGHT);
    }
    setup.sizes.requests = *rng.pick(&[2, 8, 64]);
    setup.sizes.peer_requests = *rng.pick(&[4, 16, 64]);
    setup.sizes.epochs = *rng.pick(&[4, 16]);
    setup.sizes.extents = *rng.pick(&[3, 7, 67]);
    setup.disk.c_plan_ahead = *rng.pick(&[0, 20]);
    setup.disk.resync_rate = *rng.pick(&[500, 10_000]);
    setup.net.on_congestion = match setup.net.wire_protocol {
        Protocol::A => *rng.pick(&[
            OnCongestion::Block,
            OnCongestion::PullAhead,
            OnCongestion::PullAhead,
            OnCongestion::Disconnect,
        ]),
        _ => OnCongestion::Block,
    };
    setup.net.cong_fill = *rng.pick(&[0, 8, 200, 2000]);
    setup.net.cong_extents = *rng.pick(&[2, 67]);
    setup.options.on_no_data = *rng.pick(&[OnNoData::IoError, OnNoData::SuspendIo]);
    setup.disk.disk_timeout = *rng.pick(&[0, 5, 30]);
    setup.disk.read_balancing = *rng.pick(ReadBalancing::ALL);
    setup.disk.on_io_error = *rng.pick(&[OnIoError::PassOn, OnIoError::Detach]);
    setup
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
