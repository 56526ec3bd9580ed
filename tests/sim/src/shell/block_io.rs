// SPDX-License-Identifier: GPL-2.0-only

//! Block I/O that the engine asked for.

use drbd_core::bitmap::PAGE_BYTES;
use drbd_core::meta::superblock::SUPERBLOCK_BYTES;
use drbd_core::meta::transaction::TRANSACTION_BYTES;
use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::effect::Effect;
use drbd_core::resource::peer_request::Purpose;
use drbd_core::resource::request::Operation;

use crate::disk::Disk;
use crate::node::{DiskIo, Life};
use crate::shell::key;
use crate::world::{Ev, Moment, World};

impl World<'_> {
    pub fn drain_effects(&mut self, node: usize) {
        let now = self.now / 1000;
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.scheduled.effects = false;
        }
        // Now and then the thread is slow.
        let most = *self.rng.pick(&[1, 4, 1000]);
        for _ in 0..most {
            let Some(life) = self.nodes[node].life.as_mut() else {
                return;
            };
            let Some(effect) = life.engine.at(now).next_effect() else {
                break;
            };
            self.carry_out(node, effect);
        }
        self.settle(node);
        self.try_link_closed(node);
    }

    fn carry_out(&mut self, node: usize, effect: Effect) {
        let place = &mut self.nodes[node];
        let flushes = place.disk_conf.md_flushes;
        let disks = &place.disks;
        let Some(life) = place.life.as_mut() else {
            return;
        };
        // What is flushed before metadata is written: the data up to the moment in which its bytes are taken.
        let moment = |volume: DeviceIndex, life: &Life<'_>, disks: &[Disk]| {
            let disk = &disks[usize::from(volume.0)];
            let by_itself = disk.internal && flushes;
            if by_itself || life.engine.data_goes_first(volume) {
                disk.now()
            } else {
                0
            }
        };
        let io = match effect {
            Effect::None => return,
            Effect::SubmitRequest { device, request } => {
                DiskIo::Request(device, request, disks[usize::from(device.0)].now())
            }
            Effect::SubmitPeerRequest {
                device,
                peer_request,
            } => DiskIo::Peer(device, peer_request, disks[usize::from(device.0)].now()),
            Effect::Digest {
                device,
                peer_request,
            } => return self.begin_digest(node, device, peer_request),
            Effect::ReleasePeerRequest {
                device,
                peer_request,
            } => {
                life.peer_pages.remove(&(device.0, peer_request.to_u64()));
                return;
            }
            Effect::FlushDisk { device } => {
                DiskIo::Flush(device, disks[usize::from(device.0)].now())
            }
            Effect::WriteSuperblock { device } => {
                let mut block = [0; SUPERBLOCK_BYTES];
                let Some(sector) = life.engine.superblock(device, &mut block) else {
                    life.engine.superblock_written(device, false);
                    return;
                };
                DiskIo::Superblock(device, sector, block.to_vec(), moment(device, life, disks))
            }
            Effect::WriteActivityLog { device } => {
                let mut block = [0; TRANSACTION_BYTES];
                let Some(sector) = life.engine.activity_log_block(device, &mut block) else {
                    life.engine.activity_log_written(device, false);
                    return;
                };
                DiskIo::ActivityLog(device, sector, block.to_vec(), moment(device, life, disks))
            }
            Effect::WriteBitmapPage { device, page } => {
                let mut block = [0; PAGE_BYTES];
                let Some(place) = life.engine.bitmap_page(device, page, &mut block) else {
                    life.engine.bitmap_page_written(device, page, false);
                    return;
                };
                let bytes = block[..place.sectors as usize * 512].to_vec();
                DiskIo::Page(
                    device,
                    page,
                    place.sector,
                    bytes,
                    moment(device, life, disks),
                )
            }
        };
        self.start_io(node, io);
    }

    pub(super) fn start_io(&mut self, node: usize, io: DiskIo) {
        let number = self.new_io();
        let latency = self.nodes[node].latency;
        let usual = self.rng.range(1, latency.max(1));
        let habit = self.nodes[node].habit(&io);
        let at = self.now + habit.and_then(|habit| habit.takes).unwrap_or(usual);
        let boot = self.nodes[node].boot;
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.disk_io.insert(number, io);
        }
        self.push(at, Ev::DiskDone(node, boot, number));
    }

    /// How many of a thousand operations like this one fail.
    fn faults(&self, node: usize, io: &DiskIo) -> u64 {
        let place = &self.nodes[node];
        let reads = place.life.as_ref().is_some_and(|life| match io {
            DiskIo::Request(device, id, _) => life
                .requests
                .get(&(device.0, id.to_u64()))
                .is_some_and(|application| application.io.operation == Operation::Read),
            DiskIo::Peer(device, id, _) => life
                .engine
                .peer_request(*device, *id)
                .is_some_and(|request| request.operation == Operation::Read),
            _ => false,
        });
        // The only good disk that fails is a disaster that no promise outlives.
        let promised = self.plan.as_ref().is_some_and(|plan| plan.orderly);
        if promised && !self.in_sync() {
            0
        } else if reads {
            place.faults.max(place.read_faults)
        } else {
            place.faults
        }
    }

    /// Those who look on see what a resync is about to change.
    fn before_resync_write(&mut self, node: usize, io: &DiskIo) {
        let DiskIo::Peer(device, id, _) = *io else {
            return;
        };
        let request = self.nodes[node]
            .life
            .as_ref()
            .and_then(|life| life.engine.peer_request(device, id))
            .filter(|request| request.purpose == Purpose::ResyncWrite && !request.orphaned);
        if let Some((sector, sectors)) = request.map(|request| (request.sector, request.sectors()))
        {
            let life = self.nodes[node].life.as_ref();
            let pages = life.and_then(|life| life.peer_pages.get(&key(device, id)));
            // Zeros come without pages.
            let values = pages.map_or_else(|| vec![0; sectors as usize], Vec::clone);
            self.check(|checker, world| {
                checker.resync_writes(world, node, device.0, sector, &values)
            });
        }
    }

    pub fn disk_done(&mut self, node: usize, number: u64) {
        let now = self.now / 1000;
        let Some(io) = self.nodes[node]
            .life
            .as_mut()
            .and_then(|life| life.disk_io.remove(&number))
        else {
            return;
        };
        let faults = self.faults(node, &io);
        let habit = self.nodes[node].habit(&io);
        let good = (faults == 0 || self.rng.below(1000) >= faults)
            && !habit.is_some_and(|habit| habit.fails);
        let orderly = self.plan.as_ref().is_some_and(|plan| plan.orderly);
        self.nodes[node].passed_on |= !good && !orderly;
        if good {
            self.before_resync_write(node, &io);
            self.do_io(node, &io);
        }
        self.tell_io(node, &io, good);
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let engine = life.engine.at(now);
        match io {
            DiskIo::Request(device, id, _) => engine.local_io_done(device, id, good),
            DiskIo::Peer(device, id, _) => engine.peer_io_done(device, id, good),
            DiskIo::Flush(device, _) => engine.flush_done(device, good),
            DiskIo::Superblock(device, ..) => engine.superblock_written(device, good),
            DiskIo::ActivityLog(device, ..) => engine.activity_log_written(device, good),
            DiskIo::Page(device, page, ..) => engine.bitmap_page_written(device, page, good),
        }
        self.moment_of(node, Moment::DiskDone);
        self.settle(node);
        self.try_link_closed(node);
    }
}
