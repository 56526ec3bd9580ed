// SPDX-License-Identifier: GPL-2.0-only

//! The next packets for the meta socket.

use super::connection::{MetaItem, Phase};
use super::Resource;
use crate::wire::{BarrierAck, BlockAck, Command, Packet, RequestStateReply};

impl Resource<'_> {
    /// Fills `buffer` with the next bytes for the meta socket; `None` while there is nothing to send.
    ///
    /// `buffer` holds at least [`SEND_BUFFER`](super::SEND_BUFFER) bytes; many packets share it.
    pub fn next_meta_packets(&mut self, buffer: &mut [u8]) -> Option<usize> {
        if self.connection.phase == Phase::Down {
            return None;
        }
        let mut filled = 0usize;
        while let Some(rest) = buffer.get_mut(filled..) {
            if rest.len() < crate::wire::MAX_PACKET_HEAD {
                break;
            }
            let Some(item) = self.connection.meta_queue.pop() else {
                // Whoever was to be woken for these would find nothing.
                self.wishes.send_meta = false;
                break;
            };
            filled = filled.saturating_add(self.send_meta_item(item, rest).unwrap_or(0));
            self.wishes.room = true;
        }
        (filled > 0).then_some(filled)
    }

    fn send_meta_item(&mut self, item: MetaItem, buffer: &mut [u8]) -> Option<usize> {
        match item {
            MetaItem::None => None,
            MetaItem::Ping => self.encode(&Packet::Ping, 0, 0, buffer),
            MetaItem::PingAck => self.encode(&Packet::PingAck, 0, 0, buffer),
            MetaItem::BarrierAck { barrier, set_size } => self.encode(
                &Packet::BarrierAck(BarrierAck { barrier, set_size }),
                0,
                0,
                buffer,
            ),
            MetaItem::StateReply { device, code } => {
                let reply = RequestStateReply {
                    retcode: code.number(),
                };
                match device {
                    Some(index) => {
                        let volume = self.volume(index)?;
                        self.encode(&Packet::StateChangeReply(reply), volume, 0, buffer)
                    }
                    None => self.encode(&Packet::ConnStateChangeReply(reply), 0, 0, buffer),
                }
            }
            MetaItem::Block {
                command,
                device,
                sector,
                block_id,
                size,
                sequence,
            } => {
                let ack = BlockAck {
                    sector,
                    block_id,
                    size,
                    seq_num: sequence,
                };
                let packet = match command {
                    Command::RecvAck => Packet::RecvAck(ack),
                    Command::WriteAck => Packet::WriteAck(ack),
                    Command::ResyncWriteAck => Packet::ResyncWriteAck(ack),
                    Command::NegDataReply => Packet::NegDataReply(ack),
                    Command::NegResyncDataReply => Packet::NegResyncDataReply(ack),
                    Command::ResyncCancel => Packet::ResyncCancel(ack),
                    Command::ResyncIsInSync => Packet::ResyncIsInSync(ack),
                    Command::OvResult => Packet::OvResult(ack),
                    _ => Packet::NegAck(ack),
                };
                self.encode(&packet, self.volume(device)?, 0, buffer)
            }
        }
    }
}
