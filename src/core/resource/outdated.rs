// SPDX-License-Identifier: GPL-2.0-only

//! An Outdated disk meets a peer without a disk. A connection makes Outdated data UpToDate, because the handshake has
//! compared both disks. Here nothing is compared: the disk stays what it is ([`Context::keeps_outdated`]), and nobody becomes
//! Primary on it without force.
//!
//! A Primary, though, goes on with its peer's data only where that is what it used last, and ends the connection otherwise.
//! So its word that it is connected, or a request of its application, says that the data is good.
//!
//! [`Context::keeps_outdated`]: crate::state::Context::keeps_outdated

use super::device::DeviceIndex;
use super::Resource;
use crate::state::{Change, ConnectionState, DiskState, Role, State};

impl Resource<'_> {
    /// The peer's state was taken over, in place of `old`. The first one comes before the peer has heard what our data is
    /// called; the next, if we had a disk to tell of, after it.
    pub(super) fn peer_accepts_data(&mut self, index: DeviceIndex, old: &State, peer: &State) {
        if old.connection < ConnectionState::Connected {
            let told = old.disk >= DiskState::Negotiating;
            if let Some(device) = self.device_mut(index) {
                device.data_told = told;
            }
            return;
        }
        let accepts = peer.connection >= ConnectionState::Connected
            && self.device(index).is_some_and(|device| device.data_told);
        if accepts {
            self.peer_uses_data(index);
        }
    }

    /// A Primary without a disk uses our data.
    pub(super) fn peer_uses_data(&mut self, index: DeviceIndex) {
        let Some(state) = self.device(index).map(|device| device.state) else {
            return;
        };
        if state.connection == ConnectionState::Connected
            && state.disk == DiskState::Outdated
            && state.peer == Role::Primary
            && state.peer_disk < DiskState::Negotiating
        {
            let _ = self.change(index, Change::none().disk(DiskState::UpToDate), true);
        }
    }
}
