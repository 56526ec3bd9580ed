// SPDX-License-Identifier: GPL-2.0-only

//! The sender of the data socket.

use drbd_core::resource::Payload;
use drbd_core::state::ConnectionState;
use drbd_core::wire::Command;

use crate::coverage::Coverage;
use crate::dialect::misunderstands;
use crate::integrity::{digest, DAMAGE};
use crate::link::DATA;
use crate::node::Sending;
use crate::world::{Ev, World};

/// Payloads that may be on their way before the first word about them.
const BATCH: usize = 8;

impl World<'_> {
    pub(super) fn put(&mut self, node: usize, link: u32, socket: usize, bytes: Vec<u8>) {
        let latency = self.setup.net_latency + self.slowness;
        let arrives = self.now + self.rng.range(1, latency.max(1));
        let Some(pipes) = self.links.get_mut(&link) else {
            return;
        };
        if pipes.broken[1 - node] {
            return;
        }
        let at = pipes.pipes[node][socket].send(bytes, arrives);
        self.push(at, Ev::Arrive(link, node, socket));
    }

    pub fn send_data(&mut self, node: usize) {
        let mut buffer = std::mem::take(&mut self.send_buffer);
        self.send_what_is_due(node, &mut buffer);
        self.send_buffer = buffer;
    }

    fn send_what_is_due(&mut self, node: usize, buffer: &mut [u8]) {
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.scheduled.data = false;
        }
        loop {
            let now = self.now / 1000;
            let Some(link) = self.current_link(node) else {
                return;
            };
            let Some(life) = self.nodes[node].life.as_mut() else {
                return;
            };
            if life.sending.len() >= BATCH {
                return;
            }
            let Some(pipes) = self.links.get(&link) else {
                return;
            };
            if !pipes.broken[node] && pipes.pipes[node][DATA].unread() > self.setup.socket_room {
                let boot = self.nodes[node].boot;
                let wait = u64::from(self.nodes[node].net.timeout) * 100_000;
                let taken = pipes.pipes[node][DATA].taken();
                self.push(self.now + wait, Ev::Stall(node, boot, link, taken));
                return;
            }
            let broken = pipes.broken[node];
            let Some(outgoing) = life.engine.at(now).next_data_packet(buffer) else {
                break;
            };
            if outgoing.head == 0 || outgoing.head > buffer.len() {
                self.fail(format!("node {node}: a packet of {} bytes", outgoing.head));
                return;
            }
            let mut bytes = buffer[..outgoing.head].to_vec();
            self.coverage.packet(&bytes);
            let size = match outgoing.payload {
                Payload::None => 0,
                Payload::Request { size, .. } | Payload::PeerRequest { size, .. } => size,
            };
            let connection = life.engine.connection();
            let (protocol, features) = (connection.agreed_protocol(), connection.features());
            let wrong = Coverage::command(&bytes)
                .and_then(|(command, _)| misunderstands(command, protocol, features, size));
            if let Some(wrong) = wrong {
                self.fail(format!(
                    "node {node}: sends what no such peer knows: {wrong}"
                ));
                return;
            }
            self.setup.make_older(&mut bytes);
            let mut data = Vec::new();
            let sending = match outgoing.payload {
                Payload::None => None,
                Payload::Request {
                    device, request, ..
                } => {
                    let values = life.requests.get(&(device.0, request.to_u64()));
                    let Some(application) = values else {
                        self.fail(format!("node {node}: sends a request that ended"));
                        return;
                    };
                    data.extend(
                        application
                            .values
                            .iter()
                            .flat_map(|value| value.to_le_bytes()),
                    );
                    Some(Sending::Request(device, request))
                }
                Payload::PeerRequest {
                    device,
                    peer_request,
                    ..
                } => {
                    let Some(values) = life.peer_pages.get(&(device.0, peer_request.to_u64()))
                    else {
                        self.fail(format!("node {node}: sends pages that are gone"));
                        return;
                    };
                    data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                    Some(Sending::Reply(device, peer_request))
                }
            };
            // One word for all that goes together: until it comes, the engine does not know that anything has left.
            let word_is_due = !life.sending.is_empty();
            life.sending.extend(sending);
            let integrity = *life.engine.integrity();
            if sending.is_some() && integrity.size() > 0 {
                bytes.extend(digest(integrity.name(), &data));
                if std::mem::take(&mut self.damage[node]) {
                    let victim = self.rng.below(data.len() as u64 / 8) as usize;
                    data[victim * 8 + 7] |= (DAMAGE >> 56) as u8;
                    self.coverage.count("damaged packets");
                    if let Some(link) = self.links.get_mut(&link) {
                        link.damaged[node] = true;
                    }
                }
            }
            bytes.extend(data);
            if broken {
                self.word_of_sender(node, false);
                self.link_lost(node, ConnectionState::BrokenPipe);
                return;
            }
            if std::mem::take(&mut life.stalled) {
                life.engine.send_goes_on();
            }
            let is_resync = Coverage::command(&bytes)
                .is_some_and(|(command, _)| command == Command::ResyncDataReply.number());
            if !(is_resync && std::mem::take(&mut self.throw_away[node])) {
                self.put(node, link, DATA, bytes);
            }
            if sending.is_some() && !word_is_due {
                if self.rng.chance(30) {
                    let boot = self.nodes[node].boot;
                    let at = self.now + self.rng.range(1, 1000);
                    self.push(at, Ev::Sent(node, boot));
                    self.settle(node);
                    continue;
                }
                self.word_of_sender(node, true);
            }
            self.settle(node);
        }
        self.settle(node);
    }

    /// The socket has taken the pages, or will not.
    fn word_of_sender(&mut self, node: usize, success: bool) {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        for sending in std::mem::take(&mut life.sending) {
            let engine = life.engine.at(now);
            match sending {
                Sending::Request(device, id) => engine.request_sent(device, id, success),
                Sending::Reply(device, id) => engine.reply_sent(device, id, success),
            }
        }
        self.settle(node);
    }

    pub fn sent(&mut self, node: usize) {
        // A socket that took everything says so, even if it breaks in the same moment: the peer may have it all.
        let lost = self
            .current_link(node)
            .and_then(|link| self.links.get(&link))
            .is_none_or(|link| {
                link.broken[node] && (link.pipes[node][DATA].truncated || link.closed[1 - node])
            });
        self.word_of_sender(node, !lost);
        let closing = self.nodes[node]
            .life
            .as_ref()
            .is_some_and(|life| life.closing);
        if closing {
            self.receiver_ends(node);
        } else {
            self.schedule_send(node, DATA);
        }
    }

    /// The socket took nothing for a while: the engine decides whether that is too long.
    pub fn stalled(&mut self, node: usize, link: u32, taken: usize) {
        let now = self.now / 1000;
        let full = self
            .current_link(node)
            .filter(|current| *current == link)
            .and_then(|link| self.links.get(&link))
            .is_some_and(|link| {
                let pipe = &link.pipes[node][DATA];
                !link.broken[node]
                    && pipe.unread() > self.setup.socket_room
                    && pipe.taken() == taken
            });
        if full {
            if let Some(life) = self.nodes[node].life.as_mut() {
                life.stalled = true;
                life.engine.at(now).send_stalled();
            }
            self.settle(node);
        }
        self.schedule_send(node, DATA);
    }
}
