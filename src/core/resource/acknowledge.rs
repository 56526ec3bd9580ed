// SPDX-License-Identifier: GPL-2.0-only

//! What comes in on the meta socket: the peer's answers, and pings.

use super::connection::{LogEntry, MetaItem};
use super::device::DeviceIndex;
use super::log::LogMessage;
use super::receive::{Head, ReceiveError, Received};
use super::request::{Io, Local, Operation, Remote};
use super::submit::mirrors;
use super::Resource;
use crate::slab::Id;
use crate::state::{ConnectionState, DiskState, StateCode};
use crate::wire::block::ID_SYNCER;
use crate::wire::{BarrierAck, BlockAck, Command, Data, Packet};

/// Why an answer cannot be accepted: the connection is given up.
pub type AckError = ReceiveError;

impl Resource<'_> {
    /// Takes the fixed part of a packet from the meta socket. None of them has a payload.
    pub fn receive_meta(&mut self, head: Head, fixed: &[u8]) -> Result<(), AckError> {
        let connection = &self.connection;
        let packet = Packet::decode(
            head.command,
            fixed,
            connection.agreed_protocol,
            connection.features,
        )
        .map_err(|_| ReceiveError::Malformed("cannot be decoded"))?;
        let result = self.dispatch_meta(head, packet);
        if let Err(ReceiveError::Malformed(why)) = result {
            self.log(
                None,
                LogMessage::BadPacket {
                    name: head.command.name(),
                    why,
                },
            );
        }
        result
    }

    fn dispatch_meta(&mut self, head: Head, packet: Packet) -> Result<(), AckError> {
        match packet {
            Packet::Ping => {
                self.send_meta(MetaItem::PingAck);
                Ok(())
            }
            Packet::PingAck => {
                self.ping_acknowledged();
                Ok(())
            }
            Packet::BarrierAck(ack) => self.barrier_acknowledged(ack),
            Packet::ConnStateChangeReply(reply) => {
                self.operation_answered(None, StateCode::from_number(reply.retcode));
                Ok(())
            }
            Packet::DelayProbe(_) => Ok(()),
            packet => {
                let index = self
                    .device_of_volume(head.volume)
                    .ok_or(ReceiveError::UnknownVolume)?;
                self.dispatch_block_ack(index, packet)
            }
        }
    }

    fn dispatch_block_ack(&mut self, index: DeviceIndex, packet: Packet) -> Result<(), AckError> {
        match packet {
            Packet::StateChangeReply(reply) => {
                self.operation_answered(Some(index), StateCode::from_number(reply.retcode));
                Ok(())
            }
            Packet::RecvAck(ack) => self.write_acknowledged(index, ack, Remote::Received),
            Packet::WriteAck(ack) => self.write_acknowledged(index, ack, Remote::Done),
            Packet::ResyncWriteAck(ack) => self.resync_write_acknowledged(index, ack),
            Packet::ResyncIsInSync(ack) => self.checksum_was_equal(index, ack),
            Packet::OvResult(ack) => self.receive_verify_result(index, ack),
            Packet::NegAck(ack) => self.negative_acknowledged(index, ack),
            Packet::NegDataReply(ack) => self.read_refused(index, ack),
            Packet::NegResyncDataReply(ack) => self.resync_read_refused(index, ack, true),
            Packet::ResyncCancel(ack) => self.resync_read_refused(index, ack, false),
            _ => Err(ReceiveError::Unexpected),
        }
    }

    fn write_acknowledged(
        &mut self,
        index: DeviceIndex,
        ack: BlockAck,
        state: Remote,
    ) -> Result<(), AckError> {
        let request = Id::from_u64(ack.block_id)
            .and_then(|id| self.request_mut(index, id).map(|request| (id, request)));
        let Some((id, request)) = request else {
            return Err(ReceiveError::Malformed(
                "an answer to something that was never asked",
            ));
        };
        if !request.io.is_write() || request.io.sector != ack.sector || !request.logged {
            return Err(ReceiveError::Malformed("an answer about another block"));
        }
        match request.remote {
            // The answer may overtake the word of the socket that the data has left, or that it failed with some of what went
            // together.
            Remote::Queued if request.handed_over => {}
            Remote::Sent | Remote::Received => {}
            _ => return Err(ReceiveError::Malformed("a second answer")),
        }
        self.set_remote(index, id, state);
        self.advance_request(index, id);
        Ok(())
    }

    /// The peer's part of a request changes. Reads, and a verify, may wait for what the peer has not confirmed.
    fn set_remote(&mut self, index: DeviceIndex, id: Id, remote: Remote) {
        if let Some(device) = self.device_mut(index) {
            let before = device.unconfirmed;
            device.set_remote(id, remote);
            let confirmed = device.unconfirmed < before;
            self.progress |= confirmed && (device.retry_if_any_wait() || device.verify.waits());
        }
    }

    fn resync_write_acknowledged(
        &mut self,
        index: DeviceIndex,
        ack: BlockAck,
    ) -> Result<(), AckError> {
        if ack.block_id == ID_SYNCER {
            self.check_range(index, &ack)?;
            self.resync_confirmed(index);
            self.peer_is_in_sync(index, ack.sector, ack.size);
            return Ok(());
        }
        let io = self.io_answered(index, &ack);
        let own_disk_writes = self.own_disk_writes(index, ack.block_id);
        self.write_acknowledged(index, ack, Remote::Done)?;
        if let Some(io) = io.filter(|_| !own_disk_writes) {
            self.peer_is_in_sync(index, io.sector, io.size);
        }
        Ok(())
    }

    /// What an application wants that the peer answers here.
    fn io_answered(&self, index: DeviceIndex, ack: &BlockAck) -> Option<Io> {
        let id = Id::from_u64(ack.block_id)?;
        self.request(index, id).map(|request| request.io)
    }

    /// The disk of a target is slower than its peer's: its blocks are not equal before it has written them, too. Notes that the peer
    /// has.
    fn own_disk_writes(&mut self, index: DeviceIndex, block_id: u64) -> bool {
        let is_target = self
            .device(index)
            .is_some_and(|device| device.state.disk == DiskState::Inconsistent);
        let request = Id::from_u64(block_id).and_then(|id| self.request_mut(index, id));
        let Some(request) = request.filter(|request| request.local == Local::Pending) else {
            return false;
        };
        request.in_sync_at_peer = is_target;
        is_target
    }

    /// Both nodes are going to tell each other anew which blocks differ. A block that the own disk has not written is among them, and
    /// is equal when the resync says so: the source, which keeps its mark, would wait for it for ever.
    pub(super) fn forget_writes_of_peer(&mut self, index: DeviceIndex) {
        if let Some(device) = self.device_mut(index) {
            for (_, request) in device.requests.iter_mut() {
                request.in_sync_at_peer = false;
            }
        }
    }

    /// The own disk has written what the peer had written before.
    pub(super) fn own_disk_has_written(&mut self, index: DeviceIndex, id: Id) {
        let written = self
            .request(index, id)
            .filter(|request| request.in_sync_at_peer && request.remote == Remote::Done)
            .map(|request| request.io);
        if let Some(io) = written {
            self.peer_is_in_sync(index, io.sector, io.size);
        }
    }

    /// The peer has taken what was sent for a resync, or could not.
    fn resync_confirmed(&mut self, index: DeviceIndex) {
        if let Some(device) = self.device_mut(index) {
            device.resync_unconfirmed = device.resync_unconfirmed.saturating_sub(1);
        }
    }

    /// Blocks are equal at this moment of the peer. A node that is Ahead may have written to them since, and so may one whose
    /// peer is leaving, or gave its disk up: what is written without the peer stays marked.
    fn peer_is_in_sync(&mut self, index: DeviceIndex, sector: u64, size: u32) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if device.state.connection == ConnectionState::Ahead {
            return self.peer_forgot_marks(index);
        }
        if !mirrors(&device.state) {
            return;
        }
        device.set_in_sync(sector, size);
        self.resync_advanced(index);
    }

    /// `P_NEG_ACK`: the peer's disk failed, or it has none.
    ///
    /// What the peer lacks is what was asked of it: 8.4 without a disk answers a discard, or zeros, with a length of 0.
    fn negative_acknowledged(&mut self, index: DeviceIndex, ack: BlockAck) -> Result<(), AckError> {
        self.log(
            index,
            LogMessage::NegativeAnswer {
                name: Command::NegAck.name(),
                sector: ack.sector,
            },
        );
        if ack.block_id == ID_SYNCER {
            self.check_range(index, &ack)?;
            self.resync_confirmed(index);
            self.resync_block_failed(index, ack.sector, ack.size);
            return Ok(());
        }
        if let Some(io) = self.io_answered(index, &ack) {
            if let Some(device) = self.device_mut(index) {
                device.set_out_of_sync(io.sector, io.size);
            }
        }
        self.peer_lacks_a_write(index);
        let by_former_disk = self.refused_by_former_disk(index, ack.block_id);
        let refused = self.refused_write(index);
        self.write_acknowledged(index, ack, refused)?;
        if by_former_disk {
            self.connection_failed(ConnectionState::NetworkFailure);
        }
        Ok(())
    }

    /// Whether the disk that refused a write was given up, and another is being brought in sync: our bitmap was sent before this mark, and the
    /// target would be done without the block. The bitmaps have to be exchanged anew.
    fn refused_by_former_disk(&self, index: DeviceIndex, block_id: u64) -> bool {
        let request = Id::from_u64(block_id).and_then(|id| self.request(index, id));
        let (Some(device), Some(request)) = (self.device(index), request) else {
            return false;
        };
        let connection = device.state.connection;
        connection == ConnectionState::WFBitMapS
            || (connection.is_sync_source() && request.started_at <= device.resync.started_at)
    }

    /// `P_NEG_DREPLY`: the peer cannot read what an application wants.
    fn read_refused(&mut self, index: DeviceIndex, ack: BlockAck) -> Result<(), AckError> {
        let name = Command::NegDataReply.name();
        let id = self.awaited_read(index, ack.block_id, ack.sector)?;
        self.log(
            index,
            LogMessage::NegativeAnswer {
                name,
                sector: ack.sector,
            },
        );
        self.set_remote(index, id, Remote::Failed);
        self.advance_request(index, id);
        Ok(())
    }

    fn awaited_read(
        &mut self,
        index: DeviceIndex,
        block_id: u64,
        sector: u64,
    ) -> Result<Id, AckError> {
        let id = Id::from_u64(block_id).ok_or(ReceiveError::Malformed("no such request"))?;
        let request = self.request_mut(index, id).ok_or(ReceiveError::Malformed(
            "an answer to something that was never asked",
        ))?;
        let waits = request.io.operation == Operation::Read
            && request.remote == Remote::Sent
            && request.io.sector == sector;
        if waits {
            Ok(id)
        } else {
            Err(ReceiveError::Malformed("an answer about another block"))
        }
    }

    /// `P_DATA_REPLY`
    pub(super) fn receive_read_reply(
        &mut self,
        index: DeviceIndex,
        data: Data,
        size: u32,
    ) -> Result<Received, ReceiveError> {
        let id = self.awaited_read(index, data.block_id, data.sector)?;
        let request = self
            .request_mut(index, id)
            .ok_or(ReceiveError::Malformed("no such request"))?;
        if request.io.size != size {
            return Err(ReceiveError::Malformed("not as much data as was asked for"));
        }
        // The pages of the bio are being filled: nobody may end it meanwhile.
        request.sending = true;
        Ok(Received::ReadReply {
            device: index,
            request: id,
            size,
            digest: self.connection.peer_integrity.size(),
        })
    }

    /// The payload of a read reply is in the bio, or will never be.
    pub fn read_reply_received(&mut self, index: DeviceIndex, id: Id, success: bool) {
        if let Some(request) = self.request_mut(index, id) {
            request.sending = false;
            let sectors = request.io.sectors();
            let waits = request.remote == Remote::Sent;
            let remote = if success { Remote::Done } else { Remote::Lost };
            if waits {
                self.set_remote(index, id, remote);
            }
            if let Some(device) = self.device_mut(index) {
                device.counters.received = device.counters.received.saturating_add(sectors);
            }
        }
        self.advance_request(index, id);
    }

    /// `P_BARRIER_ACK`: an epoch is on stable storage at the peer.
    fn barrier_acknowledged(&mut self, ack: BarrierAck) -> Result<(), AckError> {
        let mut count = 0u32;
        while let Some(entry) = self.connection.transfer_log.front().copied() {
            if entry.epoch != ack.barrier {
                break;
            }
            self.connection.transfer_log.pop();
            count = count.saturating_add(1);
            self.write_is_stable(entry)?;
        }
        if count != ack.set_size {
            return Err(ReceiveError::Malformed(
                "an epoch with another number of writes",
            ));
        }
        self.connection.barriers = self.connection.barriers.saturating_sub(1);
        self.connection.barrier_at = self.now;
        self.room_in_data_queue();
        Ok(())
    }

    fn write_is_stable(&mut self, entry: LogEntry) -> Result<(), AckError> {
        let LogEntry {
            device: index,
            request: id,
            ..
        } = entry;
        let Some(request) = self.request_mut(index, id) else {
            return Ok(());
        };
        request.logged = false;
        match request.remote {
            // Protocol A has no other answer than this one.
            Remote::Sent | Remote::Received => self.set_remote(index, id, Remote::Done),
            // The barrier may have gone in the same batch: its answer, too, may overtake the word of the socket.
            Remote::Queued if request.handed_over => self.set_remote(index, id, Remote::Done),
            Remote::Queued => return Err(ReceiveError::Malformed("an epoch that was not sent")),
            _ => {}
        }
        self.advance_request(index, id);
        Ok(())
    }

    fn check_range(&self, index: DeviceIndex, ack: &BlockAck) -> Result<(), AckError> {
        let inside = self.device(index).is_some_and(|device| {
            ack.size % 512 == 0 && device.holds(ack.sector, u64::from(ack.size >> 9))
        });
        if inside {
            Ok(())
        } else {
            Err(ReceiveError::Malformed("a range outside the device"))
        }
    }
}
