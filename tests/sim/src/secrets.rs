// SPDX-License-Identifier: GPL-2.0-only

//! What a peer has to prove, in worlds that know of secrets.

use drbd_core::config::net::NetConf;
use drbd_core::config::text::{Secret, Text};
use drbd_core::resource::OWN_CHALLENGE;

use crate::rng::Rng;
use crate::world::World;

/// The secret that both nodes should have.
pub const RIGHT: &[u8] = b"open sesame";

/// What a node tells another apart by.
pub type Identity = (Text<63>, Secret);

pub fn identity(conf: &NetConf) -> Identity {
    (conf.cram_hmac_alg, conf.shared_secret)
}

/// Puts a secret into the options of a connection; an empty one is no authentication.
pub fn put(conf: &mut NetConf, secret: &[u8]) {
    let algorithm: &[u8] = if secret.is_empty() { b"" } else { b"model" };
    conf.cram_hmac_alg = Text::truncated(algorithm);
    conf.shared_secret = Secret::new(secret);
}

/// What a node has the peer sign: never the same twice.
pub fn challenge(link: u32, node: usize) -> [u8; OWN_CHALLENGE] {
    let mut rng = Rng::new(u64::from(link) * 2 + node as u64);
    let mut bytes = [0; OWN_CHALLENGE];
    for part in bytes.chunks_mut(8) {
        part.copy_from_slice(&rng.next().to_le_bytes());
    }
    bytes
}

/// A keyed digest that depends on all that it should. Nobody here tries to break it.
pub fn sign(secret: &[u8], bytes: &[u8]) -> Vec<u8> {
    let sum = secret
        .iter()
        .chain(b"\0")
        .chain(bytes)
        .fold(7u64, |sum, byte| Rng::new(sum ^ u64::from(*byte)).next());
    let mut rng = Rng::new(sum);
    [rng.next(), rng.next()].map(u64::to_le_bytes).concat()
}

impl World<'_> {
    /// Whether this world knows of secrets.
    pub fn has_secrets(&self) -> bool {
        !self.setup.net.cram_hmac_alg.is_empty()
    }

    /// `drbdadm adjust` with this secret in drbd.conf.
    pub fn adjust_secret(&mut self, node: usize, secret: &[u8]) {
        put(&mut self.nodes[node].net, secret);
        // Who has met the peer will not be asked again.
        let counts = self.nodes[node].life.as_ref().is_some_and(|life| {
            !life.engine.is_introduced() && life.engine.connection().conf().is_some()
        });
        self.adjust(node);
        let known = identity(&self.nodes[node].net);
        let link = self.current_link(node);
        if let Some(link) = link.and_then(|link| self.links.get_mut(&link)) {
            if counts {
                // In the middle of an introduction: the peer may not understand.
                link.stranger = true;
                link.identities[node] = Some(known);
            }
        }
    }

    /// Whether both ends of the link of a node know the same: an honest peer may say what is refused where they do not.
    pub fn peers_know_each_other(&self, node: usize) -> bool {
        self.current_link(node)
            .and_then(|link| self.links.get(&link))
            .is_none_or(|link| match link.identities {
                [Some(left), Some(right)] => left == right,
                _ => true,
            })
    }
}
