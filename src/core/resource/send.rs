// SPDX-License-Identifier: GPL-2.0-only

//! The next bytes for the sockets.
//!
//! The data socket carries everything whose order the peer must see. Application I/O and control packets are queued
//! where they arise; barriers, bitmaps and resync requests are made when it is their turn, so that they never need more
//! memory than there is.
//!
//! Here is the order of the data socket. Blocks are in [`super::send_block`], the meta socket in [`super::send_meta`].

use super::connection::{DataItem, Phase};
use super::device::DeviceIndex;
use super::Resource;
use crate::slab::Id;
use crate::state::{ConnectionState, DiskState};
use crate::wire::{
    encode_packet, Barrier, BlockDescriptor, ConnectionFeatures, FeatureFlags, Packet,
    RequestState, State, SyncUuid, PROTOCOL_VERSION_FIRST_CONTACT,
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
                if self.bitmap_was_broken_off(index) {
                    return None;
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
        let now = self.now;
        let connection = &mut self.connection;
        connection.sent_epoch = None;
        if connection.barriers == 0 {
            connection.barrier_at = now;
        }
        connection.barriers = connection.barriers.saturating_add(1);
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

    /// The volume number that the peer knows the device by.
    pub(super) fn volume(&self, index: DeviceIndex) -> Option<u16> {
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

    /// Writes a packet with its head to the buffer, `payload` bytes to follow; answers how many bytes that are.
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
}
