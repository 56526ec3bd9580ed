// SPDX-License-Identifier: GPL-2.0-only

//! Disks with habits: in a directed story one kind of work takes as long as the story wants, or fails. So the moment that
//! chance would find once in thousands of seeds is there each time.

use drbd_core::resource::peer_request::Purpose;
use drbd_core::resource::request::Operation;

use crate::node::{DiskIo, Node};
use crate::world::World;

/// What a disk is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Something that an application reads, or flushes.
    Read,
    /// Whatever an application writes, zeroed and discarded ranges included.
    Write,
    /// What the peer's application writes.
    PeerWrite,
    ResyncWrite,
    /// What the peer reads, for whatever purpose.
    PeerRead,
    Flush,
    Superblock,
    ActivityLog,
    BitmapPage,
}

/// How one kind of work goes on a disk from now on.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    pub work: Work,
    /// It takes just so many microseconds.
    pub takes: Option<u64>,
    pub fails: bool,
}

impl Habit {
    /// It takes this long.
    pub fn slow(work: Work, micros: u64) -> Self {
        Self {
            work,
            takes: Some(micros),
            fails: false,
        }
    }

    /// It fails.
    pub fn failing(work: Work) -> Self {
        Self {
            work,
            takes: None,
            fails: true,
        }
    }
}

impl Node<'_> {
    /// What kind of work this is.
    pub fn work(&self, io: &DiskIo) -> Option<Work> {
        let life = self.life.as_ref()?;
        Some(match io {
            DiskIo::Request(device, id, _) => {
                let application = life.requests.get(&(device.0, id.to_u64()))?;
                match application.io.operation {
                    Operation::Read | Operation::Flush => Work::Read,
                    _ => Work::Write,
                }
            }
            DiskIo::Peer(device, id, _) => {
                let request = life.engine.peer_request(*device, *id)?;
                match (request.operation, request.purpose) {
                    (Operation::Read, _) => Work::PeerRead,
                    (_, Purpose::ResyncWrite) => Work::ResyncWrite,
                    _ => Work::PeerWrite,
                }
            }
            DiskIo::Flush(..) => Work::Flush,
            DiskIo::Superblock(..) => Work::Superblock,
            DiskIo::ActivityLog(..) => Work::ActivityLog,
            DiskIo::Page(..) => Work::BitmapPage,
        })
    }

    /// The habit that concerns this work.
    pub(super) fn habit(&self, io: &DiskIo) -> Option<Habit> {
        if self.habits.is_empty() {
            return None;
        }
        let work = self.work(io)?;
        self.habits.iter().find(|habit| habit.work == work).copied()
    }
}

impl World<'_> {
    /// How many pieces of this work a node's disk has before it.
    pub fn at_work(&self, node: usize, work: Work) -> usize {
        let node = &self.nodes[node];
        node.life.as_ref().map_or(0, |life| {
            let all = life.disk_io.values();
            all.filter(|io| node.work(io) == Some(work)).count()
        })
    }
}
