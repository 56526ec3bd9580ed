// SPDX-License-Identifier: GPL-2.0-only

//! What an application flushed, or wrote with FUA, survives the loss of power on the node where it did so.

use drbd_core::resource::request::Operation;

use crate::world::World;

impl World<'_> {
    /// A node lost power: `lost` are the sectors of each volume that have older content now, `before` what they had.
    pub fn check_durable(&mut self, node: usize, volume: u8, sector: u64, before: u64) {
        // A write of chaos writes its own number.
        let number = before;
        let Some(write) = self.history.records.get(&number) else {
            return;
        };
        let ours = write.node == node
            && write.volume == volume
            && write.io.operation == Operation::Write
            && (write.io.sector..write.io.sector + write.io.sectors()).contains(&sector);
        let Some((done, true)) = write.ended.filter(|_| ours) else {
            return;
        };
        // A target also writes what the source sends, and that may be the same once more.
        if self
            .plan
            .as_ref()
            .is_some_and(|plan| plan.target_at[node] >= done)
            || !self.disk_is_good(node, volume)
        {
            return;
        }
        let flushed = write.io.fua
            || self
                .history
                .flushes
                .get(&(node, volume))
                .is_some_and(|submitted| *submitted > done);
        if flushed
            && self
                .plan
                .as_ref()
                .is_some_and(|plan| plan.local_disk_always)
        {
            self.fail(format!(
                "node {node}: write {number} was flushed, and sector {sector} did not survive"
            ));
        }
    }
}
