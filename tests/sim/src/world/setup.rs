// SPDX-License-Identifier: GPL-2.0-only

//! How a world is made.

use drbd_core::config::disk::DiskConf;
use drbd_core::config::net::NetConf;
use drbd_core::config::resource::ResourceOptions;

use crate::node::Sizes;

/// How a world is made.
#[derive(Clone, Debug)]
pub struct Setup {
    pub volumes: usize,
    pub device_sectors: u64,
    pub internal: bool,
    pub volatile: bool,
    pub net: NetConf,
    pub disk: DiskConf,
    pub options: ResourceOptions,
    pub sizes: Sizes,
    pub disk_latency: u64,
    pub net_latency: u64,
    pub socket_room: usize,
    /// A volume resyncs after the one before it (`resync-after`).
    pub one_after_the_other: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            volumes: 1,
            device_sectors: 4096,
            internal: false,
            volatile: true,
            net: NetConf::default(),
            disk: DiskConf::default(),
            options: ResourceOptions::default(),
            sizes: Sizes::default(),
            disk_latency: 200,
            net_latency: 200,
            socket_room: 64 * 1024,
            one_after_the_other: false,
        }
    }
}
