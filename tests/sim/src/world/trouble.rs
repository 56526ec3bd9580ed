// SPDX-License-Identifier: GPL-2.0-only

//! What can happen to machines and cables.

use crate::node::Receiver;
use crate::world::{Ev, World};

impl World<'_> {
    /// The machine stops dead.
    pub fn crash(&mut self, node: usize) {
        if self.nodes[node].life.is_none() {
            return;
        }
        self.tell(node, || "crashes".into());
        let lost = self.lose_power(node);
        self.history_crash(node, lost);
        let receiver = self.nodes[node].life.as_ref().map(|life| life.receiver);
        self.nodes[node].life = None;
        if let Some(Receiver::Up(link) | Receiver::Met(link)) = receiver {
            // Its bytes that are on their way still come; after that, silence or a reset.
            if self.rng.chance(50) {
                let after = self.now + self.rng.range(100, 300_000);
                self.push(after, Ev::Reset(link, 1 - node));
            }
        }
    }

    /// The cable is pulled, with all that was in it, and put back at once.
    pub fn cut(&mut self) {
        self.tell(2, || "the connection is cut".into());
        let mut rng = self.rng.clone();
        for link in self.links.values_mut() {
            link.cut(&mut rng);
        }
        self.rng = rng;
        for node in 0..2 {
            self.poke(node);
        }
    }

    pub fn set_network(&mut self, on: bool) {
        if self.network == on {
            return;
        }
        self.tell(2, || {
            if on {
                "the network is back"
            } else {
                "the network is gone"
            }
            .into()
        });
        self.network = on;
        if on {
            let links: Vec<u32> = self.links.keys().copied().collect();
            for link in links {
                for from in 0..2 {
                    for socket in 0..2 {
                        self.push(self.now, Ev::Arrive(link, from, socket));
                    }
                }
            }
        }
    }
}
