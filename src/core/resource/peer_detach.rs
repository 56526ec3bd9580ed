// SPDX-License-Identifier: GPL-2.0-only

//! A Primary asks whether it may give its disk up, and we, its Secondary, agree: from then on our data changes alone, and has a
//! new current UUID for that. Should the link break before the Primary has our consent, it keeps its disk and makes another
//! one of its own; with the C driver both nodes report a split brain then, that nobody wrote.
//!
//! Here the consent counts when the Primary says that its disk is gone, which comes before all that it writes without one.
//! If the link breaks before that word, our data is called what it was called before.
//!
//! The Primary may have detached all the same, and know our data by the name that we gave up. It remembers both names until it
//! has written something without its disk.

use super::device::{Device, DeviceIndex};
use super::Resource;
use crate::state::{Change, ConnectionState, DiskState, Role, State, StateCode};
use crate::uuid::{same_data, Uuids};

/// A name that we gave our data with our consent, and may take back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Consent {
    before: Uuids,
    made: Uuids,
}

impl Resource<'_> {
    /// The peer asks for this change of a volume.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(super) fn agree(&mut self, index: DeviceIndex, change: Change) -> Result<(), StateCode> {
        let detaches = change
            .peer_disk
            .is_some_and(|disk| disk <= DiskState::Failed)
            && self.device(index).is_some_and(|device| {
                device.state.role != Role::Primary && device.state.peer == Role::Primary
            });
        let before = self.own_uuids(index).filter(|_| detaches);
        self.change(index, change, false)?;
        if let (Some(before), Some(made)) = (before, self.own_uuids(index)) {
            if before.current != made.current && before.bitmap == 0 {
                if let Some(device) = self.device_mut(index) {
                    device.consent = Some(Consent { before, made });
                }
            }
        }
        Ok(())
    }

    /// The peer said what its disk is.
    pub(super) fn peer_has_disk(&mut self, index: DeviceIndex, peer_disk: DiskState) {
        if let Some(device) = self.device_mut(index) {
            if peer_disk <= DiskState::Failed {
                device.consent = None;
            }
        }
    }

    /// After each change of state.
    pub(super) fn take_consent_back(&mut self, index: DeviceIndex, new: &State) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if new.role == Role::Primary {
            device.consent = None;
        } else {
            device.exposed_before = 0;
        }
        if new.connection >= ConnectionState::Connected {
            return;
        }
        let Some(Consent { before, made }) = device.consent.take() else {
            return;
        };
        if new.disk >= DiskState::UpToDate && self.own_uuids(index) == Some(made) {
            self.set_uuids(index, before, "the peer did not detach, back to");
        }
    }
}

impl Device<'_> {
    /// What applications see is called like this from now on; it is the same data.
    pub(super) fn expose(&mut self, current: u64) {
        if !same_data(self.exposed_uuid, current) {
            self.exposed_before = self.exposed_uuid;
        }
        self.exposed_uuid = current;
    }

    /// A peer offers data of this name to a Primary without a disk: whether that is what applications saw last.
    pub(super) fn accepts_data(&mut self, current: u64) -> bool {
        if self.exposed_before != 0 && same_data(self.exposed_before, current) {
            // It took the newer name back.
            self.exposed_uuid = current;
            self.exposed_before = 0;
        }
        same_data(self.exposed_uuid, current)
    }
}
