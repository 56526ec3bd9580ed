// SPDX-License-Identifier: GPL-2.0-only

//! Every change of a state goes through here: decided by the tables in [`state`](crate::state), applied, and followed by
//! what it brings with it.

use super::connection::{DataItem, Phase};
use super::device::{AfterBitmap, BitmapTask, DeviceIndex};
use super::effect::{Event, Helper};
use super::log::LogMessage;
use super::submit::mirrors;
use super::verify::only_good_disks;
use super::Resource;
use crate::meta::superblock::MetaFlags;
use crate::state::{
    decide, metadata_flags, Change, ConnectionState, Context, DiskState, Fencing, Role, State,
    StateCode,
};

impl Resource<'_> {
    /// What a decision about a device depends on.
    pub(super) fn context(&self, index: DeviceIndex) -> Context {
        let conf = self.connection.conf.as_ref();
        let device = self.device(index);
        Context {
            fencing: device
                .and_then(|device| device.disk.as_ref())
                .map_or(Fencing::DontCare, |disk| disk.conf.fencing.into()),
            on_no_data: self.options.on_no_data.into(),
            network_configured: conf.is_some(),
            two_primaries: conf.is_some_and(|conf| conf.two_primaries),
            verify_algorithm: conf.is_some_and(|conf| !conf.verify_alg.is_empty()),
            agreed_protocol: self.connection.agreed_protocol,
            any_peer_primary: self
                .present()
                .any(|(_, device)| device.state.peer == Role::Primary),
            open: device.is_some_and(|device| device.open_count > 0),
            state_sent: self.connection.state_sent,
            keeps_outdated: true,
            negotiating_fallback: device
                .filter(|device| device.has_seen_own_data())
                .and_then(|device| device.attach_result),
        }
    }

    /// Changes the state of one device. A `hard` change is a fact, and not refused for being unwelcome.
    ///
    /// # Errors
    ///
    /// Why the change is not made. [`StateCode::NothingToDo`] is no error.
    pub(super) fn change(
        &mut self,
        index: DeviceIndex,
        change: Change,
        hard: bool,
    ) -> Result<(), StateCode> {
        let context = self.context(index);
        let Some(old) = self.device(index).map(|device| device.state) else {
            return Err(StateCode::UnknownError);
        };
        keeps_good_data(&old, change)?;
        let change = only_good_disks(&old, without_false_hope(&old, thrown_away(change)))?;
        if old.disk == DiskState::Failed && change.disk.is_some_and(|disk| disk > DiskState::Failed)
        {
            // A disk that was given up while somebody asked whether it may be more than that.
            return Err(StateCode::IsDiskless);
        }
        match decide(old, change, hard, &context) {
            Ok(decision) => {
                if let Some(warning) = decision.warning {
                    self.log(index, LogMessage::StateWarning(warning));
                }
                self.apply(index, old, decision.new);
                Ok(())
            }
            Err(code) if code.is_success() => Ok(()),
            Err(code) => Err(code),
        }
    }

    fn apply(&mut self, index: DeviceIndex, old: State, new: State) {
        if let Some(device) = self.device_mut(index) {
            device.state = new;
            device.retry_waiting = true;
            if new.peer_disk != DiskState::Unknown {
                device.last_peer_disk = new.peer_disk;
            }
        }
        // Suspension is a matter of the whole resource.
        for device in self.devices_mut() {
            device.state.suspended = new.suspended;
            device.state.suspended_no_data = new.suspended_no_data;
            device.state.suspended_fencing = new.suspended_fencing;
            device.retry_waiting = true;
        }
        self.progress = true;
        self.wishes.operations = true;
        self.wishes.room = true;
        if mirrors(&old) != mirrors(&new) {
            self.connection.close_epoch();
        }
        self.event(Event::StateChanged {
            device: index,
            old,
            new,
        });
        self.after_change(index, &old, &new);
    }

    /// Changes the connection, for all volumes alike.
    ///
    /// # Errors
    ///
    /// Why one of the volumes does not allow it; then nothing changes.
    pub(super) fn change_connection(
        &mut self,
        change: Change,
        hard: bool,
    ) -> Result<(), StateCode> {
        self.change_volumes(change, hard, without_false_hope)
    }

    /// Changes the connection as the peer wants it. One that leaves may ask for Outdated disks; a disk that is worse stays
    /// what it is.
    ///
    /// # Errors
    ///
    /// As [`change_connection`](Self::change_connection).
    pub(super) fn change_connection_for_peer(&mut self, change: Change) -> Result<(), StateCode> {
        self.change_volumes(change, false, |old, change| {
            let mut change = without_false_hope(old, change);
            if change.disk == Some(DiskState::Outdated) && old.disk < DiskState::Outdated {
                change.disk = None;
            }
            change
        })
    }

    /// Changes the connection; `part` is what each volume has of the change.
    fn change_volumes(
        &mut self,
        change: Change,
        hard: bool,
        part: fn(&State, Change) -> Change,
    ) -> Result<(), StateCode> {
        for index in self.indices() {
            let Some(old) = self.device(index).map(|device| device.state) else {
                continue;
            };
            let change = part(&old, change);
            match decide(old, change, hard, &self.context(index)) {
                Err(code) if !code.is_success() => return Err(code),
                _ => {}
            }
        }
        if let Some(connection) = change.connection {
            self.connection.state = connection.min(ConnectionState::WFReportParams);
        }
        for index in self.indices() {
            if let Some(old) = self.device(index).map(|device| device.state) {
                let _ = self.change(index, part(&old, change), true);
            }
        }
        self.wishes.operations = true;
        Ok(())
    }

    /// The connection is of no use any more: `state` says why. The sockets are shut; the receiver cleans up.
    pub(super) fn connection_failed(&mut self, state: ConnectionState) {
        if self.connection.state <= ConnectionState::Disconnecting {
            // It was going down anyway.
            if self.connection.phase != Phase::Down {
                self.shut_sockets();
            }
            return;
        }
        if self.connection.phase == Phase::Down {
            return;
        }
        let _ = self.change_connection(Change::none().connection(state), true);
        self.shut_sockets();
    }

    /// What follows from a change.
    fn after_change(&mut self, index: DeviceIndex, old: &State, new: &State) {
        self.update_metadata_flags(index, old, new);
        self.name_forced_data(index, old, new);
        self.leave_handshake(old, new);
        self.both_up_to_date(index, old, new);
        if !old.is_primary_without_data() && new.is_primary_without_data() {
            self.event(Event::CallHelper {
                device: Some(index),
                helper: Helper::PrimaryOnInconsistentDegraded,
            });
        }
        self.after_resync_started(index, old, new);
        self.after_verify_changed(index, old, new);
        self.after_peer_disk_changed(index, old, new);
        self.after_target_lost(index, old, new);
        self.forget_consent(index, new);
        self.after_role_changed(index, old, new);
        self.tell_peer(index, old, new);
        self.after_connection_changed(index, old, new);
        self.after_disk_changed(index, old, new);
        self.resume_when_data_is_back(index, new);
    }

    fn update_metadata_flags(&mut self, index: DeviceIndex, old: &State, new: &State) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let crashed_primary = device.crashed_primary;
        let lost_target = device.target_may_be_equal;
        if old.disk < DiskState::Consistent && new.disk >= DiskState::Consistent {
            device.expose_own_data();
        }
        let Some(disk) = device.disk.as_mut() else {
            return;
        };
        if new.disk < DiskState::Inconsistent {
            return;
        }
        let before = disk.superblock.flags;
        let after = metadata_flags::after_change(before.bits(), new, crashed_primary);
        let mut after = MetaFlags::from_bits(after);
        if lost_target {
            after = after.set(MetaFlags::CONNECTED_IND, true);
        }
        if before != after {
            disk.superblock.flags = after;
            let in_use = MetaFlags::PRIMARY_IND;
            if after.contains(in_use) && !before.contains(in_use) {
                // After a crash nobody would ask which writes the peer has, and which are here.
                self.hold_requests_for_superblock(index);
            } else {
                self.superblock_changed(index);
            }
        }
        let forced = old.disk == DiskState::Inconsistent
            && old.peer_disk == DiskState::Inconsistent
            && old.peer == Role::Secondary
            && new.peer == Role::Primary;
        if forced {
            if let Some(device) = self.device_mut(index) {
                device.consider_resync = true;
            }
        }
    }

    /// A disk that was never used is declared good: it must not be compared any more as one that was never used.
    fn name_forced_data(&mut self, index: DeviceIndex, old: &State, new: &State) {
        if old.disk == DiskState::Inconsistent
            && new.disk == DiskState::UpToDate
            && old.role == Role::Secondary
            && new.role == Role::Primary
        {
            self.name_used_data(index);
        }
    }

    /// When no volume waits for the peer's state any more, roles may change again.
    fn leave_handshake(&mut self, old: &State, new: &State) {
        if old.connection != ConnectionState::WFReportParams
            || new.connection == ConnectionState::WFReportParams
        {
            return;
        }
        let waits = self
            .present()
            .any(|(_, device)| device.state.connection == ConnectionState::WFReportParams);
        if !waits {
            self.connection.state_sent = false;
        }
    }

    fn both_up_to_date(&mut self, index: DeviceIndex, old: &State, new: &State) {
        let both = |state: &State| {
            state.disk == DiskState::UpToDate && state.peer_disk == DiskState::UpToDate
        };
        if both(old) || !both(new) {
            return;
        }
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if let Some([_, _, _, _, _, flags]) = device.peer.uuids.as_mut() {
            *flags &= !crate::uuid::FLAG_CRASHED_PRIMARY;
        }
        if core::mem::replace(&mut device.crashed_primary, false) {
            if let Some(disk) = device.disk.as_mut() {
                disk.superblock.flags = disk.superblock.flags.without(MetaFlags::CRASHED_PRIMARY);
            }
            self.superblock_changed(index);
        }
    }

    /// The source gives the target a UUID for what it will have while the resync runs. The peer must get it before it
    /// hears of anything else.
    fn after_resync_started(&mut self, index: DeviceIndex, old: &State, new: &State) {
        self.forget_unwanted_resync(index, new);
        if !old.connection.is_sync_source() && new.connection.is_sync_source() {
            self.note_target(index);
            self.send_sync_uuid(index, old.connection == ConnectionState::Ahead);
        }
        if new.connection.is_resync() && !old.connection.is_resync() {
            self.begin_resync(index, new);
        }
        if old.connection.is_resync() && new.connection.is_resync() {
            self.resync_pause_changed(index, old, new);
        }
        if old.connection.is_resync() && !new.connection.is_resync() {
            self.forget_resync_requests(index);
        }
    }

    fn after_peer_disk_changed(&mut self, index: DeviceIndex, old: &State, new: &State) {
        if old.peer_disk == DiskState::Diskless
            && new.peer_disk > DiskState::Diskless
            && new.peer_disk != DiskState::Unknown
        {
            self.send_data(DataItem::Uuids(index));
            self.send_state(index, new);
        }
        // Whether a diskless Primary uses this data is not known before it has said so: not when it connects, nor when
        // our disk was being attached and its own went meanwhile.
        let introduces_itself = (old.peer == Role::Unknown && new.peer == Role::Primary)
            || (old.disk == DiskState::Negotiating && new.role != Role::Primary);
        // A disk that passes errors on stays, and may forget that it is Inconsistent.
        let got_worse = old.peer_disk == DiskState::UpToDate
            && new.peer_disk == DiskState::Inconsistent
            && new.connection <= ConnectionState::Connected;
        if (got_worse || lost_contact_to_peer_data(old.peer_disk, new.peer_disk))
            && (new.role == Role::Primary || new.peer == Role::Primary)
            && !introduces_itself
            && !self.awaits_end_of_peer_disk(index)
            && new.disk >= DiskState::UpToDate
        {
            // Also while I/O is suspended: requests that were under way may have changed the data already.
            self.part_from_peer(index);
        }
        if new.peer_disk < DiskState::Inconsistent && new.disk >= DiskState::Inconsistent {
            // Not one that was Primary when it connected: whether it uses this data is not known yet.
            if old.peer == Role::Secondary
                && new.peer == Role::Primary
                && new.disk >= DiskState::UpToDate
            {
                self.part_from_peer(index);
            }
            if old.peer == Role::Primary && new.peer == Role::Secondary {
                self.start_bitmap_write(index);
            }
        }
    }

    fn after_role_changed(&mut self, index: DeviceIndex, old: &State, new: &State) {
        if old.role == Role::Primary
            && new.role == Role::Secondary
            && new.connection <= ConnectionState::Connected
        {
            self.start_bitmap_write(index);
        }
        if old.role != new.role {
            self.event(Event::Writable {
                device: index,
                writable: new.role == Role::Primary,
            });
        }
    }

    /// Writes the bitmap pages that are dirty now. Work on the whole bitmap that is under way may have passed them: it begins anew
    /// with its pages.
    pub(super) fn start_bitmap_write(&mut self, index: DeviceIndex) {
        // One that is said to be idle is about to be closed.
        let Some(disk) = self
            .device_mut(index)
            .filter(|device| !device.idle_told)
            .and_then(|device| device.disk.as_mut())
            .filter(|disk| !disk.failed)
        else {
            return;
        };
        if disk.metadata.task.is_some() {
            disk.metadata.next_page = None;
        } else {
            self.start_bitmap_task(index, BitmapTask::Write, AfterBitmap::Nothing);
        }
    }

    /// Changes that the peer has to hear of.
    fn tell_peer(&mut self, index: DeviceIndex, old: &State, new: &State) {
        let connected = new.connection >= ConnectionState::Connected;
        if !connected {
            return;
        }
        if old.disk == DiskState::Attaching && new.disk == DiskState::Negotiating {
            self.send_data(DataItem::Sizes(index));
            self.send_data(DataItem::Uuids(index));
            self.send_state(index, new);
        }
        let pause_changed = old.after_dependency_paused != new.after_dependency_paused
            || old.user_paused != new.user_paused;
        let introduced = old.connection == ConnectionState::WFReportParams;
        let ahead =
            old.connection != ConnectionState::Ahead && new.connection == ConnectionState::Ahead;
        let disk_went = (old.disk != DiskState::Failed && new.disk == DiskState::Failed)
            || (old.disk != DiskState::Diskless && new.disk == DiskState::Diskless)
            || (old.disk == DiskState::UpToDate
                && new.disk == DiskState::Inconsistent
                // The peer knows: it is about to be the source.
                && new.connection != ConnectionState::StartingSyncT);
        // Or given up, also before it began: the peer may never have heard that this disk is Inconsistent.
        let resync_over = old.disk < DiskState::UpToDate
            && old.connection > ConnectionState::Connected
            && new.connection == ConnectionState::Connected;
        if pause_changed || introduced || ahead || disk_went || resync_over {
            self.send_state(index, new);
        }
    }

    fn after_connection_changed(&mut self, index: DeviceIndex, old: &State, new: &State) {
        use ConnectionState as C;
        if old.connection < C::Connected && new.connection >= C::Connected {
            // From here on blocks come in sync.
            if let Some(disk) = self
                .device_mut(index)
                .and_then(|device| device.disk.as_mut())
            {
                disk.log_suspended = false;
            }
        }
        if old.connection != C::WFBitMapS && new.connection == C::WFBitMapS {
            self.begin_bitmap_exchange(index);
            // A full resync writes the whole bitmap first; it sends afterwards.
            let full = self
                .device(index)
                .and_then(|device| device.disk.as_ref())
                .and_then(|disk| disk.metadata.task)
                .is_some_and(|(_, _, then)| then == AfterBitmap::SendBitmap);
            if !full {
                self.queue_bitmap(index);
            }
        }
        if old.connection != C::WFBitMapT && new.connection == C::WFBitMapT {
            self.begin_bitmap_exchange(index);
        }
        let starting = |state: C| matches!(state, C::StartingSyncS | C::StartingSyncT);
        let comparing = matches!(new.connection, C::WFBitMapS | C::WFBitMapT);
        if old.connection != new.connection && (comparing || starting(new.connection)) {
            self.forget_writes_of_peer(index);
        }
        if old.connection != new.connection && starting(new.connection) {
            self.start_bitmap_task(index, BitmapTask::SetAll, AfterBitmap::StartSync);
        }
        let was_syncing = old.connection > C::Connected && old.connection < C::Ahead;
        if was_syncing && (new.connection == C::Connected || new.connection >= C::Ahead) {
            self.start_bitmap_write(index);
        }
        if old.connection > C::WFReportParams && new.connection <= C::WFReportParams {
            self.start_bitmap_write(index);
        }
    }

    fn after_disk_changed(&mut self, index: DeviceIndex, old: &State, new: &State) {
        if old.disk > DiskState::Failed && new.disk <= DiskState::Failed {
            self.keep_uuids_of_failed_disk(index);
            if let Some(device) = self.device_mut(index) {
                device.disk_told = None;
            }
            // A disk that was told to go, and works, gets everything that memory knows.
            self.start_bitmap_write(index);
            self.progress = true;
            if new.connection >= ConnectionState::Connected && new.peer_disk == DiskState::UpToDate
            {
                // From now on applications see the peer's data, even where ours was not yet the same.
                let exposed = self.peer_uuids(index);
                if let (Some(device), Some(exposed)) = (self.device_mut(index), exposed) {
                    device.expose_peers_data(new, &exposed);
                }
            }
        }
        let alone =
            new.connection < ConnectionState::Connected || new.peer_disk <= DiskState::Failed;
        if old.disk < DiskState::Inconsistent
            && new.disk >= DiskState::UpToDate
            && new.role == Role::Primary
            && alone
            && self.bitmap_uuid(index) == Some(0)
        {
            // A Primary got its disk back, and no peer: from here on it changes alone.
            self.new_current_uuid(index);
        }
        if new.disk > DiskState::Negotiating && new.peer_disk > DiskState::Negotiating {
            let grew = self
                .device_mut(index)
                .is_some_and(|device| core::mem::take(&mut device.resync_after_negotiation));
            if grew && new.connection == ConnectionState::Connected {
                self.resync_after_growth(index);
            }
        }
    }

    /// Queues our state for the peer.
    pub(super) fn send_state(&mut self, index: DeviceIndex, state: &State) {
        self.send_data(DataItem::State(index, state.to_wire()));
    }
}

/// A resync that is about to begin ends where one of the disks goes. In 8.4 the target is Connected then, and its Outdated
/// disk counts as UpToDate, as all disks of connected nodes do. It is not: the source had something newer.
pub(super) fn without_false_hope(old: &State, change: Change) -> Change {
    use ConnectionState as C;
    let new = change.apply_to(*old);
    let aborts = new.connection > C::Connected
        && (new.disk <= DiskState::Failed || new.peer_disk <= DiskState::Failed);
    if !aborts {
        return change;
    }
    let doubtful = |disk: DiskState| matches!(disk, DiskState::Outdated | DiskState::Consistent);
    match old.connection {
        // One that was paused has not begun either: its target is still called what it was.
        C::StartingSyncT
        | C::WFBitMapT
        | C::WFSyncUUID
        | C::SyncTarget
        | C::PausedSyncT
        | C::Behind
            if doubtful(new.disk) =>
        {
            change.disk(DiskState::Inconsistent)
        }
        C::StartingSyncS | C::WFBitMapS | C::SyncSource | C::PausedSyncS | C::Ahead
            if doubtful(new.peer_disk) =>
        {
            change.peer_disk(DiskState::Inconsistent)
        }
        _ => change,
    }
}

/// An administrator throws the data of this disk away, and hears that it is done: from now on the disk is Inconsistent. In 8.4 it
/// is Outdated until the resync begins; if the link breaks before, the next meeting finds both disks to be equal.
fn thrown_away(change: Change) -> Change {
    if change.connection == Some(ConnectionState::StartingSyncT) {
        change.disk(DiskState::Inconsistent)
    } else {
        change
    }
}

/// A resync that an administrator wants must not replace good data by data that is not. In 8.4 the disk that is to be the source
/// counts as UpToDate for being asked to; two disks that are both Inconsistent still begin in this way. A disk that is being
/// attached is neither: the peer may not have heard of it, and is about to compare it.
pub(super) fn keeps_good_data(old: &State, change: Change) -> Result<(), StateCode> {
    let (source, target) = match change.connection {
        Some(ConnectionState::StartingSyncS) => (old.disk, old.peer_disk),
        Some(ConnectionState::StartingSyncT) => (old.peer_disk, old.disk),
        _ => return Ok(()),
    };
    if old.connection != ConnectionState::Connected {
        return Ok(());
    }
    if old.disk == DiskState::Negotiating {
        return Err(StateCode::InTransientState);
    }
    // 8.4 finds nothing to do then, and says that it is done.
    if old.disk <= DiskState::Failed {
        return Err(StateCode::NoLocalDisk);
    }
    if old.peer_disk <= DiskState::Failed {
        return Err(StateCode::NoRemoteDisk);
    }
    if source == DiskState::Inconsistent && target == DiskState::UpToDate {
        return Err(StateCode::NoUpToDateDisk);
    }
    Ok(())
}

/// Whether the peer's copy of the data went out of reach (`lost_contact_to_peer_data`).
fn lost_contact_to_peer_data(old: DiskState, new: DiskState) -> bool {
    let was_there =
        old >= DiskState::Inconsistent && old != DiskState::Unknown && old != DiskState::Outdated;
    let is_gone =
        new < DiskState::Inconsistent || new == DiskState::Unknown || new == DiskState::Outdated;
    let confirmed_gone = old == DiskState::Unknown
        && matches!(
            new,
            DiskState::Diskless | DiskState::Failed | DiskState::Outdated
        );
    (was_there && is_gone) || confirmed_gone
}
