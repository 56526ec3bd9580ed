// SPDX-License-Identifier: GPL-2.0-only

//! Blocks on the data socket: what applications write and read, and what the peer asked for.

use super::device::DeviceIndex;
use super::peer_request::{Purpose, Stage};
use super::request::{Io, Operation, Remote, Request, WaitFor};
use super::send::{Outgoing, Payload};
use super::Resource;
use crate::slab::Id;
use crate::wire::{
    BlockDescriptor, BlockRequest, Data, DataFlags, FeatureFlags, Packet, Trim, Zeroes,
};

impl Resource<'_> {
    /// What an application wrote, or wants to read from the peer.
    pub(super) fn send_request(
        &mut self,
        index: DeviceIndex,
        id: Id,
        buffer: &mut [u8],
    ) -> Option<Outgoing> {
        let now = self.now;
        let agreed = self.connection.agreed_protocol;
        let features = self.connection.features;
        let digest = self.connection.integrity.size();
        let device = self.device_mut(index)?;
        let request = device.requests.get_mut(id)?;
        if request.remote != Remote::Queued {
            return None;
        }
        let volume = device.volume;
        let io = request.io;
        let packet = if io.is_write() {
            device.sequence = device.sequence.wrapping_add(1);
            write_packet(request, id, device.sequence, agreed, features)
        } else {
            Packet::DataRequest(BlockRequest {
                sector: io.sector,
                block_id: id.to_u64(),
                size: io.size,
            })
        };
        let payload = if io.operation == Operation::Write {
            io.size
        } else {
            0
        };
        let (epoch, stays) = (request.epoch, request.wait_for == WaitFor::Written);
        let length = if payload == 0 {
            0
        } else {
            payload.saturating_add(digest)
        };
        let Some(head) = self.encode(&packet, volume, length, buffer) else {
            // Without it nobody would ever hear of the end.
            self.break_down();
            return None;
        };
        let device = self.device_mut(index)?;
        if io.is_write() {
            if let Some(request) = device.requests.get_mut(id) {
                request.sending = true;
                request.handed_over = true;
            }
            self.connection.sent_epoch = Some(epoch);
        } else {
            device.set_remote(id, Remote::Sent);
            if let Some(request) = device.requests.get_mut(id) {
                request.asked_at = now;
            }
        }
        if payload == 0 {
            if io.is_write() {
                self.request_sent(index, id, true);
            }
            return Some(Outgoing {
                head,
                payload: Payload::None,
            });
        }
        Some(Outgoing {
            head,
            payload: Payload::Request {
                device: index,
                request: id,
                size: payload,
                stays,
                digest,
            },
        })
    }

    /// The socket has taken the pages of a request, or failed to.
    pub fn request_sent(&mut self, index: DeviceIndex, id: Id, success: bool) {
        let now = self.now;
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let Some(request) = device.requests.get_mut(id) else {
            return;
        };
        request.sending = false;
        request.asked_at = now;
        if success {
            // Of zeros and discards only a word is sent.
            let sectors = match request.io.operation {
                Operation::Write => request.io.sectors(),
                _ => 0,
            };
            if request.remote == Remote::Queued {
                device.set_remote(id, Remote::Sent);
            }
            device.counters.sent = device.counters.sent.saturating_add(sectors);
        }
        self.advance_request(index, id);
    }

    /// What the peer asked to read.
    pub(super) fn send_reply(
        &mut self,
        index: DeviceIndex,
        id: Id,
        buffer: &mut [u8],
    ) -> Option<Outgoing> {
        let device = self.device_mut(index)?;
        let volume = device.volume;
        let peer_request = device.peer_requests.get_mut(id)?;
        if peer_request.stage != Stage::Replying {
            return None;
        }
        if peer_request.purpose.algorithm().is_some()
            && !peer_request.purpose.needs_data_after_digest()
        {
            return self.send_digest(index, id, buffer);
        }
        let data = Data {
            sector: peer_request.sector,
            block_id: peer_request.block_id,
            seq_num: 0,
            flags: DataFlags::NONE,
        };
        let size = peer_request.size;
        if peer_request.purpose != Purpose::Read {
            device.resync_unconfirmed = device.resync_unconfirmed.saturating_add(1);
        }
        if peer_request.thin && peer_request.zeros {
            let sector = peer_request.sector;
            self.release_peer_request(index, id);
            let block = BlockDescriptor { sector, size };
            let head = self.encode(&Packet::ResyncDeallocated(block), volume, 0, buffer)?;
            return Some(Outgoing {
                head,
                payload: Payload::None,
            });
        }
        let packet = if peer_request.purpose == Purpose::Read {
            Packet::DataReply(data)
        } else {
            Packet::ResyncDataReply(data)
        };
        let digest = self.connection.integrity.size();
        let head = self.encode(&packet, volume, size.saturating_add(digest), buffer);
        let Some(head) = head else {
            self.break_down();
            return None;
        };
        self.peer_request_mut(index, id)?.sending = true;
        Some(Outgoing {
            head,
            payload: Payload::PeerRequest {
                device: index,
                peer_request: id,
                size,
                digest,
            },
        })
    }

    /// The socket has taken the pages of a peer request, or failed to.
    pub fn reply_sent(&mut self, index: DeviceIndex, id: Id, success: bool) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let Some(peer_request) = device.peer_requests.get_mut(id) else {
            return;
        };
        peer_request.sending = false;
        if success {
            let sectors = peer_request.sectors();
            device.counters.sent = device.counters.sent.saturating_add(sectors);
        }
        self.release_peer_request(index, id);
    }
}

fn write_packet(
    request: &Request,
    id: Id,
    seq_num: u32,
    agreed: u32,
    features: FeatureFlags,
) -> Packet {
    let Io {
        operation,
        sector,
        size,
        ..
    } = request.io;
    let flags = write_flags(request, agreed, features);
    let block_id = id.to_u64();
    match operation {
        Operation::Discard => Packet::Trim(Trim {
            sector,
            block_id,
            seq_num,
            flags,
            size,
        }),
        Operation::WriteZeroes if features.contains(FeatureFlags::WZEROES) => {
            Packet::Zeroes(Zeroes {
                sector,
                block_id,
                seq_num,
                flags,
                size,
            })
        }
        Operation::WriteZeroes => Packet::Trim(Trim {
            sector,
            block_id,
            seq_num,
            flags,
            size,
        }),
        _ => Packet::Data(Data {
            sector,
            block_id,
            seq_num,
            flags,
        }),
    }
}

fn write_flags(request: &Request, agreed: u32, features: FeatureFlags) -> DataFlags {
    let io = &request.io;
    let zeroes = io.operation == Operation::WriteZeroes;
    let understands_zeroes = features.contains(FeatureFlags::WZEROES);
    let discard =
        io.operation == Operation::Discard || (zeroes && (io.unmap || !understands_zeroes));
    let written = request.wait_for == WaitFor::Written || request.may_set_in_sync;
    let flags = DataFlags::NONE
        .with_if(io.sync, DataFlags::RW_SYNC)
        .with_if(request.may_set_in_sync, DataFlags::MAY_SET_IN_SYNC)
        .with_if(io.fua, DataFlags::FUA)
        .with_if(io.preflush, DataFlags::FLUSH)
        .with_if(discard, DataFlags::DISCARD)
        .with_if(zeroes && understands_zeroes, DataFlags::ZEROES)
        .with_if(
            agreed >= 100 && request.wait_for == WaitFor::Received,
            DataFlags::SEND_RECEIVE_ACK,
        )
        .with_if(agreed >= 100 && written, DataFlags::SEND_WRITE_ACK);
    if agreed >= 95 {
        flags
    } else {
        flags.intersection(DataFlags::RW_SYNC.union(DataFlags::MAY_SET_IN_SYNC))
    }
}
