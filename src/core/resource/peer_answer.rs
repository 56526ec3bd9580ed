// SPDX-License-Identifier: GPL-2.0-only

//! What the peer is told of its writes and reads.

use super::connection::MetaItem;
use super::device::DeviceIndex;
use super::peer_request::{PeerRequest, Purpose};
use super::Resource;
use crate::config::policy::Protocol;
use crate::state::ConnectionState;
use crate::wire::{Command, DataFlags};

impl<'m> Resource<'m> {
    /// A write of the peer is on the disk, or failed: says so, if the peer waits for that.
    pub(super) fn answer_write(
        &mut self,
        index: DeviceIndex,
        peer_request: &PeerRequest,
        success: bool,
    ) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if !success {
            device.set_out_of_sync(peer_request.sector, peer_request.size);
            if !peer_request.orphaned {
                self.acknowledge_peer_request(Command::NegAck, index, peer_request);
            }
            return;
        }
        if peer_request.orphaned {
            return;
        }
        let syncing = device.state.connection >= ConnectionState::SyncSource
            && device.state.connection <= ConnectionState::PausedSyncT;
        if syncing && peer_request.flags.contains(DataFlags::MAY_SET_IN_SYNC) {
            device.set_in_sync(peer_request.sector, peer_request.size);
            self.acknowledge_peer_request(Command::ResyncWriteAck, index, peer_request);
            self.resync_advanced(index);
        } else if self.wants_write_ack(peer_request) {
            self.acknowledge_peer_request(Command::WriteAck, index, peer_request);
        }
    }

    /// Whether the peer waits for the word that its data came: protocol B.
    pub(super) fn wants_receive_ack(&self, peer_request: &PeerRequest) -> bool {
        self.wants_ack(peer_request, DataFlags::SEND_RECEIVE_ACK, Protocol::B)
    }

    /// Whether the peer waits for the word that its data is on the disk: protocol C.
    pub(super) fn wants_write_ack(&self, peer_request: &PeerRequest) -> bool {
        self.wants_ack(peer_request, DataFlags::SEND_WRITE_ACK, Protocol::C)
    }

    /// Since protocol 100 the peer says with each write what it expects; before, both had the same configuration.
    fn wants_ack(&self, peer_request: &PeerRequest, flag: DataFlags, protocol: Protocol) -> bool {
        if self.connection.agreed_protocol >= 100 {
            peer_request.flags.contains(flag)
        } else {
            self.connection
                .conf
                .as_ref()
                .is_some_and(|conf| conf.wire_protocol == protocol)
        }
    }

    /// Room for answers beyond those that are owed already.
    pub(super) fn meta_room(&self) -> usize {
        let owed = self.peer_requests.saturating_add(64);
        self.connection.meta_queue.room().saturating_sub(owed)
    }

    /// Queues an answer about the whole range of a peer request.
    pub(super) fn acknowledge_peer_request(
        &mut self,
        command: Command,
        index: DeviceIndex,
        peer_request: &PeerRequest,
    ) {
        self.acknowledge(
            command,
            index,
            peer_request.sector,
            peer_request.block_id,
            peer_request.size,
            peer_request.sequence,
        );
    }

    /// Queues an answer for the meta socket. `block_id` and `sequence` are as the peer gave them.
    pub(super) fn acknowledge(
        &mut self,
        command: Command,
        device: DeviceIndex,
        sector: u64,
        block_id: u64,
        size: u32,
        sequence: u32,
    ) {
        self.send_meta(MetaItem::Block {
            command,
            device,
            sector,
            block_id,
            size,
            sequence,
        });
    }
}

/// What says that a read for this purpose failed.
pub(super) fn negative_answer(purpose: Purpose) -> Command {
    match purpose {
        Purpose::Read => Command::NegDataReply,
        _ => Command::NegResyncDataReply,
    }
}
