// SPDX-License-Identifier: GPL-2.0-only

//! A resource: its volumes, its connection, and everything that happens to them.
//!
//! # The contract with the shell
//!
//! The shell (the kernel module, or the simulator) owns a [`Resource`] behind one lock. It
//!
//! * tells the engine what happened, by calling a method, each of which is bounded and never sleeps; first
//!   [`at`](Resource::at) with the time in milliseconds;
//! * before it drops the lock, or after taking it again, takes what the engine wants done: completions
//!   ([`next_completion`](Resource::next_completion), in any context), block I/O
//!   ([`next_effect`](Resource::next_effect), where sleeping is allowed), events
//!   ([`next_event`](Resource::next_event), by the worker alone, in order), and carries it out **without** the lock;
//! * asks the engine for the next bytes to send ([`next_data_packet`](Resource::next_data_packet),
//!   [`next_meta_packet`](Resource::next_meta_packet)) whenever the socket may take more;
//! * looks at [`wishes`](Resource::take_wishes) to know whom to wake.
//!
//! Payload never passes through: a [`request`](request::Request) stands for the bio that the shell keeps under the
//! same number, a [`peer request`](peer_request::PeerRequest) for pages.
//!
//! When a queue has no room, the engine takes nothing new ([`Admission::Wait`], [`Received::Wait`]) until the shell has
//! drained it.

pub mod connection;
pub mod dependency;
pub mod device;
pub mod digest;
pub mod effect;
pub mod log;
pub mod peer_request;
pub mod request;

mod acknowledge;
mod activity;
mod administer;
mod ahead;
pub mod algorithms;
mod answer_timeout;
mod attach;
mod authenticate;
mod bitmap_exchange;
mod bitmap_write;
mod change;
mod checksums;
mod courtesy;
mod disk_failure;
mod disk_timeout;
mod epoch;
mod exposed;
mod handshake;
mod integrity;
mod link;
mod lost_cache;
mod lost_target;
mod meeting;
mod metadata;
mod no_data;
mod operation;
mod outdated;
mod pace;
mod peer_answer;
mod peer_detach;
mod peer_io;
mod peer_received;
mod read;
mod receive;
mod resync;
mod resync_begin;
mod resync_end;
mod resync_request;
mod send;
mod send_block;
mod send_meta;
mod sizes;
mod status;
mod submit;
mod thin;
mod timers;
mod uuids;
pub mod verify;
mod write_ordering;

use crate::config::policy::WriteOrdering;
use crate::config::resource::ResourceOptions;
use crate::ring::Ring;
use crate::slab::Id;
use crate::state::ConnectionState;
use crate::wire::MAX_PACKET_HEAD;
use connection::{Connection, ConnectionTables, DataItem, MetaItem, Phase};
use device::{Device, DeviceIndex};
use effect::{Completion, Effect, Event};
use log::LogMessage;
use operation::Operations;

pub use acknowledge::AckError;
pub use administer::{Disconnect, NewUuidError, Next, OpenError, RoleChange};
pub use attach::{AttachError, Attachment};
pub use authenticate::{AuthNote, OWN_CHALLENGE, PEER_CHALLENGE_MAX, SIGNATURE_MAX};
pub use integrity::Integrity;
pub use link::AfterLink;
pub use operation::{OperationResult, Ticket};
pub use receive::{Head, ReceiveError, Received};
pub use send::{Outgoing, Payload};
pub use sizes::PeerLimits;
pub use status::{DeviceStatus, SyncStatus};
pub use submit::Admission;

/// Volumes that a resource can have. 8.4 has no such limit; nobody was seen to come near this one.
pub const MAX_VOLUMES: usize = 64;

/// Room for the head of a packet, and for a whole bitmap packet.
pub const SEND_BUFFER: usize = 4096 + MAX_PACKET_HEAD;

/// Storage that the shell lends for as long as the resource exists.
#[derive(Debug, Default)]
pub struct ResourceTables<'m> {
    /// The tables of the connection.
    pub connection: ConnectionTables<'m>,
    /// As many as requests of all devices.
    pub completions: &'m mut [Completion],
    /// As many as requests and peer requests of all devices, and a few hundred more.
    pub effects: &'m mut [Effect],
    /// A few hundred.
    pub events: &'m mut [Event],
}

/// Whom the shell should wake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The sender of the data socket: something may be ready to be sent.
    pub send_data: bool,
    /// The sender of the meta socket.
    pub send_meta: bool,
    /// Whoever waits for room: submitters, the receiver.
    pub room: bool,
    /// Administrators whose operation may have ended.
    pub operations: bool,
    /// Whoever starts block I/O: some was asked for, perhaps where sleeping is not allowed.
    pub worker: bool,
    /// The worker that carries out events.
    pub events: bool,
    /// The timer: [`deadline`](Resource::deadline) may have changed.
    pub timer: bool,
}

/// A resource.
#[derive(Debug)]
pub struct Resource<'m> {
    devices: [Option<&'m mut Device<'m>>; MAX_VOLUMES],
    /// Places of that table which were ever used. Most resources have one volume, and its table is walked for each packet.
    places: u8,
    connection: Connection<'m>,
    options: ResourceOptions,
    now: u64,
    random: [u64; 4],
    random_left: usize,
    completions: Ring<'m, Completion>,
    effects: Ring<'m, Effect>,
    events: Ring<'m, Event>,
    wishes: Wishes,
    /// Somebody was told to wait for room since somebody was last woken for it.
    room_wanted: bool,
    /// Peer requests of all devices: each is owed the effect that releases it, and an answer.
    peer_requests: usize,
    operations: Operations,
    write_ordering: WriteOrdering,
    /// Something changed that may let something else go on: see `make_progress`.
    progress: bool,
    broken: bool,
}

impl<'m> Resource<'m> {
    /// A resource without volumes, StandAlone.
    pub fn new(options: ResourceOptions, tables: ResourceTables<'m>) -> Self {
        Self {
            devices: [const { None }; MAX_VOLUMES],
            places: 0,
            connection: Connection::new(tables.connection),
            options,
            now: 0,
            random: [0; 4],
            random_left: 0,
            completions: Ring::new(tables.completions),
            effects: Ring::new(tables.effects),
            events: Ring::new(tables.events),
            wishes: Wishes::default(),
            room_wanted: false,
            peer_requests: 0,
            operations: Operations::default(),
            write_ordering: WriteOrdering::Flush,
            progress: false,
            broken: false,
        }
    }

    /// Gives its tables back, and gets others in their place. Nothing waits in them: the resource has no volumes, and is
    /// StandAlone. With empty ones it is of no use.
    pub fn exchange_tables(&mut self, new: ResourceTables<'m>) -> ResourceTables<'m> {
        let connection = &mut self.connection;
        let new_connection = new.connection;
        ResourceTables {
            connection: ConnectionTables {
                data_queue: exchange(&mut connection.data_queue, new_connection.data_queue),
                meta_queue: exchange(&mut connection.meta_queue, new_connection.meta_queue),
                transfer_log: exchange(&mut connection.transfer_log, new_connection.transfer_log),
                epochs: exchange(&mut connection.epochs, new_connection.epochs),
            },
            completions: exchange(&mut self.completions, new.completions),
            effects: exchange(&mut self.effects, new.effects),
            events: exchange(&mut self.events, new.events),
        }
    }

    /// Says what time it is, in milliseconds of a clock that never goes back.
    pub fn at(&mut self, now: u64) -> &mut Self {
        self.now = self.now.max(now);
        self
    }

    /// Whether [`supply_random`](Self::supply_random) should be called.
    pub fn wants_random(&self) -> bool {
        self.random_left < self.random.len()
    }

    /// Gives the engine fresh random words, from which it makes generation UUIDs.
    pub fn supply_random(&mut self, words: [u64; 4]) {
        self.random = words;
        self.random_left = words.len();
    }

    /// The index that the next volume will have. `None`: there are [`MAX_VOLUMES`].
    pub fn free_place(&self) -> Option<DeviceIndex> {
        let index = self.devices.iter().position(Option::is_none)?;
        Some(DeviceIndex(u8::try_from(index).ok()?))
    }

    /// Adds a volume, Secondary and without a disk. The index names it from now on, also towards the shell: on a connection that
    /// is up, the peer hears of it, and may answer at once.
    pub fn add_device(&mut self, device: &'m mut Device<'m>) -> Option<DeviceIndex> {
        let index = self.free_place()?;
        device.state.connection = self.connection.state;
        if let Some((_, other)) = self.present().next() {
            // Suspension is a matter of the whole resource; a role is not.
            device.state.suspended = other.state.suspended;
            device.state.suspended_no_data = other.state.suspended_no_data;
            device.state.suspended_fencing = other.state.suspended_fencing;
        }
        *self.devices.get_mut(usize::from(index.0))? = Some(device);
        self.places = self.places.max(index.0.saturating_add(1));
        if self.connection.state == ConnectionState::WFReportParams {
            self.introduce_device(index, false);
        }
        Some(index)
    }

    /// Whether something of a volume is under way, for an application or for the peer: it is not to be removed before.
    pub fn is_busy(&self, index: DeviceIndex) -> bool {
        self.device(index)
            .is_some_and(|device| !device.requests.is_empty() || !device.peer_requests.is_empty())
    }

    /// Takes a volume away; the shell has made sure that it is Diskless, Secondary and not [busy](Self::is_busy).
    pub fn remove_device(&mut self, index: DeviceIndex) -> Option<&'m mut Device<'m>> {
        self.devices.get_mut(usize::from(index.0))?.take()
    }

    /// The volume at `index`.
    pub fn device(&self, index: DeviceIndex) -> Option<&Device<'m>> {
        self.devices.get(usize::from(index.0))?.as_deref()
    }

    /// The connection.
    pub fn connection(&self) -> &Connection<'m> {
        &self.connection
    }

    /// The options of the resource.
    pub fn options(&self) -> &ResourceOptions {
        &self.options
    }

    /// The next request to be ended. Any context.
    pub fn next_completion(&mut self) -> Option<Completion> {
        let completion = self.completions.pop()?;
        self.request_ended(completion.device, completion.request);
        Some(completion)
    }

    /// What [`next_effect`](Self::next_effect) would answer, for those who cannot do everything.
    pub fn front_effect(&mut self) -> Option<Effect> {
        if self.effects.is_empty() {
            self.make_progress();
        }
        self.effects.front().copied()
    }

    /// The next block I/O to be started. Where sleeping is allowed.
    pub fn next_effect(&mut self) -> Option<Effect> {
        if self.effects.is_empty() {
            self.make_progress();
        }
        let effect = self.effects.pop()?;
        self.wishes.room = true;
        if let Effect::ReleasePeerRequest {
            device,
            peer_request,
        } = effect
        {
            self.peer_request_released(device, peer_request);
        }
        Some(effect)
    }

    /// Whether [`next_effect`](Self::next_effect) or [`next_completion`](Self::next_completion) has something.
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty() || self.progress
    }

    /// The next thing for the worker.
    pub fn next_event(&mut self) -> Option<Event> {
        let event = self.events.pop();
        self.wishes.room |= event.is_some();
        event
    }

    /// Whether [`next_completion`](Self::next_completion) has something.
    pub fn has_completions(&self) -> bool {
        !self.completions.is_empty()
    }

    /// Whether [`next_event`](Self::next_event) has something.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whom to wake; asking clears it.
    pub fn take_wishes(&mut self) -> Wishes {
        self.wishes.worker |= self.has_effects();
        // Most of the time nobody waits for room, and nobody has to be woken.
        let room = core::mem::take(&mut self.wishes.room);
        if room && core::mem::take(&mut self.room_wanted) {
            self.wishes.room = true;
        }
        self.wishes.events |= !self.events.is_empty();
        core::mem::take(&mut self.wishes)
    }

    fn device_mut(&mut self, index: DeviceIndex) -> Option<&mut Device<'m>> {
        self.devices.get_mut(usize::from(index.0))?.as_deref_mut()
    }

    fn device_of_volume(&self, volume: u16) -> Option<DeviceIndex> {
        self.indices().find(|index| {
            self.device(*index)
                .is_some_and(|device| device.volume == volume)
        })
    }

    /// The places of the table that may be in use.
    fn indices(&self) -> impl Iterator<Item = DeviceIndex> {
        (0..self.places).map(DeviceIndex)
    }

    fn devices_mut(&mut self) -> impl Iterator<Item = &mut Device<'m>> {
        let used = self.devices.get_mut(..usize::from(self.places));
        used.into_iter()
            .flatten()
            .flatten()
            .map(|device| &mut **device)
    }

    fn present(&self) -> impl Iterator<Item = (DeviceIndex, &Device<'m>)> {
        self.indices()
            .filter_map(|index| self.device(index).map(|device| (index, device)))
    }

    /// Room for effects beyond those that are owed to peer requests.
    fn effect_room(&self) -> usize {
        self.effects.room().saturating_sub(self.peer_requests)
    }

    /// Room in the data queue beyond the replies that peer requests are owed.
    fn data_room(&self) -> usize {
        self.connection
            .data_queue
            .room()
            .saturating_sub(self.peer_requests)
    }

    /// The event that so many others are ahead of. For the simulator, whose onlookers hear what happens when it happens.
    pub fn event_behind(&self, others: usize) -> Option<Event> {
        self.events.get(others).copied()
    }

    /// Whether the worker is so far behind that nothing may be taken in that could lead to more events.
    fn is_behind_with_events(&self) -> bool {
        self.events.len() > self.events.room()
    }

    fn effect(&mut self, effect: Effect) {
        if self.effects.push(effect).is_err() {
            self.break_down();
        }
    }

    fn complete(&mut self, completion: Completion) {
        if self.completions.push(completion).is_err() {
            self.break_down();
        }
    }

    fn event(&mut self, event: Event) {
        if self.events.push(event).is_err() {
            // Whoever reads the log misses a line; everything else that goes this way fits by construction.
            self.break_down();
        }
    }

    fn log(&mut self, device: impl Into<Option<DeviceIndex>>, message: LogMessage) {
        self.event_if_room(Event::Log {
            device: device.into(),
            message,
        });
    }

    /// Something that may be lost. While the worker waits for a helper, hours of lines and of progress must neither keep the
    /// receiver from its work ([`is_behind_with_events`](Self::is_behind_with_events)) nor take the room of what must not be lost.
    fn event_if_room(&mut self, event: Event) {
        if self.events.len() < self.events.room() / 2 {
            self.event(event);
        }
    }

    fn send_data(&mut self, item: DataItem) {
        match self.connection.phase {
            connection::Phase::Down => return,
            // Nothing else is understood yet; the introduction tells the peer all there is to know.
            connection::Phase::Features if item != DataItem::Features => return,
            // Nobody tells a stranger anything.
            connection::Phase::Challenge | connection::Phase::Response
                if !matches!(item, DataItem::AuthChallenge | DataItem::AuthResponse) =>
            {
                return
            }
            _ => {}
        }
        if self.connection.data_queue.push(item).is_err() {
            self.break_down();
        }
        self.wishes.send_data = true;
    }

    fn send_meta(&mut self, item: MetaItem) {
        if matches!(
            self.connection.phase,
            connection::Phase::Down | connection::Phase::Challenge | connection::Phase::Response
        ) {
            return;
        }
        if self.connection.meta_queue.push(item).is_err() {
            self.break_down();
        }
        self.wishes.send_meta = true;
    }

    /// Carries on wherever something became possible.
    fn make_progress(&mut self) {
        if !core::mem::take(&mut self.progress) {
            return;
        }
        self.retry_epochs();
        for index in self.indices() {
            let Some(device) = self.device_mut(index) else {
                continue;
            };
            if core::mem::take(&mut device.retry_waiting) {
                self.retry_peer_waiting(index);
                self.retry_waiting(index);
            }
            self.advance_metadata(index);
        }
        if self.connection.phase != Phase::Down {
            self.wishes.send_data = true;
        }
    }

    /// An invariant does not hold: the connection is given up; the node and its data stay.
    fn break_down(&mut self) {
        if !self.broken {
            self.broken = true;
            self.connection_failed(ConnectionState::ProtocolError);
        }
    }

    /// Whether an invariant did not hold since the resource was made. For tests and the simulator.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// A random word. Where the shell was too slow to supply one, the last one and the time are mixed: good enough to
    /// be unique, which is all that a UUID needs.
    fn random_word(&mut self) -> u64 {
        self.random_left = self.random_left.saturating_sub(1);
        let now = self.now;
        let word = self.random.get_mut(self.random_left);
        let Some(word) = word else {
            return now;
        };
        let value = *word;
        *word = value
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(now | 1)
            .rotate_left(29);
        value
    }

    /// What a request of an application asks for.
    pub fn request_io(&self, index: DeviceIndex, id: Id) -> Option<request::Io> {
        Some(self.request(index, id)?.io)
    }

    fn request(&self, index: DeviceIndex, id: Id) -> Option<&request::Request> {
        self.device(index)?.requests.get(id)
    }

    fn request_mut(&mut self, index: DeviceIndex, id: Id) -> Option<&mut request::Request> {
        self.device_mut(index)?.requests.get_mut(id)
    }
}

/// Puts other storage below an empty queue, and gives back what it had.
fn exchange<'m, T: Copy>(queue: &mut Ring<'m, T>, storage: &'m mut [T]) -> &'m mut [T] {
    core::mem::replace(queue, Ring::new(storage)).into_storage()
}
