// SPDX-License-Identifier: GPL-2.0-only

//! Where both nodes say that both disks are UpToDate and nothing is under way, the disks are equal.

use drbd_core::resource::device::DeviceIndex;

use crate::world::World;

impl World<'_> {
    /// Compares the disks, if this is a moment at which they have to be equal.
    pub fn check_equal(&mut self) {
        if !self.in_sync() || !self.is_idle() {
            return;
        }
        for volume in 0..self.setup.volumes {
            let size = |node: usize| {
                let life = self.nodes[node].life.as_ref()?;
                Some(life.engine.device(DeviceIndex(volume as u8))?.size())
            };
            let (Some(one), Some(other)) = (size(0), size(1)) else {
                return;
            };
            if one != other {
                self.fail(format!(
                    "volume {volume}: {one} sectors here, {other} there"
                ));
                return;
            }
            let alice = self.nodes[0].disks[volume].read(0, one);
            let bob = self.nodes[1].disks[volume].read(0, one);
            if let Some(sector) = (0..one as usize).find(|at| alice[*at] != bob[*at]) {
                self.fail(format!(
                    "volume {volume}: both UpToDate, and sector {sector} is {} and {}",
                    alice[sector], bob[sector]
                ));
                return;
            }
        }
        self.coverage.count("comparisons of both disks");
    }
}
