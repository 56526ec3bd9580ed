// SPDX-License-Identifier: GPL-2.0-only

//! Adding a volume, attaching and detaching its disk.

use drbd_core::activity_log::{ActivityLog, ExtentSlot};
use drbd_core::bitmap::{bits_for_sectors, storage_needed};
use drbd_core::meta::layout::AlStripes;
use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::Attachment;
use drbd_core::state::Change;
use drbd_core::wire::QueueLimits;

use super::{AdminResult, Running};
use crate::metadata;
use crate::node::{new_device, Life};
use crate::world::World;

impl<'a> World<'a> {
    pub(super) fn add_volume(&mut self, node: usize, volume: u8) -> AdminResult {
        let now = self.now / 1000;
        let arena = self.arena;
        let sizes = self.nodes[node].sizes;
        let life = self.nodes[node].life.as_mut().ok_or("down")?;
        if life.engine.find_volume(u16::from(volume)).is_some() {
            return Err("there is such a volume already".into());
        }
        let device = new_device(arena, &sizes, usize::from(volume));
        let index = life.engine.at(now).add_device(device);
        // The simulator takes the number of a volume for its index: they are added in their order.
        if index != Some(DeviceIndex(volume)) {
            return Err(format!("volume {volume} at {index:?}"));
        }
        Ok(())
    }

    pub(super) fn detach(
        &mut self,
        node: usize,
        volume: u8,
        running: &mut Running,
        change: Change,
    ) -> Option<AdminResult> {
        if running.begun {
            return self.detached(node, volume);
        }
        let now = self.now;
        let life = self.nodes[node].life.as_mut()?;
        if life.engine.device(DeviceIndex(volume))?.disk().is_none() {
            return Some(Ok(()));
        }
        let asked = life
            .engine
            .at(now / 1000)
            .request_change(DeviceIndex(volume), change);
        self.asked(node, running, asked)
    }

    pub(super) fn detached(&mut self, node: usize, volume: u8) -> Option<AdminResult> {
        let life = self.nodes[node].life.as_mut()?;
        let device = life.engine.device(DeviceIndex(volume))?;
        device.disk().is_none().then_some(Ok(()))
    }

    fn begin_attach(&mut self, node: usize, device: DeviceIndex) -> Result<&mut Life<'a>, String> {
        let now = self.now / 1000;
        let life = self.nodes[node].life.as_mut().ok_or("down")?;
        if life
            .engine
            .device(device)
            .is_none_or(|device| device.disk().is_some())
        {
            return Err("there is a disk already".into());
        }
        life.engine
            .at(now)
            .begin_attach(device)
            .map_err(|code| format!("{code:?}"))?;
        Ok(life)
    }

    pub(super) fn attach(&mut self, node: usize, volume: u8) -> AdminResult {
        let now = self.now / 1000;
        let device = DeviceIndex(volume);
        let arena = self.arena;
        self.begin_attach(node, device)?;
        self.nodes[node].attaches += 1;
        let found = match metadata::open(&mut self.nodes[node].disks[usize::from(volume)]) {
            Ok(found) => found,
            Err(why) => {
                self.fail(format!("node {node}: unreadable metadata: {why}"));
                return Err(why);
            }
        };
        let extents = self.nodes[node].sizes.extents;
        let mut conf = self.nodes[node].disk_conf.clone();
        if volume > 0 && self.setup.one_after_the_other {
            conf.resync_after = i32::from(volume) - 1;
        }
        let disk = &self.nodes[node].disks[usize::from(volume)];
        let (words, dirty) = storage_needed(bits_for_sectors(found.max_capacity));
        let words = arena.alloc_slice_fill_copy(words, 0);
        let dirty = arena.alloc_slice_fill_copy(dirty, 0);
        let slots = arena.alloc_slice_fill_with(extents, |_| ExtentSlot::empty());
        let attachment = Attachment {
            conf,
            layout: found.layout,
            superblock: found.superblock,
            bitmap: metadata::read_bitmap(disk, &found, words, dirty),
            activity_log: ActivityLog::new(slots, AlStripes::standard(), 0),
            max_capacity: found.max_capacity,
            limits: QueueLimits {
                physical_block_size: 512,
                logical_block_size: 512,
                alignment_offset: 0,
                io_min: 512,
                io_opt: 0,
                discard_enabled: 1,
                discard_zeroes_data: 0,
                write_same_capable: 0,
            },
            max_bio_size: 1 << 20,
            volatile_cache: disk.volatile,
        };
        let Some(life) = self.nodes[node].life.as_mut() else {
            return Err("down".into());
        };
        match life.engine.at(now).finish_attach(device, attachment) {
            Ok(()) => Ok(()),
            Err((error, _)) => {
                life.engine.abort_attach(device);
                Err(format!("{error:?}"))
            }
        }
    }

    /// The disk cannot be opened after all.
    pub(super) fn attach_in_vain(&mut self, node: usize, volume: u8) -> AdminResult {
        let device = DeviceIndex(volume);
        self.begin_attach(node, device)?.engine.abort_attach(device);
        Err("no such disk".into())
    }
}
