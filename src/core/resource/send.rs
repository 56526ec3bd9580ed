// SPDX-License-Identifier: GPL-2.0-only

//! The next bytes for the sockets.
//!
//! The data socket carries everything whose order the peer must see. Application I/O and control packets are queued
//! where they arise; barriers, bitmaps and resync requests are made when it is their turn, so that they never need more
//! memory than there is.

use super::connection::{DataItem, MetaItem, Phase};
use super::device::DeviceIndex;
use super::peer_request::{Purpose, Stage};
use super::request::{Io, Operation, Remote, Request, WaitFor};
use super::Resource;
use crate::slab::Id;
use crate::state::{ConnectionState, DiskState};
use crate::wire::{
    encode_packet, Barrier, BarrierAck, BlockAck, BlockDescriptor, BlockRequest, Command,
    ConnectionFeatures, Data, DataFlags, FeatureFlags, Packet, RequestState, RequestStateReply,
    State, SyncUuid, Trim, Zeroes, PROTOCOL_VERSION_FIRST_CONTACT,
};

/// Since this protocol there is more than one volume.
pub(super) const PROTOCOL_VERSION_VOLUMES: u32 = 100;

/// The payload that follows a packet's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// None.
    None,
    /// The data of an application's bio. Its pages stay until [`request_sent`](Resource::request_sent) is called, which
    /// must be done whether sending works or not.
    Request {
        /// The device.
        device: DeviceIndex,
        /// The request.
        request: Id,
        /// Bytes.
        size: u32,
        /// The pages may be lent to the network stack: they stay until the peer confirms.
        stays: bool,
        /// Bytes of the digest that the data begins with: see [`integrity`](Resource::integrity).
        digest: u32,
    },
    /// The pages of a peer request. They stay until [`reply_sent`](Resource::reply_sent) is called, which must be done
    /// whether sending works or not.
    PeerRequest {
        /// The device.
        device: DeviceIndex,
        /// The peer request.
        peer_request: Id,
        /// Bytes.
        size: u32,
        /// Bytes of the digest that the data begins with: see [`integrity`](Resource::integrity).
        digest: u32,
    },
}

/// Bytes to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// How many bytes of the buffer were filled.
    pub head: usize,
    /// What follows.
    pub payload: Payload,
}

impl Resource<'_> {
    /// Fills `buffer` with the next bytes for the data socket; `None` while there is nothing to send.
    ///
    /// `buffer` holds at least [`SEND_BUFFER`](super::SEND_BUFFER) bytes.
    pub fn next_data_packet(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        if self.connection.phase == Phase::Down {
            return None;
        }
        // Each turn takes an item off the queue, or sends.
        while let Some(item) = self.connection.data_queue.front().copied() {
            if self.waits_for_superblock(&item) {
                return None;
            }
            if let Some(outgoing) = self.barrier_before(&item, buffer) {
                return Some(outgoing);
            }
            if let DataItem::Bitmap(index) = item {
                if self.bitmap_is_outlived(index) {
                    self.connection.data_queue.pop();
                    self.room_in_data_queue();
                    continue;
                }
                let (head, finished) = self.next_bitmap_packet(index, buffer);
                if finished {
                    self.connection.data_queue.pop();
                    self.bitmap_sent(index);
                }
                if head > 0 {
                    return Some(Outgoing {
                        head,
                        payload: Payload::None,
                    });
                }
                continue;
            }
            self.connection.data_queue.pop();
            self.room_in_data_queue();
            if let Some(outgoing) = self.send_item(item, buffer) {
                return Some(outgoing);
            }
        }
        self.barrier_when_idle(buffer)
            .or_else(|| self.next_mark(buffer))
            .or_else(|| self.next_resync_request(buffer))
            .or_else(|| self.next_verify_request(buffer))
    }

    /// What a peer hears of our UUIDs is on our disk: it may write them to its own, and if we forgot them in a crash, both
    /// would take each other for strangers. Nothing overtakes them. A superblock that is written wakes the sender.
    fn waits_for_superblock(&self, item: &DataItem) -> bool {
        let (DataItem::Uuids(index) | DataItem::SyncUuid(index, _)) = *item else {
            return false;
        };
        self.device(index)
            .and_then(|device| device.disk.as_ref())
            .is_some_and(|disk| !disk.failed && disk.metadata.superblock_pending())
    }

    /// Requests that waited for room in a queue get another chance.
    pub(super) fn room_in_data_queue(&mut self) {
        self.wishes.room = true;
        let mut waits = false;
        for device in self.devices_mut() {
            if !device.waiting.is_empty() {
                device.retry_waiting = true;
                waits = true;
            }
        }
        self.progress |= waits;
    }

    /// Two epochs are kept apart by a barrier.
    fn barrier_before(&mut self, item: &DataItem, buffer: &mut [u8]) -> Option<Outgoing> {
        let sent = self.connection.sent_epoch?;
        let due = match *item {
            DataItem::Request(index, id) => {
                let request = self.request(index, id)?;
                request.logged && request.epoch != sent
            }
            // As long as a node is Ahead, nothing else may follow.
            DataItem::OutOfSync(.., epoch) => epoch != sent,
            _ => false,
        };
        if due {
            self.send_barrier(sent, buffer)
        } else {
            None
        }
    }

    /// Nothing follows for now: closed epochs need not wait for the next write.
    fn barrier_when_idle(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        let sent = self.connection.sent_epoch?;
        if sent == self.connection.epoch {
            return None;
        }
        self.send_barrier(sent, buffer)
    }

    fn send_barrier(&mut self, epoch: u32, buffer: &mut [u8]) -> Option<Outgoing> {
        self.connection.sent_epoch = None;
        self.plain(&Packet::Barrier(Barrier { barrier: epoch }), 0, buffer)
    }

    fn send_item(&mut self, item: DataItem, buffer: &mut [u8]) -> Option<Outgoing> {
        match item {
            DataItem::None | DataItem::Bitmap(_) => None,
            DataItem::Features => {
                let packet = Packet::ConnectionFeatures(ConnectionFeatures {
                    feature_flags: self.connection.offered,
                    ..ConnectionFeatures::ours()
                });
                let head = encode_packet(
                    &packet,
                    0,
                    0,
                    PROTOCOL_VERSION_FIRST_CONTACT,
                    FeatureFlags::NONE,
                    buffer,
                );
                Some(Outgoing {
                    head: head.ok()?,
                    payload: Payload::None,
                })
            }
            DataItem::AuthChallenge | DataItem::AuthResponse => {
                self.send_authentication(item, buffer)
            }
            DataItem::Protocol => {
                self.own_integrity_begins();
                self.plain(&Packet::Protocol(self.protocol_packet()?), 0, buffer)
            }
            DataItem::ProtocolUpdate => {
                self.own_integrity_begins();
                self.plain(&Packet::ProtocolUpdate(self.protocol_packet()?), 0, buffer)
            }
            DataItem::SyncParam(index) => {
                let packet = self.sync_param_packet(index)?;
                self.plain(&packet, self.volume(index)?, buffer)
            }
            DataItem::Sizes(index) => {
                let packet = Packet::Sizes(self.sizes_packet(index)?);
                self.plain(&packet, self.volume(index)?, buffer)
            }
            DataItem::Uuids(index) => {
                let packet = Packet::Uuids(self.take_uuids_packet(index)?);
                if let Some(device) = self.device_mut(index) {
                    device.skip_initial_sync = false;
                    device.introduced = true;
                    if device.state.connection >= ConnectionState::Connected {
                        device.discard_my_data = false;
                    }
                }
                self.plain(&packet, self.volume(index)?, buffer)
            }
            DataItem::State(index, state) => {
                if self.outlived(index, state) {
                    return None;
                }
                if self.lost_its_name(index, state) {
                    self.connection_failed(ConnectionState::NetworkFailure);
                    return None;
                }
                self.plain(&Packet::State(State { state }), self.volume(index)?, buffer)
            }
            DataItem::SyncUuid(index, uuid) => {
                if self.sync_uuid_is_outlived(index, uuid) {
                    return None;
                }
                let packet = Packet::SyncUuid(SyncUuid { uuid });
                self.plain(&packet, self.volume(index)?, buffer)
            }
            DataItem::StateRequest(index, change) => {
                let (mask, val) = change.to_wire();
                let request = RequestState { mask, val };
                match index {
                    Some(index) => {
                        let volume = self.volume(index)?;
                        self.plain(&Packet::StateChangeRequest(request), volume, buffer)
                    }
                    // Before protocol 100 there is one volume, and no word for the connection.
                    None if self.connection.agreed_protocol < PROTOCOL_VERSION_VOLUMES => {
                        self.plain(&Packet::StateChangeRequest(request), 0, buffer)
                    }
                    None => self.plain(&Packet::ConnStateChangeRequest(request), 0, buffer),
                }
            }
            DataItem::OutOfSync(index, sector, size, _) => {
                let packet = Packet::OutOfSync(BlockDescriptor { sector, size });
                self.plain(&packet, self.volume(index)?, buffer)
            }
            DataItem::Request(index, id) => self.send_request(index, id, buffer),
            DataItem::Reply(index, id) => self.send_reply(index, id, buffer),
        }
    }

    /// A disk that was about to be attached, and went before the peer heard of it: there are no UUIDs any more that
    /// would have to come first. What became of it follows in the queue.
    fn outlived(&self, index: DeviceIndex, state: u32) -> bool {
        let was_negotiating = crate::state::State::from_wire(state)
            .is_ok_and(|state| state.disk == DiskState::Negotiating);
        was_negotiating
            && self
                .device(index)
                .is_none_or(|device| device.state.disk < DiskState::Negotiating)
    }

    /// A disk that failed while we introduced ourselves: the peer would hear that there is a disk, and never whose data that
    /// is. It would take its own, which may be older, for the same. We introduce ourselves again, without a disk.
    fn lost_its_name(&self, index: DeviceIndex, state: u32) -> bool {
        let had_disk = crate::state::State::from_wire(state)
            .is_ok_and(|state| state.disk > DiskState::Negotiating);
        had_disk
            && self.device(index).is_some_and(|device| {
                !device.introduced && device.state.disk < DiskState::Negotiating
            })
    }

    fn volume(&self, index: DeviceIndex) -> Option<u16> {
        self.device(index).map(|device| device.volume)
    }

    /// A packet without payload.
    pub(super) fn plain(
        &self,
        packet: &Packet,
        volume: u16,
        buffer: &mut [u8],
    ) -> Option<Outgoing> {
        let head = self.encode(packet, volume, 0, buffer)?;
        Some(Outgoing {
            head,
            payload: Payload::None,
        })
    }

    pub(super) fn encode(
        &self,
        packet: &Packet,
        volume: u16,
        payload: u32,
        buffer: &mut [u8],
    ) -> Option<usize> {
        let connection = &self.connection;
        encode_packet(
            packet,
            volume,
            payload,
            connection.agreed_protocol,
            connection.features,
            buffer,
        )
        .ok()
    }

    fn send_request(&mut self, index: DeviceIndex, id: Id, buffer: &mut [u8]) -> Option<Outgoing> {
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
        request.submitted_at = now;
        if success {
            let sectors = request.io.sectors();
            if request.remote == Remote::Queued {
                device.set_remote(id, Remote::Sent);
            }
            device.counters.sent = device.counters.sent.saturating_add(sectors);
        }
        self.advance_request(index, id);
    }

    fn send_reply(&mut self, index: DeviceIndex, id: Id, buffer: &mut [u8]) -> Option<Outgoing> {
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
            device.resync_unconfirmed = device.resync_unconfirmed.saturating_add(1);
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
