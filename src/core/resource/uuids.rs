// SPDX-License-Identifier: GPL-2.0-only

//! The generation UUIDs of a volume: when they change, and what the peer hears of them.

use super::connection::DataItem;
use super::device::{AfterBitmap, BitmapTask, DeviceIndex};
use super::log::LogMessage;
use super::receive::{ReceiveError, Received};
use super::Resource;
use crate::state::{Change, ConnectionState, DiskState, Role};
use crate::uuid::{same_data, without_primary_bit, Uuids, FLAG_SKIP_INITIAL_SYNC, JUST_CREATED};
use crate::wire::UuidFlags;

impl Resource<'_> {
    /// The bitmap UUID; `None` without a disk.
    pub(super) fn bitmap_uuid(&self, index: DeviceIndex) -> Option<u64> {
        let disk = self.device(index)?.disk.as_ref()?;
        let [_, bitmap, _, _] = disk.superblock.uuids;
        Some(bitmap)
    }

    pub(super) fn own_uuids(&self, index: DeviceIndex) -> Option<Uuids> {
        let disk = self.device(index)?.disk.as_ref()?;
        Some(Uuids::from_array(disk.superblock.uuids))
    }

    pub(super) fn peer_uuids(&self, index: DeviceIndex) -> Option<Uuids> {
        let [current, bitmap, first, second, _, _] = self.device(index)?.peer.uuids?;
        Some(Uuids::from_array([current, bitmap, first, second]))
    }

    /// Replaces our UUIDs; they will be written.
    pub(super) fn set_uuids(&mut self, index: DeviceIndex, uuids: Uuids, why: &'static str) {
        let current = uuids.current;
        let uuids = uuids.to_array();
        if let Some(device) = self.device_mut(index) {
            if let Some(disk) = device.disk.as_mut() {
                disk.superblock.uuids = uuids;
                // What applications see from now on has this name.
                device.expose(current);
            }
        }
        self.superblock_changed(index);
        self.log(index, LogMessage::Uuids { why, uuids });
    }

    /// From now on the data changes without the peer. Nobody writes until that is on the disk: else a crash could let
    /// two histories look like one.
    pub(super) fn new_current_uuid(&mut self, index: DeviceIndex) {
        self.begin_generation(index, |uuids, random, primary| {
            uuids.new_current(random, primary);
        });
    }

    /// The same, while the bitmap counts already: see [`lost_target`](super::lost_target).
    pub(super) fn new_current_uuid_beside_bitmap(&mut self, index: DeviceIndex) {
        let target = self.device(index).map_or(0, |device| device.target_name);
        self.begin_generation(index, |uuids, random, primary| {
            uuids.new_current_beside_bitmap(random, primary);
            keep_in_history(uuids, target);
        });
    }

    /// `begin` gets our UUIDs, a random word, and whether we are Primary. Requests wait until the disk has what comes out.
    fn begin_generation(&mut self, index: DeviceIndex, begin: impl FnOnce(&mut Uuids, u64, bool)) {
        let Some(mut uuids) = self.own_uuids(index) else {
            return;
        };
        let random = self.random_word();
        begin(&mut uuids, random, self.is_primary(index));
        if let Some(device) = self.device_mut(index) {
            device.expose_as(uuids.current);
        }
        self.set_uuids(index, uuids, "new current UUID");
        self.hold_requests_for_superblock(index);
    }

    fn is_primary(&self, index: DeviceIndex) -> bool {
        self.device(index)
            .is_some_and(|device| device.state.role == Role::Primary)
    }

    /// `P_UUIDS` as it is to be sent now.
    pub(super) fn take_uuids_packet(&mut self, index: DeviceIndex) -> Option<crate::wire::Uuids> {
        let device = self.device_mut(index)?;
        let compared = device.uuids_compared.take();
        let kept = device.uuids_of_failed_disk.take();
        let packet = self
            .uuids_packet(index)
            .map(|now| compared.unwrap_or(now))
            .or(kept)?;
        let [.., bits, _] = packet.uuid;
        if let Some(device) = self.device_mut(index) {
            device.bits_told = Some(bits);
        }
        Some(packet)
    }

    /// Where a policy decides by the number of marked blocks, both nodes have to go by the number that was told: this one writes on.
    /// Where nothing was told yet, it will be what was compared.
    pub(super) fn compare_what_is_told(&mut self, index: DeviceIndex) {
        let untold = self
            .device(index)
            .is_some_and(|device| device.bits_told.is_none());
        if untold && self.has_uuids_to_tell(index) {
            self.keep_uuids_compared(index);
        }
    }

    /// Our UUIDs are about to be corrected by what the peer said of its own, and it may not have heard of ours. It has to
    /// compare what we compared, or it comes to another end.
    pub(super) fn keep_uuids_compared(&mut self, index: DeviceIndex) {
        let compared = self.uuids_of_disk(index);
        if let Some(device) = self.device_mut(index) {
            device.uuids_compared = compared;
        }
    }

    /// The comparison is over, with all that it brought along: where nothing is to be told, the peer had heard it before.
    pub(super) fn forget_uuids_compared(&mut self, index: DeviceIndex) {
        if !self.has_uuids_to_tell(index) {
            if let Some(device) = self.device_mut(index) {
                device.uuids_compared = None;
            }
        }
    }

    fn has_uuids_to_tell(&self, index: DeviceIndex) -> bool {
        let queue = &self.connection.data_queue;
        (0..queue.len()).any(|place| queue.get(place) == Some(&DataItem::Uuids(index)))
    }

    /// `P_UUIDS` as it is.
    fn uuids_packet(&self, index: DeviceIndex) -> Option<crate::wire::Uuids> {
        let device = self.device(index)?;
        if device.state.disk < DiskState::Negotiating {
            return None;
        }
        self.uuids_of_disk(index)
    }

    /// A disk fails while the peer has not yet heard how its data is called now: it hears it all the same, if the disk will
    /// remember. A Primary without a disk must know that name, or it takes older data for what it used last.
    pub(super) fn keep_uuids_of_failed_disk(&mut self, index: DeviceIndex) {
        let waits = self.has_uuids_to_tell(index);
        let durable = self
            .device(index)
            .and_then(|device| device.disk.as_ref())
            .is_some_and(|disk| !disk.metadata.superblock_pending());
        let uuids = self.uuids_of_disk(index).filter(|_| waits && durable);
        if let Some(device) = self.device_mut(index) {
            device.uuids_of_failed_disk = uuids;
        }
    }

    fn uuids_of_disk(&self, index: DeviceIndex) -> Option<crate::wire::Uuids> {
        let device = self.device(index)?;
        let disk = device.disk.as_ref()?;
        // Only looked at beside a state with a negotiating disk; that may be under way while ours is settled already.
        let inconsistent = device
            .attach_result
            .is_some_and(|disks| disks.own == DiskState::Inconsistent);
        let flags = UuidFlags::NONE
            .with_if(device.discard_my_data, UuidFlags::DISCARD_MY_DATA)
            .with_if(device.crashed_primary, UuidFlags::CRASHED_PRIMARY)
            .with_if(inconsistent, UuidFlags::INCONSISTENT)
            .with_if(device.skip_initial_sync, UuidFlags::SKIP_INITIAL_SYNC);
        let uuids = Uuids::from_array(disk.superblock.uuids);
        Some(crate::wire::Uuids::new(
            uuids.current,
            uuids.bitmap,
            uuids.history,
            disk.bitmap.weight(),
            flags,
        ))
    }

    /// `P_UUIDS`
    pub(super) fn receive_uuids(
        &mut self,
        index: DeviceIndex,
        uuids: [u64; 6],
    ) -> Result<Received, ReceiveError> {
        let [current, bitmap, first, second, _, flags] = uuids;
        let agreed = self.connection.agreed_protocol;
        let Some(device) = self.device_mut(index) else {
            return Err(ReceiveError::UnknownVolume);
        };
        device.peer.uuids = Some(uuids);
        device.target_name = current;
        let state = device.state;
        let newcomer =
            state.connection < ConnectionState::Connected || state.peer_disk == DiskState::Diskless;
        let without_data = state.disk < DiskState::Inconsistent && state.role == Role::Primary;
        let offered = Uuids::from_array([current, bitmap, first, second]);
        if newcomer && without_data && !device.accepts_data(&offered) {
            let wanted = device.exposed_uuid;
            self.log(index, LogMessage::WrongDataGeneration(wanted));
            self.give_up_connection();
            return Err(ReceiveError::Incompatible);
        }
        device.name_heard(&offered, newcomer);
        let skip = state.connection == ConnectionState::Connected
            && agreed >= 90
            && flags & FLAG_SKIP_INITIAL_SYNC != 0
            && self
                .own_uuids(index)
                .is_some_and(|own| own.current == JUST_CREATED);
        if skip {
            self.skip_initial_sync(index, current);
        }
        // A Primary that gets a disk back goes on with it only where it has what was used last.
        let comes_back = newcomer && state.peer == Role::Primary;
        if state.connection >= ConnectionState::Connected && state.disk < DiskState::Inconsistent {
            if let Some(device) = self
                .device_mut(index)
                .filter(|device| !comes_back || device.exposed_uuid == 0)
            {
                device.expose(current);
            }
        }
        Ok(Received::Done)
    }

    /// A resync is over, or was declared needless: the peer has the data that we have, and calls it the same, whatever it said before.
    pub(super) fn peer_has_our_uuids(&mut self, index: DeviceIndex) {
        let Some(uuids) = self.own_uuids(index) else {
            return;
        };
        if let Some(device) = self.device_mut(index) {
            device.target_name = uuids.current;
            if let Some([current, bitmap, first, second, _, _]) = device.peer.uuids.as_mut() {
                [*current, *bitmap, *first, *second] = uuids.to_array();
            }
        }
    }

    /// Both disks are declared equal by the administrator of the peer.
    fn skip_initial_sync(&mut self, index: DeviceIndex, current: u64) {
        self.log(index, LogMessage::SkipInitialSync);
        self.start_bitmap_task(index, BitmapTask::ClearAll, AfterBitmap::Nothing);
        if let Some(mut uuids) = self.own_uuids(index) {
            uuids.skip_initial_sync(current, self.is_primary(index));
            self.set_uuids(index, uuids, "Accepted new current UUID");
        }
        let up_to_date = Change::none()
            .disk(DiskState::UpToDate)
            .peer_disk(DiskState::UpToDate);
        let _ = self.change(index, up_to_date, false);
        self.tell_current_state(index);
    }

    /// Tells the peer our state, should it have an older one of before the disks were declared equal on its way.
    pub(super) fn tell_current_state(&mut self, index: DeviceIndex) {
        if let Some(state) = self.device(index).map(|device| device.state) {
            self.send_state(index, &state);
        }
    }

    /// A resync may end, or another one begin, while its UUID waits for the superblock. A target that heard of it then
    /// would wait for a resync that does not come.
    pub(super) fn sync_uuid_is_outlived(&self, index: DeviceIndex, uuid: u64) -> bool {
        let over = self
            .device(index)
            .is_none_or(|device| device.state.connection <= ConnectionState::Connected);
        over || self
            .bitmap_uuid(index)
            .is_none_or(|bitmap| !same_data(bitmap, uuid))
    }

    /// Whether the target of a resync has not been told its UUID yet.
    pub(super) fn sync_uuid_waits(&self, index: DeviceIndex) -> bool {
        let queue = &self.connection.data_queue;
        (0..queue.len()).any(|place| {
            matches!(queue.get(place), Some(DataItem::SyncUuid(device, _)) if *device == index)
        })
    }

    /// The source of a resync gives its target a UUID for the time of the resync. One that follows on being Ahead goes on
    /// where the last one was left, under the same UUID: a source that pulls ahead again and again would have forgotten what
    /// its target is called, if that did not hear of each of them.
    pub(super) fn send_sync_uuid(&mut self, index: DeviceIndex, was_ahead: bool) {
        let Some(mut uuids) = self.own_uuids(index) else {
            return;
        };
        let given = self.device(index).map_or(0, |device| device.sync_uuid);
        let uuid = if was_ahead && given != 0 && same_data(given, uuids.bitmap) {
            given
        } else {
            let random = self.random_word();
            let target = self.device(index).map_or(0, |device| device.target_name);
            let uuid = uuids.start_resync_as_source(if was_ahead { 0 } else { target }, random);
            keep_in_history(&mut uuids, target);
            self.set_uuids(index, uuids, "updated sync UUID");
            uuid
        };
        if let Some(device) = self.device_mut(index) {
            device.sync_uuid = uuid;
        }
        self.send_data(DataItem::SyncUuid(index, uuid));
    }
}

/// Each start of a resync moves the history, and so does a new UUID beside the bitmap. A target that goes again and again before it has noted the start keeps its
/// old name; two starts later nobody would know that name any more. It stays, as the oldest.
fn keep_in_history(uuids: &mut Uuids, target: u64) {
    if target != 0 && without_primary_bit(target) != JUST_CREATED {
        uuids.remember(target);
    }
}
