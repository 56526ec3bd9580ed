// SPDX-License-Identifier: GPL-2.0-only

//! A Primary asks whether it may give its disk up, and we, its Secondary, agree. From then on its disk counts as gone, and the
//! C driver gives our data another name at once, for it is going to change alone. Should the link break before the Primary has our
//! consent, it keeps its disk and makes a name of its own; both nodes report a split brain then, that nobody wrote.
//!
//! Here our data gets its new name when the Primary says that its disk is gone, which comes before all that it writes without
//! one. Nothing has to be taken back, whatever happens between: the link breaks, we lose power, or our own disk.

use super::device::DeviceIndex;
use super::Resource;
use crate::state::{Change, ConnectionState, DiskState, Role, State, StateCode};

impl Resource<'_> {
    /// The peer asks for this change of a volume.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(super) fn agree(&mut self, index: DeviceIndex, change: Change) -> Result<(), StateCode> {
        let detaches = self.is_about_to_detach(index, change);
        if detaches
            && self
                .device(index)
                .is_none_or(|device| device.state.disk < DiskState::UpToDate)
        {
            // It thinks better of our disk than that is.
            return Err(StateCode::NoUpToDateDisk);
        }
        let pending = self.awaits_end_of_peer_disk(index);
        self.set_consent(index, pending || detaches);
        let result = self.change(index, change, false);
        if result.is_err() {
            self.set_consent(index, pending);
        }
        result
    }

    fn is_about_to_detach(&self, index: DeviceIndex, change: Change) -> bool {
        change
            .peer_disk
            .is_some_and(|disk| disk <= DiskState::Failed)
            && self.device(index).is_some_and(|device| {
                device.state.role != Role::Primary
                    && device.state.peer == Role::Primary
                    && device.state.peer_disk > DiskState::Failed
            })
    }

    /// A Primary wants to give its disk up for ours, of which the superblock does not say yet that it is UpToDate, or which is about to be so:
    /// the resync is done at the source. Should we lose power now, there would be no good disk any more: the answer waits until it says so.
    pub(super) fn agrees_too_early(&self, index: DeviceIndex, change: Change) -> bool {
        let unsaid = self.device(index).is_some_and(|device| {
            let pending = device
                .disk
                .as_ref()
                .is_some_and(|disk| !disk.failed && disk.metadata.superblock_pending());
            device.has_nothing_to_ask_for() || (device.state.disk >= DiskState::UpToDate && pending)
        });
        unsaid && self.is_about_to_detach(index, change)
    }

    fn set_consent(&mut self, index: DeviceIndex, consent: bool) {
        if let Some(device) = self.device_mut(index) {
            device.consent = consent;
        }
    }

    /// Whether the peer may give its disk up, and did not say that it has.
    pub(super) fn awaits_end_of_peer_disk(&self, index: DeviceIndex) -> bool {
        self.device(index).is_some_and(|device| device.consent)
    }

    /// The peer said what its disk is: that is gone, as agreed; or the peer keeps it, for things have changed since it asked. It may
    /// also have said so before it heard our consent. Then it says soon that its disk is gone.
    pub(super) fn peer_has_disk(&mut self, index: DeviceIndex, peer_disk: DiskState) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let agreed = core::mem::take(&mut device.consent);
        let changes_alone =
            device.state.disk >= DiskState::UpToDate && device.state.peer == Role::Primary;
        if agreed && changes_alone && peer_disk <= DiskState::Failed {
            self.part_from_peer(index);
        }
    }

    /// After each change of state: a consent is a matter of one link, and of a Secondary.
    pub(super) fn forget_consent(&mut self, index: DeviceIndex, new: &State) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if new.role == Role::Primary || new.connection < ConnectionState::Connected {
            device.consent = false;
        }
        if new.role != Role::Primary {
            device.name_unheard = false;
        }
    }
}
