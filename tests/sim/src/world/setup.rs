// SPDX-License-Identifier: GPL-2.0-only

//! How a world is made.

use drbd_core::config::disk::DiskConf;
use drbd_core::config::net::NetConf;
use drbd_core::config::resource::ResourceOptions;
use drbd_core::wire::PROTOCOL_VERSION_MAX;

use crate::node::Sizes;

/// How a world is made.
#[derive(Clone, Debug)]
pub struct Setup {
    pub volumes: usize,
    /// So many of them, the last ones, are not there before they are added (`Admin::AddVolume`).
    pub late_volumes: usize,
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
    /// So many sectors more has the disk of the second node.
    pub larger: u64,
    /// The newest protocol that both speak, and their features: the packet that says so is changed on its way.
    pub newest_protocol: u32,
    pub features: u32,
    /// Handlers take their time, up to a minute, and the event thread waits where so many of them run or wait already. Else
    /// they are too quick to matter.
    pub slow_handlers: Option<usize>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            volumes: 1,
            late_volumes: 0,
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
            larger: 0,
            newest_protocol: PROTOCOL_VERSION_MAX,
            features: u32::MAX,
            slow_handlers: None,
        }
    }
}

/// `P_CONNECTION_FEATURES`, in the header of its time.
const FEATURES: [u8; 8] = [0x83, 0x74, 0x02, 0x67, 0xff, 0xfe, 0x00, 0x48];

impl Setup {
    /// The first packet of a connection says how old the node is that sends it.
    pub fn make_older(&self, packet: &mut [u8]) {
        let Some((FEATURES, body)) = packet
            .split_first_chunk_mut()
            .map(|(head, body)| (*head, body))
        else {
            return;
        };
        // The oldest protocol, the features, the newest protocol, and more.
        let mut words = body.chunks_exact_mut(4).skip(1);
        if let (Some(features), Some(newest)) = (words.next(), words.next()) {
            set_word(features, word(features) & self.features);
            set_word(newest, word(newest).min(self.newest_protocol));
        }
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn set_word(bytes: &mut [u8], word: u32) {
    bytes.copy_from_slice(&word.to_be_bytes());
}
