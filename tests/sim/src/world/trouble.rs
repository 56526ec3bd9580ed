// SPDX-License-Identifier: GPL-2.0-only

//! What can happen to machines and cables.

use drbd_core::state::ConnectionState;

use crate::node::Receiver;
use crate::rng::Rng;
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

    /// Somebody who is no peer connects to a node that looks for one.
    pub fn visit(&mut self, node: usize, rng: &mut Rng) -> bool {
        let looks = self.nodes[node].life.as_ref().is_some_and(|life| {
            life.receiver == Receiver::Searching
                && life.engine.connection().state() == ConnectionState::WFConnection
        });
        if !looks {
            return false;
        }
        let number = self.new_link();
        let Some(link) = self.links.get_mut(&number) else {
            return false;
        };
        link.stranger = true;
        for pipe in &mut link.pipes[1 - node] {
            if rng.chance(50) {
                // It knows how such a conversation begins.
                pipe.inbox.extend(hello(rng));
            }
            let garbage = *rng.pick(&[0, 1, 8, 100, 5000]);
            pipe.inbox
                .extend((0..garbage).map(|_| rng.below(256) as u8));
        }
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.receiver = Receiver::Met(number);
        }
        self.tell(node, || "is called by a stranger".into());
        let boot = self.nodes[node].boot;
        self.push(
            self.now + rng.range(10, 2000),
            Ev::LinkUp(node, boot, number),
        );
        let leaves = self.now + rng.range(10_000, 5_000_000);
        self.push(leaves, Ev::Leave(number, 1 - node));
        true
    }

    /// A stranger hangs up.
    pub fn leave(&mut self, link: u32, stranger: usize) {
        if let Some(link) = self.links.get_mut(&link) {
            link.closed[stranger] = true;
            link.broken[stranger] = true;
        }
        self.poke(1 - stranger);
    }
}

/// `P_CONNECTION_FEATURES` of somebody.
fn hello(rng: &mut Rng) -> Vec<u8> {
    let mut packet = vec![0x83, 0x74, 0x02, 0x67, 0xff, 0xfe, 0x00, 0x48];
    let oldest = *rng.pick(&[86, 86, 1, 101, 110, u32::MAX]);
    let newest = *rng.pick(&[101, 101, 86, 0, 120]);
    for field in [oldest, 15, newest] {
        packet.extend(u32::to_be_bytes(field));
    }
    packet.resize(80, 0);
    packet
}
