// SPDX-License-Identifier: GPL-2.0-only

//! `on-no-data-accessible suspend-io`: what waits for data goes on when data is back.
//!
//! What was on its way to the peer when the last data went waits as well, and is done again: nobody knows whether it was
//! done. Two that overlap were never under way at once, so their order does not matter.

use super::device::DeviceIndex;
use super::request::{Remote, Request};
use super::Resource;
use crate::state::{Change, ConnectionState, DiskState, State};

/// Whether good data can be reached.
fn has_data(state: &State) -> bool {
    state.disk == DiskState::UpToDate
        || (state.connection >= ConnectionState::Connected
            && state.peer_disk == DiskState::UpToDate)
}

impl Resource<'_> {
    /// After each change of state: ends the suspension where every volume has data again.
    pub(super) fn resume_when_data_is_back(&mut self, index: DeviceIndex, new: &State) {
        if !new.suspended_no_data || !self.present().all(|(_, device)| has_data(&device.state)) {
            return;
        }
        let _ = self.change(index, Change::none().suspended_no_data(false), true);
    }

    /// Whether a request that was lost with the peer waits for the peer's return.
    pub(super) fn waits_for_data(&self, index: DeviceIndex, request: &Request) -> bool {
        request.remote == Remote::Lost
            && self
                .device(index)
                .is_some_and(|device| device.state.suspended_no_data)
    }
}
