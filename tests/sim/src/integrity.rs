// SPDX-License-Identifier: GPL-2.0-only

//! Digests in front of the data, and networks that need them.

use drbd_core::config::text::Text;

use crate::chaos::events::change_options::BETWEEN;
use crate::rng::Rng;
use crate::world::World;

/// Set in each sector that was damaged on its way: no application writes such a thing.
pub const DAMAGE: u64 = 1 << 63;

/// The digests that simulated kernels have, and how long they are.
pub const DIGESTS: &[(&[u8], u32)] = &[(b"short", 4), (b"long", 64)];

/// The name of one of them.
pub fn any(rng: &mut Rng) -> Text<63> {
    Text::truncated(rng.pick(DIGESTS).0)
}

/// The length of a digest by its name; 0 where there is none.
pub fn size_of(name: &Text<63>) -> u32 {
    DIGESTS
        .iter()
        .find(|(own, _)| *own == name.as_bytes())
        .map_or(0, |(_, size)| *size)
}

/// The digest of what goes over the wire. Another one for each name.
pub fn digest(name: &Text<63>, bytes: &[u8]) -> Vec<u8> {
    let size = size_of(name);
    if size == 0 {
        return Vec::new();
    }
    let sum = name
        .as_bytes()
        .iter()
        .chain(bytes)
        .fold(3u64, |sum, byte| Rng::new(sum ^ u64::from(*byte)).next());
    let mut rng = Rng::new(sum);
    (0..size).map(|_| rng.next() as u8).collect()
}

impl World<'_> {
    /// `drbdadm adjust` with this `data-integrity-alg` in drbd.conf.
    pub fn adjust_integrity(&mut self, node: usize, name: Text<63>) {
        self.nodes[node].net.integrity_alg = name;
        self.adjust(node);
    }

    /// `drbdadm adjust`: the options of the connection are what drbd.conf says.
    pub fn adjust(&mut self, node: usize) {
        let now = self.now / 1000;
        let mut conf = self.nodes[node].net.clone();
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let engine = life.engine.at(now);
        if let Some(old) = engine.connection().conf() {
            conf.discard_my_data = old.discard_my_data;
            let digest = size_of(&conf.integrity_alg);
            engine.set_net_options(conf, digest);
        }
        self.settle(node);
    }

    /// Whether options may be changed now: what was said of the last change has reached the peer.
    pub fn may_change_options(&mut self) -> bool {
        let now = self.now;
        match self.plan.as_mut() {
            Some(plan) if now >= plan.options_changed + BETWEEN => {
                plan.options_changed = now;
                true
            }
            _ => false,
        }
    }
}
