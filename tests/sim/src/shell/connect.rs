// SPDX-License-Identifier: GPL-2.0-only

//! The receiver thread: finds the peer, and closes the link.

use drbd_core::resource::AfterLink;
use drbd_core::state::ConnectionState;

use crate::link::{DATA, META};
use crate::node::Receiver;
use crate::secrets;
use crate::world::{Ev, World};

impl World<'_> {
    pub fn dial(&mut self, node: usize) {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        if life.receiver != Receiver::Searching {
            return;
        }
        if !life.engine.at(now).begin_connecting() {
            self.link_closed(node);
            return;
        }
        self.settle(node);
        let other = 1 - node;
        let other_searches = self.network
            && self.nodes[other].life.as_ref().is_some_and(|life| {
                life.receiver == Receiver::Searching
                    && life.engine.connection().state() == ConnectionState::WFConnection
            });
        if !other_searches {
            let boot = self.nodes[node].boot;
            let at = self.now + self.rng.range(1_000, 1_000_000);
            self.push(at, Ev::Dial(node, boot));
            return;
        }
        let link = self.new_link();
        for one in 0..2 {
            let boot = self.nodes[one].boot;
            if let Some(life) = self.nodes[one].life.as_mut() {
                life.receiver = Receiver::Met(link);
            }
            let at = self.now + self.rng.range(10, 2_000);
            self.push(at, Ev::LinkUp(one, boot, link));
        }
    }

    pub fn link_up(&mut self, node: usize, link: u32) {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        if life.receiver != Receiver::Met(link) {
            return;
        }
        life.reading = Default::default();
        life.closing = false;
        // Who accepted the meta socket is a matter of chance; both know.
        let resolves = (link % 2) as usize == node;
        let challenge = secrets::challenge(link, node);
        let known = life.engine.connection().conf().map(secrets::identity);
        if life.engine.at(now).link_up(resolves, challenge) {
            life.receiver = Receiver::Up(link);
            if let Some(link) = self.links.get_mut(&link) {
                link.identities[node] = known;
            }
            self.settle(node);
            self.schedule_receive(node, DATA);
            self.schedule_receive(node, META);
        } else {
            if let Some(link) = self.links.get_mut(&link) {
                link.closed[node] = true;
            }
            self.poke(1 - node);
            self.link_closed(node);
        }
    }

    /// The sockets of this node changed: whoever sleeps in one looks.
    pub fn poke(&mut self, node: usize) {
        self.schedule_receive(node, DATA);
        self.schedule_receive(node, META);
        self.schedule_send(node, DATA);
    }

    pub(super) fn shut_sockets(&mut self, node: usize) {
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        match life.receiver {
            // An order that comes late is about a link that is gone.
            Receiver::Up(_) if !life.engine.link_is_given_up() => {}
            Receiver::Up(link) => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.closed[node] = true;
                    link.broken[node] = true;
                }
                self.poke(node);
                self.poke(1 - node);
            }
            Receiver::Searching => {
                let at = self.soon();
                let boot = self.nodes[node].boot;
                self.push(at, Ev::Dial(node, boot));
            }
            _ => {}
        }
    }

    pub fn current_link(&self, node: usize) -> Option<u32> {
        match self.nodes[node].life.as_ref()?.receiver {
            Receiver::Up(link) => Some(link),
            _ => None,
        }
    }

    /// A thread found the link to be of no use.
    pub fn link_lost(&mut self, node: usize, why: ConnectionState) {
        let now = self.now / 1000;
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.engine.at(now).link_failed(why);
        }
        self.settle(node);
    }

    /// The receiver has seen the end of the data socket: it closes the link, once nobody uses the sockets.
    pub fn receiver_ends(&mut self, node: usize) {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let Receiver::Up(link) = life.receiver else {
            return;
        };
        if !life.sending.is_empty() {
            life.closing = true;
            return;
        }
        life.closing = false;
        if let Some(link) = self.links.get_mut(&link) {
            link.closed[node] = true;
            link.broken[node] = true;
        }
        let reading = std::mem::take(&mut life.reading);
        self.abandon_reading(node, reading);
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.receiver = Receiver::Draining;
            life.engine.at(now).link_down();
        }
        self.settle(node);
        self.poke(1 - node);
        self.try_link_closed(node);
    }

    /// The receiver waits until nothing is left of the link.
    pub fn try_link_closed(&mut self, node: usize) {
        let drained = self.nodes[node].life.as_mut().is_some_and(|life| {
            life.receiver == Receiver::Draining && life.engine.link_is_drained()
        });
        if drained {
            self.link_closed(node);
        }
    }

    pub(super) fn link_closed(&mut self, node: usize) {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let after = life.engine.at(now).link_closed();
        life.receiver = match after {
            AfterLink::Reconnect => Receiver::Searching,
            AfterLink::Stop => Receiver::Stopped,
        };
        if after == AfterLink::Reconnect {
            let boot = self.nodes[node].boot;
            let at = self.now + self.rng.range(100, 500_000);
            self.push(at, Ev::Dial(node, boot));
        }
        self.settle(node);
    }

    pub fn arrive(&mut self, link: u32, from: usize, socket: usize) {
        if !self.network {
            return;
        }
        let now = self.now;
        let Some(link) = self.links.get_mut(&link) else {
            return;
        };
        link.pipes[from][socket].arrive(now);
        self.schedule_receive(1 - from, socket);
    }
}
