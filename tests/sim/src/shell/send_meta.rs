// SPDX-License-Identifier: GPL-2.0-only

//! The sender of the meta socket.

use drbd_core::state::ConnectionState;
use drbd_core::wire::Command;

use crate::coverage::Coverage;
use crate::dialect::misunderstands;
use crate::link::META;
use crate::world::World;

impl World<'_> {
    pub fn send_meta(&mut self, node: usize) {
        let mut buffer = std::mem::take(&mut self.send_buffer);
        self.send_answers(node, &mut buffer);
        self.send_buffer = buffer;
    }

    fn send_answers(&mut self, node: usize, buffer: &mut [u8]) {
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.scheduled.meta = false;
        }
        loop {
            let now = self.now / 1000;
            let Some(link) = self.current_link(node) else {
                return;
            };
            let Some(life) = self.nodes[node].life.as_mut() else {
                return;
            };
            let Some(filled) = life.engine.at(now).next_meta_packets(buffer) else {
                break;
            };
            let connection = life.engine.connection();
            let (protocol, features) = (connection.agreed_protocol(), connection.features());
            let commands = Coverage::commands(&buffer[..filled]);
            let wrong = commands
                .iter()
                .find_map(|command| misunderstands(*command, protocol, features, 0));
            if let Some(wrong) = wrong {
                self.fail(format!(
                    "node {node}: sends what no such peer knows: {wrong}"
                ));
                return;
            }
            self.coverage.packets(&buffer[..filled]);
            if self.no_lengths[node] {
                hide_lengths(&mut buffer[..filled]);
            }
            if self.links.get(&link).is_none_or(|link| link.broken[node]) {
                self.link_lost(node, ConnectionState::BrokenPipe);
                return;
            }
            self.put(node, link, META, buffer[..filled].to_vec());
        }
        self.settle(node);
    }
}

/// `blksize` of each `P_NEG_ACK` becomes 0: behind the sector and the block id.
fn hide_lengths(mut packets: &mut [u8]) {
    while let Some((command, length)) = Coverage::command(packets) {
        let (packet, others) = packets.split_at_mut(length);
        if command == Command::NegAck.number() {
            let body = packet.len() - 24;
            packet[body + 16..body + 20].fill(0);
        }
        packets = others;
    }
}
