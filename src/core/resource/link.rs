// SPDX-License-Identifier: GPL-2.0-only

//! The life of the link: from no sockets to both, and back.
//!
//! The receiver thread goes round: [`begin_connecting`](Resource::begin_connecting), sockets,
//! [`link_up`](Resource::link_up), packets, sockets closed and nobody using them any more,
//! [`link_down`](Resource::link_down), wait until [`link_is_drained`](Resource::link_is_drained),
//! [`link_closed`](Resource::link_closed).

use super::authenticate::{Authentication, OWN_CHALLENGE};
use super::connection::DataItem;
use super::connection::Phase;
use super::device::{BitmapExchange, DeviceIndex, Resync};
use super::effect::Event;
use super::integrity::Integrity;
use super::log::LogMessage;
use super::peer_request::Stage;
use super::request::Remote;
use super::Resource;
use crate::num::u32_to_usize;
use crate::slab::Id;
use crate::state::{Change, ConnectionState};
use crate::wire::{Command, FeatureFlags, PROTOCOL_VERSION_FIRST_CONTACT};

/// What the receiver does after a link has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLink {
    /// Connect again.
    Reconnect,
    /// End: the connection is StandAlone.
    Stop,
}

impl Resource<'_> {
    /// The receiver is about to look for the peer. False where it shall not.
    pub fn begin_connecting(&mut self) -> bool {
        if self.connection.state != ConnectionState::Unconnected
            && self.connection.state != ConnectionState::WFConnection
        {
            return false;
        }
        self.change_connection(
            Change::none().connection(ConnectionState::WFConnection),
            false,
        )
        .is_ok()
    }

    /// Both sockets lead to the peer. `resolve_conflicts`: this node accepted the meta socket. `challenge`: random bytes
    /// that nobody can guess, for the peer to sign.
    pub fn link_up(&mut self, resolve_conflicts: bool, challenge: [u8; OWN_CHALLENGE]) -> bool {
        if self.connection.state != ConnectionState::WFConnection
            || self.connection.phase != Phase::Down
        {
            return false;
        }
        let now = self.now;
        let offered = self.features_to_offer();
        let connection = &mut self.connection;
        connection.phase = Phase::Features;
        connection.agreed_protocol = PROTOCOL_VERSION_FIRST_CONTACT;
        connection.features = FeatureFlags::NONE;
        connection.integrity = Integrity::NONE;
        connection.peer_integrity = Integrity::NONE;
        connection.offered = offered;
        connection.authentication = Authentication::new(challenge);
        connection.resolve_conflicts = resolve_conflicts;
        connection.state_sent = false;
        connection.peer_dry_run = false;
        connection.barrier_lost = false;
        connection.last_received = now;
        connection.ping_sent = None;
        connection.pings = 0;
        connection.pings_answered = 0;
        connection.stalls = 0;
        connection.given_up = false;
        self.broken = false;
        self.send_data(DataItem::Features);
        self.wishes.timer = true;
        true
    }

    /// Whether both nodes know which protocol the other speaks: before that nothing on the meta socket can be read.
    pub fn is_introduced(&self) -> bool {
        matches!(self.connection.phase, Phase::Protocol | Phase::Open)
    }

    /// The sockets are to be shut, once for each link: the worker hears of it when the helper that it calls has ended, and
    /// that may take minutes.
    pub(super) fn shut_sockets(&mut self) {
        let up = self.connection.phase != Phase::Down;
        if up && self.connection.given_up {
            return;
        }
        // An order that finds no room is given again by the timer.
        self.connection.given_up = up && self.events.room() > 0;
        self.event(Event::ShutSockets);
    }

    /// Whether the link that is up is to be shut. The worker asks, which may be late: there may be the next one by now.
    pub fn link_is_given_up(&self) -> bool {
        self.connection.phase != Phase::Down && self.connection.given_up
    }

    /// The link broke, or the peer does not keep to the protocol. The sockets are shut; the receiver will call
    /// [`link_down`](Self::link_down).
    pub fn link_failed(&mut self, state: ConnectionState) {
        self.connection_failed(state);
    }

    /// The sockets are closed and nobody uses them.
    pub fn link_down(&mut self) {
        if self.connection.phase == Phase::Down {
            return;
        }
        self.connection_failed(ConnectionState::NetworkFailure);
        self.connection.phase = Phase::Down;
        self.connection.state_sent = false;
        self.connection.data_queue.clear();
        self.connection.meta_queue.clear();
        self.connection.sent_epoch = None;
        self.connection.barriers = 0;
        self.connection.epoch = self.connection.epoch.wrapping_add(1);
        self.connection.epoch_writes = 0;
        self.lose_transfer_log();
        for index in self.indices() {
            if self.device(index).is_some() {
                self.lose_reads(index);
                self.orphan_peer_requests(index);
                self.forget_peer(index);
            }
        }
        self.recheck_operation();
        self.log(None, LogMessage::ConnectionClosed);
        self.progress = true;
        self.wishes.room = true;
    }

    /// The peer has begun what was no result of the comparison here, and each would wait for the other for ever: both compare anew.
    pub(super) fn compare_anew(&mut self, index: DeviceIndex, command: Command, why: &'static str) {
        let name = command.name();
        self.log(index, LogMessage::BadPacket { name, why });
        self.connection_failed(ConnectionState::NetworkFailure);
    }

    /// Writes that the peer has not confirmed to be on stable storage are out of sync.
    fn lose_transfer_log(&mut self) {
        while let Some(entry) = self.connection.transfer_log.pop() {
            let Some(device) = self.device_mut(entry.device) else {
                continue;
            };
            let Some(request) = device.requests.get_mut(entry.request) else {
                continue;
            };
            request.logged = false;
            request.in_sync_at_peer = false;
            let io = request.io;
            if request.remote != Remote::Done {
                device.set_remote(entry.request, Remote::Lost);
            }
            device.set_out_of_sync(io.sector, io.size);
            self.advance_request(entry.device, entry.request);
        }
    }

    /// Reads that the peer should have served.
    fn lose_reads(&mut self, index: DeviceIndex) {
        let capacity = self
            .device(index)
            .map_or(0, |device| device.requests.capacity());
        for position in 0..capacity {
            let Some(device) = self.device_mut(index) else {
                return;
            };
            let id = device.requests.at(position).map(|(id, _)| id);
            let Some(id) = id else {
                continue;
            };
            if let Some(request) = device.requests.get_mut(id) {
                if matches!(
                    request.remote,
                    Remote::Queued | Remote::Sent | Remote::Received
                ) {
                    device.set_remote(id, Remote::Lost);
                    self.advance_request(index, id);
                }
            }
        }
    }

    /// What the disk still does for the peer is brought to an end, but nobody is told.
    fn orphan_peer_requests(&mut self, index: DeviceIndex) {
        let capacity = self
            .device(index)
            .map_or(0, |device| device.peer_requests.capacity());
        for position in 0..capacity {
            let Some(device) = self.device_mut(index) else {
                return;
            };
            let found = device
                .peer_requests
                .at(position)
                .map(|(id, request)| (id, *request));
            let Some((id, peer_request)) = found else {
                continue;
            };
            if let Some(peer_request) = device.peer_requests.get_mut(id) {
                peer_request.orphaned = true;
            }
            let unsent = peer_request.stage == Stage::Replying && !peer_request.sending;
            if matches!(peer_request.stage, Stage::Requested | Stage::Answered) || unsent {
                self.release_peer_request(index, id);
            }
        }
    }

    fn forget_peer(&mut self, index: DeviceIndex) {
        if let Some(device) = self.device_mut(index) {
            device.peer.uuids = None;
            device.resync_unconfirmed = 0;
            device.resync = Resync::default();
            device.exchange = BitmapExchange::default();
            device.sync_wanted = None;
            device.consider_resync = false;
            device.retry_waiting = true;
        }
        self.start_bitmap_write(index);
    }

    /// Whether nothing is left of the link: no work for the peer is under way, and the worker has heard of so much that there is
    /// room for the next link. While it waits for a helper a peer may come and go, and each time there is more to tell.
    pub fn link_is_drained(&self) -> bool {
        let epochs = &self.connection.epochs;
        let reconnects = self.connection.state > ConnectionState::Disconnecting;
        self.connection.phase == Phase::Down
            && !(reconnects && self.is_behind_with_events())
            // A flush that ends later would count for an epoch of the next link.
            && (0..epochs.len())
                .filter_map(|offset| epochs.get(offset))
                .all(|epoch| epoch.flushing == 0)
            && self
                .present()
                .all(|(_, device)| device.peer_requests.is_empty())
    }

    /// Somebody waits for something that [`Wishes::room`](super::Wishes::room) tells of, such as the end of what the disk
    /// still does for a link.
    pub fn wait_for_room(&mut self) {
        self.room_wanted = true;
    }

    /// The last thing that a receiver does with a link, once it is drained.
    pub fn link_closed(&mut self) -> AfterLink {
        self.connection.epochs.clear();
        if self.connection.state >= ConnectionState::Unconnected {
            let _ = self.change_connection(
                Change::none().connection(ConnectionState::Unconnected),
                true,
            );
            return AfterLink::Reconnect;
        }
        let _ =
            self.change_connection(Change::none().connection(ConnectionState::StandAlone), true);
        self.connection.conf = None;
        self.connection.receiver_running = false;
        self.log(None, LogMessage::ReceiverTerminated);
        self.wishes.operations = true;
        AfterLink::Stop
    }

    /// Whether a request, by its place in the table, is still the shell's: for the audit of a shell.
    pub fn request_at(&self, index: DeviceIndex, position: u32) -> Option<Id> {
        let device = self.device(index)?;
        device.requests.at(u32_to_usize(position)).map(|(id, _)| id)
    }
}
