// SPDX-License-Identifier: GPL-2.0-only

//! A Primary asks whether it may give its disk up, and we, its Secondary, agree: from then on our data changes alone, and has a
//! new current UUID for that. Should the link break before the Primary has our consent, it keeps its disk and makes another
//! one of its own; with the C driver both nodes report a split brain then, that nobody wrote.
//!
//! Here the consent counts when the Primary says that its disk is gone, which comes before all that it writes without one.
//! If the link breaks before that word, or the Primary says that it still has its disk, our data is called what it was called before.
//!
//! The Primary may have detached all the same, and know our data by the name that we gave up. It remembers both names until it
//! has written something without its disk.

use super::connection::DataItem;
use super::device::DeviceIndex;
use super::Resource;
use crate::state::{Change, ConnectionState, DiskState, Role, State, StateCode};
use crate::uuid::Uuids;

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

    /// The peer said what its disk is: that is gone, as agreed; or the peer keeps it, for things have changed since it asked. It may
    /// also have said so before it heard our consent. Then it says soon that its disk is gone, and our data gets a new name again.
    pub(super) fn peer_has_disk(&mut self, index: DeviceIndex, peer_disk: DiskState) {
        if peer_disk > DiskState::Failed {
            if self.withdraw_consent(index) {
                self.send_data(DataItem::Uuids(index));
            }
        } else if let Some(device) = self.device_mut(index) {
            device.consent = None;
        }
    }

    /// Our data is called again what it was called before we agreed; whether it is.
    fn withdraw_consent(&mut self, index: DeviceIndex) -> bool {
        let consent = self.device_mut(index).and_then(|device| {
            let good = device.state.disk >= DiskState::UpToDate;
            device.consent.take().filter(|_| good)
        });
        let Some(Consent { before, .. }) =
            consent.filter(|consent| self.own_uuids(index) == Some(consent.made))
        else {
            return false;
        };
        self.set_uuids(index, before, "the peer did not detach, back to");
        true
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
            device.name_unheard = false;
        }
        if new.connection < ConnectionState::Connected {
            self.withdraw_consent(index);
        }
    }
}
