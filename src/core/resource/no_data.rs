// SPDX-License-Identifier: GPL-2.0-only

//! `on-no-data-accessible suspend-io`: what waits for data goes on when data is back.
//!
//! What was on its way to the peer when the last data went waits as well, and is done again: nobody knows whether it was
//! done. Two that overlap were never under way at once, so their order does not matter.
//!
//! A write that only an Inconsistent disk has is not done either: as the target of a resync it gets the peer's data, should
//! that come back, and the write would be gone. A peer whose disk went refuses writes before its word about that is here; so these begin anew,
//! until it is. With the C driver they succeed.

use super::device::DeviceIndex;
use super::read::MOST_REFUSALS;
use super::request::{Local, Remote, Request};
use super::Resource;
use crate::config::policy::OnNoData;
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

    /// Whether a request that was lost with the peer, or refused by it, waits for data.
    pub(super) fn waits_for_data(&self, index: DeviceIndex, request: &Request) -> bool {
        let Some(state) = self.device(index).map(|device| device.state) else {
            return false;
        };
        if request.local == Local::Done && state.disk == DiskState::UpToDate {
            return false;
        }
        match request.remote {
            Remote::Lost => state.suspended_no_data,
            Remote::Refused => request.refusals < MOST_REFUSALS,
            _ => false,
        }
    }

    /// What the peer's refusal of a write means.
    pub(super) fn refused_write(&mut self, index: DeviceIndex) -> Remote {
        let good = self
            .device(index)
            .is_some_and(|device| device.state.disk == DiskState::UpToDate);
        if good || self.options.on_no_data != OnNoData::SuspendIo {
            return Remote::Failed;
        }
        // Its epoch has to be over before it may join another.
        self.connection.close_epoch();
        self.wishes.send_data = true;
        Remote::Refused
    }
}
