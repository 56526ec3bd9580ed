// SPDX-License-Identifier: GPL-2.0-only

//! What can happen to machines and cables.

use crate::node::Receiver;
use crate::world::{Ev, World};

/// What a crash waits for: the worst moments are those at which somebody was just told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// An application of either node was told that its write or flush is done.
    Told,
    /// The other node took a packet from the meta socket.
    Answered,
    /// The own disk did something.
    DiskDone,
}

/// A crash that waits for its moment.
#[derive(Clone, Copy, Debug)]
pub struct Doom {
    pub victim: usize,
    pub moment: Moment,
    /// How many of them still pass.
    pub left: u64,
}

impl World<'_> {
    /// Such a moment came, for this node: perhaps somebody waited for it.
    pub fn moment_of(&mut self, victim: usize, moment: Moment) {
        let Some(doom) = self.doom.as_mut() else {
            return;
        };
        if (doom.victim, doom.moment) != (victim, moment) {
            return;
        }
        doom.left = doom.left.saturating_sub(1);
        if doom.left == 0 {
            self.doom = None;
            let boot = self.nodes[victim].boot;
            self.push(self.now, Ev::Crash(victim, boot));
        }
    }

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
