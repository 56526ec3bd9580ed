// SPDX-License-Identifier: GPL-2.0-only

//! How a resync begins: who wished for it, what the handlers say to it, and the UUIDs of both nodes.

use super::connection::DataItem;
use super::device::{AfterBitmap, BitmapTask, DeviceIndex, Resync};
use super::effect::{Event, Helper};
use super::log::LogMessage;
use super::pace::Courtesy;
use super::receive::{ReceiveError, Received};
use super::Resource;
use crate::state::{Change, ConnectionState, DiskState, Role, State};
use crate::uuid::{without_primary_bit, JUST_CREATED};
use crate::wire::Command;

impl Resource<'_> {
    /// `P_SYNC_UUID`: the source begins.
    pub(super) fn receive_sync_uuid(
        &mut self,
        index: DeviceIndex,
        uuid: u64,
    ) -> Result<Received, ReceiveError> {
        let Some(device) = self.device(index) else {
            return Err(ReceiveError::UnknownVolume);
        };
        match device.state.connection {
            ConnectionState::WFSyncUUID | ConnectionState::Behind => {}
            _ if device.state.connection < ConnectionState::Connected
                || device.state.disk < DiskState::Negotiating =>
            {
                return Ok(Received::Done)
            }
            // It belongs to a resync before, or to one that an administrator wished for over there while we took the source's state
            // for the word about another.
            ConnectionState::WFBitMapT if !device.exchange.received => {
                self.compare_anew(index, Command::SyncUuid, "no bitmap came before it");
                return Ok(Received::Done);
            }
            // Our own part is not done: all bits are being set, or our bitmap is not sent.
            ConnectionState::StartingSyncT | ConnectionState::WFBitMapT => {
                return Ok(Received::Wait)
            }
            // The resync may be our own wish, and the peer's consent, which comes on the other socket, not here yet.
            ConnectionState::Connected
                if device.state.disk != DiskState::Negotiating && self.has_operation() =>
            {
                return Ok(Received::Wait)
            }
            // It belongs to a resync that is over here, or never began: a disk was given up, or attached anew, while this was
            // on its way, or this node wished for that resync, and has become a source before the peer agreed.
            _ => return Ok(Received::Done),
        }
        let primary = device.state.role == Role::Primary;
        if let Some(mut uuids) = self.own_uuids(index) {
            uuids.start_resync_as_target(uuid, primary);
            self.set_uuids(index, uuids, "updated sync uuid");
            self.prepare_resync(index, ConnectionState::SyncTarget);
        }
        Ok(Received::Done)
    }

    /// The bits for a resync that an administrator asked for are set, and on the disk.
    pub(super) fn start_requested_sync(&mut self, index: DeviceIndex) {
        match self.device(index).map(|device| device.state.connection) {
            Some(ConnectionState::StartingSyncT) => {
                let wanted = Change::none().connection(ConnectionState::WFSyncUUID);
                let _ = self.change(index, wanted, false);
            }
            Some(ConnectionState::StartingSyncS) => {
                self.prepare_resync(index, ConnectionState::SyncSource);
            }
            _ => {}
        }
    }

    /// A disk that was never used becomes the source of a resync by an administrator's wish, even if that began before a crash: from now on
    /// it is used, and must not be taken for a new one again, nor its peer.
    pub(super) fn name_used_data(&mut self, index: DeviceIndex) {
        let never_used = self
            .own_uuids(index)
            .is_some_and(|uuids| without_primary_bit(uuids.current) == JUST_CREATED);
        if never_used {
            self.new_current_uuid(index);
            self.send_data(DataItem::Uuids(index));
        }
    }

    /// The administrator's handler may object; then the resync begins.
    pub(super) fn prepare_resync(&mut self, index: DeviceIndex, side: ConnectionState) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if device.sync_wanted.is_some() {
            return;
        }
        device.sync_wanted = Some(side);
        device.handlers_before_resync = device.handlers_before_resync.saturating_add(1);
        if side == ConnectionState::SyncSource {
            self.name_used_data(index);
        }
        self.event(Event::CallHelperAndReport {
            device: index,
            helper: helper_before(side),
        });
    }

    /// A handler that was called before a resync ended with this exit code. They end in the order in which they were called.
    pub fn helper_finished(&mut self, index: DeviceIndex, helper: Helper, code: u8) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let Some(others) = device.handlers_before_resync.checked_sub(1) else {
            return;
        };
        device.handlers_before_resync = others;
        if others > 0 {
            // The word of one that was called for a resync that was given up.
            return;
        }
        let Some(side) = device.sync_wanted.take() else {
            return;
        };
        if !still_prepares(device.state.connection, side)
            || device.state.disk < DiskState::Negotiating
            || !self.all_marks_are_told(index)
        {
            return;
        }
        // Old user-space tools answer 3 to what they do not know.
        let objects = code > 0 && !(side == ConnectionState::SyncSource && code == 3);
        if objects {
            self.log(
                index,
                LogMessage::HelperRefused {
                    name: helper.name(),
                    code,
                },
            );
            self.give_up_connection();
            return;
        }
        self.start_resync(index, side);
    }

    /// The state changed: a resync that was about to begin may not be wanted any more, whatever its handler says when it ends.
    pub(super) fn forget_unwanted_resync(&mut self, index: DeviceIndex, new: &State) {
        if let Some(device) = self.device_mut(index) {
            device.sync_wanted = device.sync_wanted.filter(|side| {
                still_prepares(new.connection, *side) && new.disk >= DiskState::Negotiating
            });
        }
    }

    fn start_resync(&mut self, index: DeviceIndex, side: ConnectionState) {
        let change = Change::none().connection(side);
        let change = if side == ConnectionState::SyncTarget {
            change.disk(DiskState::Inconsistent)
        } else {
            change.peer_disk(DiskState::Inconsistent)
        };
        if let Err(code) = self.change(index, change, false) {
            self.log(index, LogMessage::StateChangeFailed(code));
        }
    }

    /// The state says that a resync began.
    pub(super) fn begin_resync(&mut self, index: DeviceIndex, new: &State) {
        let now = self.now;
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let blocks = device.disk.as_ref().map_or(0, |disk| disk.bitmap.weight());
        device.resync = Resync::begun(now, blocks);
        device.courtesy = Courtesy::default();
        if new.is_resync_paused() {
            device.resync.paused_at = Some(now);
        }
        let is_target = new.connection.is_sync_target();
        let checksums = is_target && self.wants_checksums(index);
        if let Some(device) = self.device_mut(index) {
            device.resync.checksums = checksums;
        }
        self.log(
            index,
            LogMessage::ResyncBegan {
                side: new.connection,
                blocks,
            },
        );
        if is_target {
            self.start_bitmap_write(index);
        }
        self.wishes.send_data = true;
        self.wishes.timer = true;
    }

    /// New storage at the end of both disks is made equal.
    pub(super) fn resync_after_growth(&mut self, index: DeviceIndex) {
        let resolves = self.connection.resolve_conflicts;
        let Some(state) = self.device(index).map(|device| device.state) else {
            return;
        };
        let is_source = if state.role == state.peer {
            resolves
        } else {
            state.role == Role::Primary
        };
        if is_source {
            self.prepare_resync(index, ConnectionState::SyncSource);
        } else {
            let wanted = Change::none().connection(ConnectionState::WFSyncUUID);
            let _ = self.change(index, wanted, false);
        }
    }

    /// A full resync that an administrator asks for without a peer: when it comes, all is different.
    pub(super) fn mark_everything(&mut self, index: DeviceIndex) {
        self.start_bitmap_task(index, BitmapTask::SetAll, AfterBitmap::Nothing);
        self.suspend_activity_log(index);
    }
}

fn helper_before(side: ConnectionState) -> Helper {
    if side == ConnectionState::SyncTarget {
        Helper::BeforeResyncTarget
    } else {
        Helper::BeforeResyncSource
    }
}

/// Whether a resync may begin from this state: the handler took its time, and things may have changed.
fn still_prepares(state: ConnectionState, side: ConnectionState) -> bool {
    use ConnectionState as C;
    if side == C::SyncTarget {
        matches!(state, C::WFSyncUUID | C::Behind)
    } else {
        matches!(state, C::WFBitMapS | C::StartingSyncS | C::Ahead)
    }
}
