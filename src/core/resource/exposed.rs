// SPDX-License-Identifier: GPL-2.0-only

//! What the data is called that applications saw last. A Primary without a disk goes on with nothing else.
//!
//! The disk of a Primary goes, and the peer, whose data changes alone from now on, gives that another name. Until the Primary
//! has heard it, what it used last is what it knew, or what the peer made of just that: its successor. Its own disk is
//! neither: it may lack what the peer has got since. With the C driver the Primary refuses the peer's data then, takes its own
//! disk when that works again, and both nodes report a split brain.

use super::device::Device;
use crate::state::{DiskState, Role, State};
use crate::uuid::{same_data, Uuids};

impl Device<'_> {
    /// What applications see is called like this from now on; it is the same data.
    pub(super) fn expose(&mut self, current: u64) {
        if !same_data(self.exposed_uuid, current) {
            self.exposed_before = self.exposed_uuid;
        }
        self.exposed_uuid = current;
    }

    /// Our disk goes, and applications see the peer's data, which has these UUIDs as far as we know.
    pub(super) fn expose_peers_data(&mut self, old: &State, new: &State, peer: &Uuids) {
        let current = peer.current;
        let is_heard = self
            .own_name()
            .is_some_and(|own| same_data(own, peer.bitmap));
        self.name_unheard = new.role == Role::Primary && !is_heard;
        if old.disk == DiskState::UpToDate {
            self.expose(current);
        } else {
            self.exposed_uuid = current;
            self.exposed_before = 0;
        }
    }

    /// A peer offers data to a Primary without a disk: whether that is what applications saw last.
    pub(super) fn accepts_data(&mut self, offered: &Uuids) -> bool {
        let current = offered.current;
        let went_back = self.exposed_before != 0 && same_data(self.exposed_before, current);
        let went_on = self.name_unheard && same_data(offered.bitmap, self.exposed_uuid);
        if went_back || went_on {
            self.exposed_uuid = current;
            self.exposed_before = 0;
        }
        same_data(self.exposed_uuid, current)
    }

    /// Whether data of this name is what applications saw last.
    pub(super) fn has_seen(&self, current: u64) -> bool {
        self.exposed_uuid == 0 || (same_data(self.exposed_uuid, current) && !self.name_unheard)
    }

    /// The same of the data on our own disk.
    pub(super) fn has_seen_own_data(&self) -> bool {
        self.own_name()
            .is_some_and(|current| self.has_seen(current))
    }

    fn own_name(&self) -> Option<u64> {
        let [current, ..] = self.disk.as_ref()?.superblock.uuids;
        Some(current)
    }
}
