// SPDX-License-Identifier: GPL-2.0-only

//! A node: what outlives a crash, and what does not.

use std::collections::{BTreeMap, VecDeque};

use bumpalo::Bump;
use drbd_core::config::disk::DiskConf;
use drbd_core::config::net::NetConf;
use drbd_core::config::resource::ResourceOptions;
use drbd_core::overlap::Entry;
use drbd_core::resource::connection::{
    ConnectionTables, DataItem, LogEntry, MetaItem, ReceiveEpoch,
};
use drbd_core::resource::device::{Device, DeviceIndex, DeviceTables};
use drbd_core::resource::digest::Digest;
use drbd_core::resource::effect::{Completion, Effect, Event};
use drbd_core::resource::request::Io;
use drbd_core::resource::{Head, PeerLimits, Received, Resource, ResourceTables};
use drbd_core::slab::{Id, Slot};

use crate::admin::{Admin, Running};
use crate::disk::Disk;
use crate::shell::helpers::Helpers;
use crate::shell::Habit;

/// How large the tables of a node are.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub requests: usize,
    pub peer_requests: usize,
    pub epochs: usize,
    pub extents: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            requests: 64,
            peer_requests: 64,
            epochs: 16,
            extents: 67,
        }
    }
}

/// What an application asked for.
#[derive(Clone, Debug)]
pub struct Application {
    pub io: Io,
    /// The number of this request in the history of the simulation.
    pub number: u64,
    /// The content of each sector: to be written, or as it was read.
    pub values: Vec<u64>,
}

/// Block I/O on its way.
#[derive(Clone, Debug)]
pub enum DiskIo {
    /// With the moment of the disk when it began: a flush covers what was done before.
    Request(DeviceIndex, Id, u64),
    Peer(DeviceIndex, Id, u64),
    /// A flush covers what was written up to a moment of the disk.
    Flush(DeviceIndex, u64),
    Superblock(DeviceIndex, u64, Vec<u8>, u64),
    ActivityLog(DeviceIndex, u64, Vec<u8>, u64),
    Page(DeviceIndex, u32, u64, Vec<u8>, u64),
}

/// What a receiver is about to read from a socket.
#[derive(Clone, Debug, Default)]
pub enum Reading {
    #[default]
    Header,
    Fixed(Head),
    /// The engine has no room for this packet.
    Retry(Head, Vec<u8>),
    Payload(Head, Vec<u8>, Received),
}

/// Where the receiver thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    Stopped,
    /// It looks for the peer.
    Searching,
    /// Sockets lead to the peer; the engine hears of it soon.
    Met(u32),
    Up(u32),
    /// It waits for the engine to be done with the link.
    Draining,
}

/// What is gone after a crash.
pub struct Life<'a> {
    pub engine: Resource<'a>,
    pub requests: BTreeMap<(u8, u64), Application>,
    /// Submitted, and no room in the engine.
    pub backlog: VecDeque<(DeviceIndex, Application)>,
    pub peer_pages: BTreeMap<(u8, u64), Vec<u64>>,
    pub disk_io: BTreeMap<u64, DiskIo>,
    /// Digests that are being computed.
    pub digesting: usize,
    pub receiver: Receiver,
    pub reading: [Reading; 2],
    /// The sender waits for the socket to take these pages: the word to the engine that ends it.
    pub sending: Vec<Sending>,
    /// The sender has told the engine that the socket takes nothing, and not yet that it goes on.
    pub stalled: bool,
    pub admin: VecDeque<Admin>,
    pub running: Option<Running>,
    /// The thread that calls handlers.
    pub helpers: Helpers,
    /// How many events have happened while the event thread waits for it.
    pub heard: usize,
    /// When the last handler ends, in worlds where they are quick.
    pub handler_ends: u64,
    pub timer_at: Option<u64>,
    pub scheduled: Scheduled,
    /// The receiver must close the link once nobody uses the sockets.
    pub closing: bool,
    /// The disk was told to be idle and not taken yet.
    pub idle: Vec<bool>,
    /// What the block layer was told that the peer takes. It hears of it some time after the engine.
    pub limits: Vec<PeerLimits>,
}

#[derive(Clone, Copy, Debug)]
pub enum Sending {
    Request(DeviceIndex, Id),
    Reply(DeviceIndex, Id),
}

/// What is in the queue of the world already, so that it is not put there twice.
#[derive(Default)]
pub struct Scheduled {
    pub effects: bool,
    pub events: bool,
    pub data: bool,
    pub meta: bool,
    pub receive: [bool; 2],
    pub operations: bool,
}

pub struct Node<'a> {
    pub disks: Vec<Disk>,
    pub life: Option<Life<'a>>,
    /// Counts boots: what was begun in an earlier one is nobody's business any more.
    pub boot: u32,
    pub net: NetConf,
    pub disk_conf: DiskConf,
    pub sizes: Sizes,
    /// How fast the disk is: the longest latency in microseconds.
    pub latency: u64,
    /// Errors: each so many-thousandth I/O fails.
    pub faults: u64,
    /// In a wild world, where `on-io-error` may be `pass_on`: something could not be written: the disk is not what it is said to be.
    pub passed_on: bool,
    /// The same for reading data alone.
    pub read_faults: u64,
    /// How often a disk was attached.
    pub attaches: usize,
    /// In directed stories: how kinds of work go.
    pub habits: Vec<Habit>,
}

impl<'a> Life<'a> {
    pub fn new(
        arena: &'a Bump,
        volumes: usize,
        late: usize,
        options: &ResourceOptions,
        sizes: &Sizes,
        random: [u64; 4],
    ) -> Self {
        let requests = sizes.requests * volumes;
        let peer_requests = sizes.peer_requests * volumes;
        let queue = requests + peer_requests + 300;
        let tables = ResourceTables {
            connection: ConnectionTables {
                data_queue: arena.alloc_slice_fill_copy(queue, DataItem::None),
                meta_queue: arena.alloc_slice_fill_copy(queue, MetaItem::None),
                transfer_log: arena.alloc_slice_fill_copy(requests, LogEntry::FILL),
                epochs: arena.alloc_slice_fill_copy(sizes.epochs, ReceiveEpoch::EMPTY),
            },
            completions: arena.alloc_slice_fill_copy(requests, Completion::FILL),
            effects: arena.alloc_slice_fill_copy(queue, Effect::None),
            events: arena.alloc_slice_fill_copy(300, Event::None),
        };
        let mut engine = Resource::new(options.clone(), tables);
        engine.supply_random(random);
        for volume in 0..volumes - late {
            engine.add_device(new_device(arena, sizes, volume));
        }
        let limits = (0..volumes)
            .map(|volume| engine.peer_limits(DeviceIndex(volume as u8)))
            .collect();
        Self {
            engine,
            requests: BTreeMap::new(),
            backlog: VecDeque::new(),
            peer_pages: BTreeMap::new(),
            disk_io: BTreeMap::new(),
            digesting: 0,
            receiver: Receiver::Stopped,
            reading: Default::default(),
            sending: Vec::new(),
            stalled: false,
            admin: VecDeque::new(),
            running: None,
            helpers: Helpers::default(),
            heard: 0,
            handler_ends: 0,
            timer_at: None,
            scheduled: Scheduled::default(),
            closing: false,
            idle: vec![false; volumes],
            limits,
        }
    }
}

/// A volume that has not been added yet.
pub fn new_device<'a>(arena: &'a Bump, sizes: &Sizes, volume: usize) -> &'a mut Device<'a> {
    let tables = DeviceTables {
        requests: arena.alloc_slice_fill_with(sizes.requests, |_| Slot::empty()),
        waiting: arena.alloc_slice_fill_copy(sizes.requests, Id::FILL),
        peer_requests: arena.alloc_slice_fill_with(sizes.peer_requests, |_| Slot::empty()),
        peer_waiting: arena.alloc_slice_fill_copy(sizes.peer_requests, Id::FILL),
        overlap: arena.alloc_slice_fill_copy(sizes.requests + sizes.peer_requests, Entry::EMPTY),
        digests: arena.alloc_slice_fill_copy(sizes.peer_requests, Digest::NONE),
    };
    arena.alloc(Device::new(volume as u16, volume as u32, tables))
}
