// SPDX-License-Identifier: GPL-2.0-only

//! A source that loses its target near the end of a resync does not know whether the target is UpToDate by now, and
//! carries the very same current UUID. The C driver goes on writing under that UUID; should the former target be written
//! to as well, the next meeting takes the former source for its past, and what the source wrote is gone without a word.
//! Here the data gets another current UUID before it changes without the target.
//!
//! A source that reboots meanwhile knows it by its superblock: that goes on to say that the peer is connected
//! (`MDF_CONNECTED_IND`), and there is a bitmap UUID. A UUID too many does no harm.

use super::connection::DataItem;
use super::device::{Device, DeviceIndex};
use super::Resource;
use crate::meta::superblock::MetaFlags;
use crate::num::SECTORS_PER_BLOCK;
use crate::state::{ConnectionState, DiskState, Role, State};

impl Resource<'_> {
    /// This node becomes the source of a resync: remembers what its target is now.
    pub(super) fn note_target(&mut self, index: DeviceIndex) {
        let current = self.peer_uuids(index).map_or(0, |uuids| uuids.current);
        if let Some(device) = self.device_mut(index) {
            device.target_current = current;
            device.target_begun = false;
        }
    }

    /// The target asks for blocks, or says that it is one. What it was called before is forgotten: the few places of the
    /// history are for the names that it may finish under, while this node pulls ahead again and again.
    pub(super) fn target_has_begun(&mut self, index: DeviceIndex) {
        if let Some(device) = self.device_mut(index) {
            device.target_begun = true;
            if device.state.connection.is_sync_source() {
                device.target_name = device.sync_uuid;
            }
        }
    }

    /// After each change of state.
    pub(super) fn after_target_lost(&mut self, index: DeviceIndex, old: &State, new: &State) {
        use ConnectionState as C;
        let met = old.connection < C::Connected && new.connection >= C::Connected;
        let finished = new.connection == C::Connected && new.peer_disk == DiskState::UpToDate;
        // Compared once more, and found to be older: it is watched anew.
        let begins = new.connection.is_sync_source() && !old.connection.is_sync_source();
        if met || finished || begins {
            if let Some(device) = self.device_mut(index) {
                device.target_may_be_equal = false;
            }
        } else if old.connection.is_sync_source() && !new.connection.is_sync_source() {
            let own = self.own_uuids(index);
            if let (Some(own), Some(device)) = (own, self.device_mut(index)) {
                // Whether everything was sent is not counted: a UUID too many does no harm.
                let begun = device.target_begun || device.target_needs_nothing();
                device.target_may_be_equal =
                    own.may_be_current_of_target(device.target_current, begun, begun);
            }
        }
        if new.role == Role::Primary || new.peer == Role::Primary {
            self.part_from_target(index);
        }
        self.keep_lost_target_on_disk(index);
    }

    /// A disk is being attached, by a node that may have been the source of a resync when it went down.
    pub(super) fn recall_lost_target(&mut self, index: DeviceIndex) {
        let counts = self.bitmap_uuid(index).unwrap_or(0) != 0;
        if let Some(device) = self.device_mut(index) {
            let was_connected = device
                .disk
                .as_ref()
                .is_some_and(|disk| disk.superblock.flags.contains(MetaFlags::CONNECTED_IND));
            let alone = device.state.connection < ConnectionState::Connected;
            device.target_may_be_equal |= counts && was_connected && alone;
        }
    }

    fn keep_lost_target_on_disk(&mut self, index: DeviceIndex) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if device.state.disk < DiskState::Inconsistent {
            return;
        }
        let said =
            device.target_may_be_equal || device.state.connection > ConnectionState::WFReportParams;
        let Some(disk) = device.disk.as_mut() else {
            return;
        };
        if disk.superblock.flags.contains(MetaFlags::CONNECTED_IND) != said {
            disk.superblock.flags = disk.superblock.flags.set(MetaFlags::CONNECTED_IND, said);
            self.superblock_changed(index);
        }
    }

    /// The data is about to change without the former target.
    pub(super) fn part_from_target(&mut self, index: DeviceIndex) {
        let due = self.device_mut(index).is_some_and(|device| {
            device.state.disk >= DiskState::UpToDate
                && core::mem::take(&mut device.target_may_be_equal)
        });
        if !due || self.bitmap_uuid(index) == Some(0) {
            return;
        }
        self.keep_lost_target_on_disk(index);
        self.new_current_uuid_beside_bitmap(index);
        self.send_data(DataItem::Uuids(index));
    }
}

impl Device<'_> {
    /// Whether the target of a resync may be done without having asked for a block: nothing differs but what applications'
    /// writes, some of them on their way, bring in sync.
    fn target_needs_nothing(&self) -> bool {
        let marked = self.disk.as_ref().map_or(0, |disk| disk.bitmap.weight());
        let on_their_way = self
            .requests
            .iter()
            .filter(|(_, request)| request.logged && request.may_set_in_sync)
            .fold(0u64, |blocks, (_, request)| {
                blocks.saturating_add(request.io.sectors().div_ceil(SECTORS_PER_BLOCK))
            });
        marked <= on_their_way
    }
}
