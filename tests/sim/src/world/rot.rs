// SPDX-License-Identifier: GPL-2.0-only

//! Disks that change behind the driver's back.

use drbd_core::resource::device::DeviceIndex;

use super::World;

/// Sectors in a block, what a bit of the bitmap stands for.
pub const BLOCK_SECTORS: u64 = 8;

/// A sector that changed behind the driver's back.
#[derive(Clone, Copy, Debug)]
pub struct Rot {
    pub node: usize,
    pub volume: u8,
    pub sector: u64,
    /// What it held, and what it holds now unless it was written to.
    before: u64,
    now: u64,
}

impl Rot {
    pub fn block(&self) -> u64 {
        self.sector / BLOCK_SECTORS
    }
}

impl World<'_> {
    /// A sector changes, and nobody is told.
    pub fn rot(&mut self, node: usize, volume: u8, sector: u64) {
        // Never the same twice: not what it was before it rotted once, nor what rots on the other node.
        let now = (1 << 60) + self.new_io();
        let disk = &mut self.nodes[node].disks[usize::from(volume)];
        let before = disk.look(sector, 1)[0];
        disk.change_silently(sector, now);
        self.rotten.push(Rot {
            node,
            volume,
            sector,
            before,
            now,
        });
        self.tell(node, || format!("sector {sector} of volume {volume} rots"));
    }

    /// Whether it was not written to since.
    pub fn is_still(&self, rot: &Rot) -> bool {
        self.nodes[rot.node].disks[usize::from(rot.volume)].look(rot.sector, 1) == [rot.now]
    }

    /// What was not written to meanwhile is as it was before.
    pub fn undo_rot(&mut self) {
        while let Some(rot) = self.rotten.pop() {
            if self.is_still(&rot) {
                self.nodes[rot.node].disks[usize::from(rot.volume)]
                    .change_silently(rot.sector, rot.before);
            }
        }
    }

    /// Blocks that a node has marked as out of sync.
    pub fn marked(&self, node: usize, volume: u8) -> Vec<u64> {
        let bitmap = self.nodes[node]
            .life
            .as_ref()
            .and_then(|life| life.engine.device(DeviceIndex(volume)))
            .and_then(|device| device.disk())
            .map(|disk| &disk.bitmap);
        let Some(bitmap) = bitmap else {
            return Vec::new();
        };
        (0..bitmap.bits()).filter(|bit| bitmap.test(*bit)).collect()
    }

    /// Where the next verify would begin.
    pub fn verify_position(&self, node: usize, volume: u8) -> Option<u64> {
        let life = self.nodes[node].life.as_ref()?;
        Some(life.engine.device(DeviceIndex(volume))?.verify().start)
    }
}
