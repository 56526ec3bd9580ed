// SPDX-License-Identifier: GPL-2.0-only

//! The power goes.

use drbd_core::resource::request::Operation;

use crate::node::DiskIo;
use crate::world::World;

impl World<'_> {
    /// The power goes: what was in flight is done, torn, or not done; what was in the cache is there or not.
    pub fn lose_power(&mut self, node: usize) -> Vec<Vec<(u64, u64)>> {
        let flight: Vec<DiskIo> = self.nodes[node]
            .life
            .as_ref()
            .map(|life| life.disk_io.values().cloned().collect())
            .unwrap_or_default();
        for io in flight {
            match &io {
                DiskIo::Superblock(device, sector, bytes, moment)
                | DiskIo::ActivityLog(device, sector, bytes, moment)
                | DiskIo::Page(device, _, sector, bytes, moment) => {
                    let disk = &mut self.nodes[node].disks[usize::from(device.0)];
                    // A superblock is one sector that matters: it is never half there.
                    let survives = *self.rng.pick(&[0, 50, 100]);
                    if survives > 0 {
                        // What was to be flushed first was, before the write began.
                        disk.flush(*moment);
                    }
                    for (offset, part) in bytes.chunks(512).enumerate() {
                        if self.rng.chance(survives) {
                            disk.write_meta(sector + offset as u64, part);
                        }
                    }
                }
                DiskIo::Flush(..) => {}
                DiskIo::Request(..) | DiskIo::Peer(..) => {
                    if self.rng.chance(50) {
                        self.tear(node, &io);
                    }
                }
            }
        }
        let mut rng = self.rng.clone();
        let lost = self.nodes[node]
            .disks
            .iter_mut()
            .map(|disk| disk.lose_power(&mut rng))
            .collect();
        self.rng = rng;
        lost
    }

    /// A write of which only some sectors are done.
    fn tear(&mut self, node: usize, io: &DiskIo) {
        let place = &mut self.nodes[node];
        let Some(life) = place.life.as_ref() else {
            return;
        };
        let (device, sector, values) = match io {
            DiskIo::Request(device, id, _) => {
                let Some(application) = life.requests.get(&(device.0, id.to_u64())) else {
                    return;
                };
                let values = match application.io.operation {
                    Operation::Write => application.values.clone(),
                    Operation::Discard | Operation::WriteZeroes => {
                        vec![0; application.io.sectors() as usize]
                    }
                    _ => return,
                };
                (device, application.io.sector, values)
            }
            DiskIo::Peer(device, id, _) => {
                let Some(request) = life.engine.peer_request(*device, *id) else {
                    return;
                };
                let values = match request.operation {
                    Operation::Write => life
                        .peer_pages
                        .get(&(device.0, id.to_u64()))
                        .cloned()
                        .unwrap_or_default(),
                    Operation::Discard | Operation::WriteZeroes => {
                        vec![0; request.sectors() as usize]
                    }
                    _ => return,
                };
                (device, request.sector, values)
            }
            _ => return,
        };
        for (offset, value) in values.iter().enumerate() {
            if self.rng.chance(50) {
                place.disks[usize::from(device.0)].write(sector + offset as u64, &[*value], false);
            }
        }
    }
}
