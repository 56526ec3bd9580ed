// SPDX-License-Identifier: GPL-2.0-only

//! What the data is called that applications saw last. A Primary without a disk goes on with nothing else.
//!
//! The disk of a Primary goes, and the peer, whose data changes alone from now on, gives that another name. Until the Primary
//! has heard it, what it used last is what it knew, or what the peer made of just that: its successor. Its own disk is
//! neither: it may lack what the peer has got since. With the C driver the Primary refuses the peer's data then, takes its own
//! disk when that works again, and both nodes report a split brain.
//!
//! A peer whose own disk comes back, or that meets a Primary without one, cannot know whether this Primary goes on with its data, and
//! keeps the name until the first write. With the C driver it keeps it then, too: the Primary's own disk, called the same,
//! may be taken for the newer one, and what was written is gone.

use super::connection::DataItem;
use super::device::{Device, DeviceIndex};
use super::Resource;
use crate::state::{Change, DiskState, Role, State};
use crate::uuid::{same_data, Uuids};

impl Resource<'_> {
    /// The disk that is being attached does not fit the peer's, which comes to the same end: the data that applications use stays what
    /// it is, and so does what we know of its name.
    pub(super) fn refuse_attached_disk(&mut self, index: DeviceIndex) {
        let is_unheard = self.device(index).is_some_and(|device| device.name_unheard);
        let _ = self.change(index, Change::none().disk(DiskState::Failed), true);
        if let Some(device) = self.device_mut(index) {
            device.name_unheard = is_unheard;
        }
    }

    /// A write of the peer, which has no disk: our data changes alone from here on.
    pub(super) fn peer_writes_here_alone(&mut self, index: DeviceIndex) {
        let alone = self.device(index).is_some_and(|device| {
            device.state.disk >= DiskState::UpToDate && device.peer_is_diskless() && !device.consent
        });
        if alone {
            self.part_from_peer(index);
        }
    }

    /// The peer could not write what we wrote. Its word that its disk is gone comes later, on the other socket; by then this node may be a
    /// Secondary, or have lost the peer, and both disks must not be called the same.
    pub(super) fn peer_lacks_a_write(&mut self, index: DeviceIndex) {
        let alone = self.device(index).is_some_and(|device| {
            device.state.role == Role::Primary && device.state.disk >= DiskState::UpToDate
        });
        if alone {
            self.part_from_peer(index);
        }
    }

    /// Our data is about to change without the peer: it gets another name, unless the bitmap counts already.
    pub(super) fn part_from_peer(&mut self, index: DeviceIndex) {
        if self.bitmap_uuid(index) == Some(0) {
            self.new_current_uuid(index);
            self.send_data(DataItem::Uuids(index));
        }
    }
}

impl Device<'_> {
    /// A write goes to the peer alone, which gives its data another name for that, if it has not done so yet.
    pub(super) fn writes_on_peer_alone(&mut self) {
        let counts = self.peer.uuids.is_some_and(|[_, bitmap, ..]| bitmap != 0);
        self.name_unheard |= self.state.role == Role::Primary && !counts;
    }

    /// The peer says what its data is called.
    pub(super) fn name_heard(&mut self, offered: &Uuids, newcomer: bool) {
        // What it said before our first write came does not count.
        self.name_unheard &= !newcomer && offered.bitmap == 0;
    }

    /// Our disk goes, and applications see the peer's data, which has these UUIDs as far as we know.
    pub(super) fn expose_peers_data(&mut self, new: &State, peer: &Uuids) {
        let current = peer.current;
        let is_heard = self
            .own_name()
            .is_some_and(|own| same_data(own, peer.bitmap));
        self.name_unheard = new.role == Role::Primary && !is_heard;
        self.expose(current);
    }

    /// Our disk is worth something, and applications see what is on it.
    pub(super) fn expose_own_data(&mut self) {
        if let Some(current) = self.own_name() {
            self.expose(current);
            self.name_unheard = false;
        }
    }

    /// Applications see data of this name from now on.
    pub(super) fn expose(&mut self, current: u64) {
        if !same_data(self.exposed_uuid, current) {
            self.exposed_before = 0;
        }
        self.exposed_uuid = current;
    }

    /// Our data gets another name, which is not durable yet. Should the disk fail before it is, the data is still what it was, and may
    /// still be called so.
    pub(super) fn expose_as(&mut self, current: u64) {
        if self.exposed_before == 0 {
            self.exposed_before = self.exposed_uuid;
        }
        self.exposed_uuid = current;
    }

    /// A disk is there again, and says how its data is called: whether the last name had reached it.
    pub(super) fn settle_name(&mut self) {
        if let Some(current) = self.own_name().filter(|own| self.is_exposed(*own)) {
            self.expose(current);
        }
    }

    fn is_exposed(&self, current: u64) -> bool {
        same_data(self.exposed_uuid, current)
            || (self.exposed_before != 0 && same_data(self.exposed_before, current))
    }

    /// A peer offers data to a Primary without a disk: whether that is what applications saw last.
    pub(super) fn accepts_data(&mut self, offered: &Uuids) -> bool {
        let current = offered.current;
        // The name that was given up counts, or is the youngest past where something else counts.
        let [youngest, _] = offered.history;
        let went_on = self.name_unheard
            && (same_data(offered.bitmap, self.exposed_uuid)
                || same_data(youngest, self.exposed_uuid));
        if went_on {
            self.expose(current);
        }
        self.is_exposed(current)
    }

    /// Whether data of this name is what applications saw last.
    pub(super) fn has_seen(&self, current: u64) -> bool {
        self.exposed_uuid == 0 || (self.is_exposed(current) && !self.name_unheard)
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

    /// Whether the peer has no disk that gets its writes. Its last ones may come while this node disconnects, and calls that disk
    /// DUnknown already.
    pub(super) fn peer_is_diskless(&self) -> bool {
        let peer_disk = match self.state.peer_disk {
            DiskState::Unknown => self.last_peer_disk,
            known => known,
        };
        peer_disk < DiskState::Inconsistent
    }
}
