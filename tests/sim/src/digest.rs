// SPDX-License-Identifier: GPL-2.0-only

//! Digests of blocks, and the modules of the kernel that make them: there are two, of different lengths.

use drbd_core::config::Text;
use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::digest::{Algorithm, MAX_DIGEST};
use drbd_core::slab::Id;

use crate::shell::key;
use crate::world::{Ev, World};

/// The algorithms that each node has, with the bytes of their digests.
pub const ALGORITHMS: [(&[u8], usize); 2] = [(b"short", 8), (b"long", MAX_DIGEST)];

/// The name of an algorithm, for the configuration.
pub fn name(name: &str) -> Text<63> {
    Text::new(name.as_bytes()).expect("a short name")
}

/// The bytes of the digests of this algorithm; `None` where there is none of this name.
pub fn size(name: &Text<63>) -> Option<usize> {
    ALGORITHMS
        .iter()
        .find(|(known, _)| *known == name.as_bytes())
        .map(|(_, size)| *size)
}

fn digest(values: &[u64], size: usize) -> Vec<u8> {
    let mut state = 0xcbf2_9ce4_8422_2325_u64 ^ values.len() as u64;
    for value in values {
        state = (state ^ value).wrapping_mul(0x5851_f42d_4c95_7f2d);
        state ^= state >> 29;
    }
    state.to_le_bytes().into_iter().cycle().take(size).collect()
}

impl World<'_> {
    /// The engine wants a digest: it takes a while.
    pub fn begin_digest(&mut self, node: usize, device: DeviceIndex, id: Id) {
        let at = self.now + self.rng.range(1, 100);
        let boot = self.nodes[node].boot;
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.digesting += 1;
        }
        self.push(at, Ev::Digest(node, boot, device.0, id.to_u64()));
    }

    pub fn digest_done(&mut self, node: usize, device: u8, id: u64) {
        let now = self.now / 1000;
        let (device, id) = (
            DeviceIndex(device),
            Id::from_u64(id).expect("an identifier"),
        );
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        life.digesting -= 1;
        let Some(purpose) = life
            .engine
            .peer_request(device, id)
            .map(|request| request.purpose)
        else {
            self.fail(format!("node {node}: a digest for nobody"));
            return;
        };
        let conf = life.engine.connection().conf().cloned();
        let algorithm = conf.and_then(|conf| match purpose.algorithm()? {
            Algorithm::Verify => size(&conf.verify_alg),
            Algorithm::Checksums => size(&conf.csums_alg),
        });
        let pages = if purpose.needs_data_after_digest() {
            life.peer_pages.get(&key(device, id)).cloned()
        } else {
            life.peer_pages.remove(&key(device, id))
        };
        let bytes = algorithm.map(|size| match pages {
            Some(values) => digest(&values, size),
            None => vec![0; size],
        });
        life.engine
            .at(now)
            .digest_done(device, id, bytes.as_deref());
        self.coverage.count("digests");
        self.settle(node);
        self.try_link_closed(node);
    }

    /// The peer uses other algorithms than before.
    pub fn look_for_algorithms(&mut self, node: usize, device: DeviceIndex) -> bool {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return false;
        };
        let wanted = life.engine.wanted_algorithms();
        let missing = wanted
            .iter()
            .find(|(_, name)| size(name).is_none())
            .map(|(algorithm, _)| algorithm);
        life.engine
            .at(now)
            .algorithms_found(device, missing)
            .is_ok()
    }
}
