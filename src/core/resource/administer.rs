// SPDX-License-Identifier: GPL-2.0-only

//! What an administrator asks for.
//!
//! Some wishes take several attempts, with waiting in between: [`RoleChange`] and [`Disconnect`] say what to try next,
//! and the shell does the waiting.

use super::connection::{DataItem, Phase};
use super::device::{AfterBitmap, BitmapTask, DeviceIndex};
use super::effect::Event;
use super::log::LogMessage;
use super::operation::Ticket;
use super::Resource;
use crate::config::disk::DiskConf;
use crate::config::net::NetConf;
use crate::config::resource::ResourceOptions;
use crate::state::{Change, ConnectionState, DiskState, Role, State, StateCode};
use crate::uuid::JUST_CREATED;

/// Why a device cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// For writing, on a Secondary (`EROFS`).
    ReadOnly,
    /// For reading, on a Secondary (`EMEDIUMTYPE`).
    WrongRole,
    /// There is no such device.
    Gone,
}

/// Why a current UUID is not replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewUuidError {
    /// There is no disk (`ERR_NO_DISK`).
    NoDisk,
    /// Only unconnected, or to skip the initial resync (`ERR_CONNECTED`).
    Connected,
}

/// What to do after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is done.
    Done,
    /// Ask for this.
    Try(Change),
    /// Wait this many milliseconds, then ask for this.
    Wait(u64, Change),
    /// It cannot be.
    Fail(StateCode),
}

/// The way of a node to another role.
#[derive(Clone, Copy, Debug)]
pub struct RoleChange {
    change: Change,
    force: bool,
    forced: bool,
    refused: bool,
    attempts: u8,
}

impl RoleChange {
    /// To `role`, with `force` for data that is not known to be good.
    pub fn new(role: Role, force: bool) -> Self {
        Self {
            change: Change::none().role(role),
            force,
            forced: false,
            refused: false,
            attempts: 0,
        }
    }

    /// What to ask for first.
    pub fn first(&self) -> Change {
        self.change
    }

    /// Whether the data was declared UpToDate by force.
    pub fn is_forced(&self) -> bool {
        self.forced
    }

    /// The attempt ended with `result`, in `state`; a ping is given up after `ping_time` milliseconds.
    pub fn next(&mut self, result: Result<(), StateCode>, state: &State, ping_time: u64) -> Next {
        let Err(code) = result else {
            return Next::Done;
        };
        if code.is_success() {
            return Next::Done;
        }
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts >= 4 {
            return Next::Fail(code);
        }
        let usable = state.disk >= DiskState::Inconsistent && state.disk < DiskState::UpToDate;
        match code {
            StateCode::NoUpToDateDisk if self.force && usable && !self.forced => {
                self.forced = true;
                self.change = self.change.disk(DiskState::UpToDate);
                Next::Try(self.change)
            }
            // The peer may be found dead very soon: one more attempt.
            StateCode::TwoPrimaries if self.attempts < 3 => {
                self.attempts = 3;
                Next::Wait(ping_time, self.change)
            }
            // For a change of its own that was under way, perhaps: that is over very soon.
            StateCode::RefusedByPeer if !self.refused => {
                self.refused = true;
                Next::Wait(100, self.change)
            }
            StateCode::InTransientState => {
                self.attempts = self.attempts.saturating_sub(1);
                Next::Wait(50, self.change)
            }
            code => Next::Fail(code),
        }
    }
}

/// The way to a connection that is taken down.
#[derive(Clone, Copy, Debug)]
pub struct Disconnect {
    change: Change,
    hard: bool,
}

impl Disconnect {
    /// With `force`, the peer is not asked.
    pub fn new(force: bool) -> Self {
        Self {
            change: Change::none().connection(ConnectionState::Disconnecting),
            hard: force,
        }
    }

    /// What to ask for, and whether as a fact.
    pub fn attempt(&self) -> (Change, bool) {
        (self.change, self.hard)
    }

    /// The attempt ended with `code`: false where that is final.
    pub fn next(&mut self, code: StateCode) -> bool {
        let outdates_peer = self.change.peer_disk.is_some();
        let outdates_self = self.change.disk.is_some();
        let plain = Change::none().connection(ConnectionState::Disconnecting);
        match code {
            StateCode::PrimaryNoPeer if !outdates_peer => {
                self.change = plain.peer_disk(DiskState::Outdated);
                true
            }
            StateCode::RefusedByPeer if !outdates_self => {
                self.change = plain.disk(DiskState::Outdated);
                true
            }
            StateCode::IsDiskless | StateCode::LowerThanOutdated if !self.hard => {
                self.change = plain;
                self.hard = true;
                true
            }
            _ => false,
        }
    }
}

impl Resource<'_> {
    /// Configures the connection and starts to look for the peer. `digest` is the length of a digest of
    /// `data-integrity-alg`, in bytes; of no meaning where that is empty.
    ///
    /// # Errors
    ///
    /// There is one already.
    pub fn connect(&mut self, conf: NetConf, digest: u32) -> Result<(), StateCode> {
        if self.connection.state != ConnectionState::StandAlone || self.connection.receiver_running
        {
            return Err(StateCode::InTransientState);
        }
        self.configure_integrity(&conf, digest);
        self.connection.conf = Some(conf);
        self.change_connection(
            Change::none().connection(ConnectionState::Unconnected),
            false,
        )?;
        self.connection.receiver_running = true;
        self.event(Event::StartReceiver);
        Ok(())
    }

    /// The receiver could not be started.
    pub fn connect_failed(&mut self) {
        self.connection.receiver_running = false;
        self.connection.conf = None;
        let _ =
            self.change_connection(Change::none().connection(ConnectionState::StandAlone), true);
    }

    /// One attempt to take the connection down; then see [`Disconnect::next`].
    ///
    /// # Errors
    ///
    /// As [`request_connection_change`](Self::request_connection_change).
    pub fn disconnect(&mut self, attempt: &Disconnect) -> Result<Option<Ticket>, StateCode> {
        let (change, hard) = attempt.attempt();
        // Only a Primary asks for an Outdated disk at the other end. A peer that refused, and is none, had another change
        // of state under way, perhaps its own disconnect: ours may be the only good disk.
        let peer_is_primary = self
            .present()
            .any(|(_, device)| device.state.peer == Role::Primary);
        let ticket = if change.disk.is_some() && !peer_is_primary {
            let plain = Change::none().connection(ConnectionState::Disconnecting);
            self.request_connection_change(plain, true)?
        } else {
            self.request_connection_change(change, hard)?
        };
        if ticket.is_none() {
            self.disconnected();
        }
        Ok(ticket)
    }

    /// The state says that the connection goes down: so do the sockets.
    pub fn disconnected(&mut self) {
        if self.connection.state == ConnectionState::Disconnecting {
            self.shut_sockets();
        }
    }

    /// Whether the receiver has ended, and the connection may be configured anew.
    pub fn is_stand_alone(&self) -> bool {
        self.connection.state == ConnectionState::StandAlone && !self.connection.receiver_running
    }

    /// The role was changed: what remains to be done (see `RoleChange`).
    pub fn role_changed(&mut self, index: DeviceIndex, role: Role, forced: bool) {
        if forced {
            self.log(index, LogMessage::ForcedUpToDate);
        }
        let Some(device) = self.device(index) else {
            return;
        };
        let state = device.state;
        let alone =
            state.connection < ConnectionState::Connected || state.peer_disk <= DiskState::Failed;
        let usable = device.disk.is_some() && state.disk >= DiskState::Inconsistent;
        if usable {
            // Data that was never used got its name with the change itself.
            let named = self.bitmap_uuid(index) == Some(JUST_CREATED);
            let unnamed = (alone && self.bitmap_uuid(index) == Some(0)) || (forced && !named);
            if role == Role::Primary && unnamed {
                self.new_current_uuid(index);
            } else if role == Role::Primary && alone {
                self.part_from_target(index);
            }
            if let Some(mut uuids) = self.own_uuids(index) {
                uuids.set_primary(role == Role::Primary);
                if let Some(disk) = self
                    .device_mut(index)
                    .and_then(|device| device.disk.as_mut())
                {
                    disk.superblock.uuids = uuids.to_array();
                }
                self.superblock_changed(index);
            }
        }
        if role == Role::Primary {
            if let Some(conf) = self.connection.conf.as_mut() {
                conf.discard_my_data = false;
            }
        }
        if state.connection >= ConnectionState::WFReportParams {
            if forced {
                self.send_data(DataItem::Uuids(index));
            }
            self.send_state(index, &state);
        }
    }

    /// Whether a demotion has to wait: an application has I/O under way on the device, or the peer has not confirmed that
    /// what was written is on stable storage. A Primary stays one until then: two Secondaries take their disks for equal.
    /// Nobody waits for a device that is open: its demotion is refused.
    ///
    /// The peer is asked to confirm. To be called again until it answers false.
    pub fn demotion_waits(&mut self, index: DeviceIndex) -> bool {
        let waits = self.device(index).is_some_and(|device| {
            device.open_count == 0
                && device
                    .requests
                    .iter()
                    .any(|(_, request)| !request.completed || request.logged)
        });
        if waits {
            // What nobody follows with another write is confirmed as well.
            self.connection.close_epoch();
            self.wishes.send_data = true;
        }
        waits
    }

    /// This node's data is to be replaced by the peer's. `None`: it is done, or begun.
    ///
    /// # Errors
    ///
    /// As [`request_change`](Self::request_change).
    pub fn invalidate(&mut self, index: DeviceIndex) -> Result<Option<Ticket>, StateCode> {
        let state = self
            .device(index)
            .map(|device| device.state)
            .ok_or(StateCode::UnknownError)?;
        // One that is given up does not come back by this, however long it still works on something.
        if state.disk < DiskState::Inconsistent {
            return Err(StateCode::IsDiskless);
        }
        if state.connection == ConnectionState::StandAlone && state.role == Role::Secondary {
            let ticket =
                self.request_change(index, Change::none().disk(DiskState::Inconsistent))?;
            self.mark_everything(index);
            return Ok(ticket);
        }
        self.request_change(
            index,
            Change::none().connection(ConnectionState::StartingSyncT),
        )
    }

    /// The peer's data is to be replaced by this node's.
    ///
    /// # Errors
    ///
    /// As [`request_change`](Self::request_change).
    pub fn invalidate_remote(&mut self, index: DeviceIndex) -> Result<Option<Ticket>, StateCode> {
        let state = self
            .device(index)
            .map(|device| device.state)
            .ok_or(StateCode::UnknownError)?;
        if state.connection == ConnectionState::StandAlone && state.role == Role::Primary {
            let ticket =
                self.request_change(index, Change::none().peer_disk(DiskState::Inconsistent))?;
            self.mark_everything(index);
            return Ok(ticket);
        }
        self.request_change(
            index,
            Change::none().connection(ConnectionState::StartingSyncS),
        )
    }

    /// The current UUID is replaced; with `clear_bitmap`, all blocks are declared equal.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn new_current_uuid_by_administrator(
        &mut self,
        index: DeviceIndex,
        clear_bitmap: bool,
    ) -> Result<(), NewUuidError> {
        let agreed = self.connection.agreed_protocol;
        let state = self
            .device(index)
            .map(|device| device.state)
            .ok_or(NewUuidError::NoDisk)?;
        let mut uuids = self.own_uuids(index).ok_or(NewUuidError::NoDisk)?;
        let skip = state.connection == ConnectionState::Connected
            && agreed >= 90
            && uuids.current == JUST_CREATED
            && clear_bitmap;
        if !skip && state.connection != ConnectionState::StandAlone {
            return Err(NewUuidError::Connected);
        }
        let random = self.random_word();
        let primary = state.role == Role::Primary;
        uuids.new_current_by_administrator(random, primary);
        if skip {
            uuids.bitmap = 0;
        }
        self.set_uuids(index, uuids, "new current UUID");
        if clear_bitmap {
            self.start_bitmap_task(index, BitmapTask::ClearAll, AfterBitmap::Nothing);
        }
        if skip {
            if let Some(device) = self.device_mut(index) {
                device.skip_initial_sync = true;
            }
            self.send_data(DataItem::Uuids(index));
            // The peer goes by our word, and sends none of its own: should our disk go, its data is what applications saw.
            self.peer_has_our_uuids(index);
            let both = Change::none()
                .disk(DiskState::UpToDate)
                .peer_disk(DiskState::UpToDate);
            let _ = self.change(index, both, false);
            self.tell_current_state(index);
        }
        Ok(())
    }

    /// An application opens the device; `on_secondary` allows reading on a Secondary (module parameter `allow_oos`).
    ///
    /// # Errors
    ///
    /// Only a Primary can be used.
    pub fn open(
        &mut self,
        index: DeviceIndex,
        write: bool,
        on_secondary: bool,
    ) -> Result<(), OpenError> {
        let device = self.device_mut(index).ok_or(OpenError::Gone)?;
        if device.state.role != Role::Primary && (write || !on_secondary) {
            return Err(if write {
                OpenError::ReadOnly
            } else {
                OpenError::WrongRole
            });
        }
        device.open_count = device.open_count.saturating_add(1);
        Ok(())
    }

    /// An application closes the device.
    pub fn close(&mut self, index: DeviceIndex) {
        if let Some(device) = self.device_mut(index) {
            device.open_count = device.open_count.saturating_sub(1);
        }
    }

    /// New options for the disk; the peer is told of those that concern a resync.
    pub fn set_disk_options(&mut self, index: DeviceIndex, conf: DiskConf) {
        let mut reordered = false;
        if let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        {
            reordered = disk.conf.write_ordering_differs(&conf);
            disk.conf = conf;
        }
        if reordered {
            self.choose_write_ordering();
        }
        if self.connection.phase == Phase::Open && self.device(index).is_some() {
            self.send_data(DataItem::SyncParam(index));
        }
        self.wishes.timer = true;
        self.wishes.send_data = true;
        self.progress = true;
    }

    /// New options for the connection; the peer is told. `digest` as for [`connect`](Self::connect).
    pub fn set_net_options(&mut self, conf: NetConf, digest: u32) {
        if self.connection.conf.is_none() {
            return;
        }
        self.configure_integrity(&conf, digest);
        self.connection.conf = Some(conf);
        self.announce_settings();
        if self.connection.phase == Phase::Open {
            for index in self.indices() {
                if self.device(index).is_some() {
                    self.send_data(DataItem::SyncParam(index));
                }
            }
        }
        self.wishes.timer = true;
    }

    /// New options for the resource.
    pub fn set_options(&mut self, options: ResourceOptions) {
        self.options = options;
    }
}
