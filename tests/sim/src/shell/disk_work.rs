// SPDX-License-Identifier: GPL-2.0-only

//! What a disk does with one piece of I/O, and how the story tells it.

use drbd_core::resource::peer_request::PeerRequest;
use drbd_core::resource::request::Operation;
use drbd_core::wire::DataFlags;

use super::key;
use crate::integrity::DAMAGE;
use crate::node::DiskIo;
use crate::world::World;

impl World<'_> {
    pub(super) fn tell_io(&mut self, node: usize, io: &DiskIo, good: bool) {
        if !self.loud {
            return;
        }
        let how = if good { "" } else { ", and fails" };
        let Some(life) = self.nodes[node].life.as_ref() else {
            return;
        };
        let (DiskIo::Request(on, ..)
        | DiskIo::Peer(on, ..)
        | DiskIo::Flush(on, ..)
        | DiskIo::Superblock(on, ..)
        | DiskIo::ActivityLog(on, ..)
        | DiskIo::Page(on, ..)) = io;
        let line = match io {
            DiskIo::Request(device, id, _) => {
                let request = &life.requests.get(&key(*device, *id));
                request.map(|application| {
                    let io = application.io;
                    let number = application.number;
                    format!(
                        "does request {number}, {:?} {}+{}",
                        io.operation,
                        io.sector,
                        io.sectors()
                    )
                })
            }
            DiskIo::Peer(device, id, _) => life.engine.peer_request(*device, *id).map(|request| {
                let content = life
                    .peer_pages
                    .get(&key(*device, *id))
                    .and_then(|values| values.first());
                format!(
                    "does {:?} {:?} {}+{} of the peer, {content:?}",
                    request.purpose,
                    request.operation,
                    request.sector,
                    request.sectors()
                )
            }),
            DiskIo::Flush(..) => Some("flushes".into()),
            DiskIo::Superblock(..) => Some("superblock".into()),
            DiskIo::ActivityLog(..) => Some("activity log".into()),
            DiskIo::Page(_, page, ..) => Some(format!("bitmap page {page}")),
        };
        self.tell(node, || {
            let line = line.unwrap_or_default();
            format!("disk {} {line}{how}", on.0)
        });
    }

    /// The disk does it, whole.
    pub(super) fn do_io(&mut self, node: usize, io: &DiskIo) {
        let mut damaged = false;
        let place = &mut self.nodes[node];
        let Some(life) = place.life.as_mut() else {
            return;
        };
        match io {
            DiskIo::Request(device, id, moment) => {
                let disk = &mut place.disks[usize::from(device.0)];
                let Some(application) = life.requests.get_mut(&(device.0, id.to_u64())) else {
                    return;
                };
                let io = application.io;
                let sectors = io.sectors();
                disk.done += sectors;
                match io.operation {
                    Operation::Read => application.values = disk.read(io.sector, sectors),
                    Operation::Flush => disk.flush(*moment),
                    Operation::Write => {
                        if io.preflush {
                            disk.flush(*moment);
                        }
                        disk.write(io.sector, &application.values, io.fua);
                    }
                    Operation::Discard | Operation::WriteZeroes => {
                        disk.write(io.sector, &vec![0; sectors as usize], io.fua);
                    }
                }
            }
            DiskIo::Peer(device, id, moment) => {
                let disk = &mut place.disks[usize::from(device.0)];
                let Some(request) = life.engine.peer_request(*device, *id).copied() else {
                    return;
                };
                let key = (device.0, id.to_u64());
                let PeerRequest {
                    sector,
                    operation,
                    flags,
                    ..
                } = request;
                let sectors = request.sectors();
                disk.done += sectors;
                match operation {
                    Operation::Read => {
                        let values = disk.read(sector, sectors);
                        if life.engine.wants_to_know_zeros(*device, *id)
                            && values.iter().all(|value| *value == 0)
                        {
                            life.engine.read_only_zeros(*device, *id);
                        }
                        life.peer_pages.insert(key, values);
                    }
                    Operation::Write => {
                        if flags.contains(DataFlags::FLUSH) {
                            disk.flush(*moment);
                        }
                        if let Some(values) = life.peer_pages.get(&key) {
                            damaged = values.iter().any(|value| value & DAMAGE != 0);
                            disk.write(sector, values, flags.contains(DataFlags::FUA));
                        }
                    }
                    Operation::Discard | Operation::WriteZeroes => {
                        disk.write(sector, &vec![0; sectors as usize], false);
                    }
                    Operation::Flush => {}
                }
            }
            DiskIo::Flush(device, moment) => {
                place.disks[usize::from(device.0)].flush(*moment);
            }
            DiskIo::Superblock(device, sector, bytes, moment)
            | DiskIo::ActivityLog(device, sector, bytes, moment)
            | DiskIo::Page(device, _, sector, bytes, moment) => {
                let disk = &mut place.disks[usize::from(device.0)];
                disk.flush(*moment);
                if disk.internal {
                    disk.done += bytes.len() as u64 / 512;
                }
                disk.write_meta(*sector, bytes);
            }
        }
        if damaged {
            self.fail(format!("node {node}: damaged data reaches a disk"));
        }
    }
}
