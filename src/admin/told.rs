// SPDX-License-Identifier: GPL-2.0-only

//! What user space has been told of a resource: from it and a change follows what there is to tell.
//!
//! Changes are told later than they happen, one after the other. What is told of a moment must be what was then, not what
//! has become of it since; hence this copy.

use drbd_core::{
    netlink::{
        context::Context,
        reply::{
            ConnectionInfo,
            ResourceInfo, //
        }, //
    },
    resource::{
        device::DeviceIndex,
        MAX_VOLUMES, //
    },
    state::{
        ConnectionState,
        Role,
        State, //
    }, //
};

use crate::kernel_api::{
    module_reference::ModuleReference,
    socket_address::SocketAddress, //
};

/// The addresses of both ends of a connection: ours, and that of the peer.
pub(super) type Addresses = (SocketAddress, SocketAddress);

/// What was told.
pub(super) struct Told {
    /// The state of each volume, by its place in the engine's table.
    volumes: [Option<State>; MAX_VOLUMES],
    connection: ConnectionState,
    suspended: bool,
    suspended_no_data: bool,
    suspended_fencing: bool,
    /// The ends of the connection, from the moment that it is said to be there to that when it is said to be gone.
    addresses: Option<Addresses>,
    /// While a volume or the connection is configured, the module stays.
    in_use: Option<ModuleReference>,
}

/// What follows from a change of one volume.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// The resource is another one now.
    pub(super) resource: bool,
    /// The connection is another one now.
    pub(super) connection: bool,
    /// The disk is another one now.
    pub(super) device: bool,
    /// The disk of the peer, or replication, is another one now.
    pub(super) peer_device: bool,
    /// No volume is connected any more.
    pub(super) connection_ended: bool,
}

impl Told {
    /// Nothing was told.
    pub(super) const fn new() -> Self {
        Self {
            volumes: [None; MAX_VOLUMES],
            connection: ConnectionState::StandAlone,
            suspended: false,
            suspended_no_data: false,
            suspended_fencing: false,
            addresses: None,
            in_use: None,
        }
    }

    /// Keeps the module loaded while anything but names is configured.
    fn hold_module(&mut self) {
        let configured = self.addresses.is_some()
            || self
                .volumes
                .iter()
                .flatten()
                .any(|volume| !volume.is_unconfigured());
        if !configured {
            self.in_use = None;
        } else if self.in_use.is_none() {
            self.in_use = ModuleReference::take();
        }
    }

    /// The ends of the connection, while user space knows that there is one.
    pub(super) fn addresses(&self) -> Option<&Addresses> {
        self.addresses.as_ref()
    }

    /// There is a connection now, or no more.
    pub(super) fn set_addresses(&mut self, addresses: Option<Addresses>) {
        self.addresses = addresses;
        self.hold_module();
    }

    /// There is a volume now, or no more.
    pub(super) fn set_volume(&mut self, index: DeviceIndex, state: Option<State>) {
        if let Some(volume) = self.volumes.get_mut(usize::from(index.0)) {
            *volume = state;
        }
        self.hold_module();
    }

    /// The state of a volume.
    pub(super) fn volume(&self, index: DeviceIndex) -> Option<State> {
        self.volumes.get(usize::from(index.0)).copied().flatten()
    }

    /// How many volumes there are.
    pub(super) fn volume_count(&self) -> usize {
        self.volumes.iter().flatten().count()
    }

    /// The state of the connection.
    pub(super) fn connection(&self) -> ConnectionState {
        self.connection
    }

    /// A volume changed. `None` where user space does not know it (any more).
    pub(super) fn step(&mut self, index: DeviceIndex, old: &State, new: &State) -> Option<Step> {
        let before = (self.resource_info(), self.connection_info());
        let volume = self.volumes.get_mut(usize::from(index.0))?.as_mut()?;
        *volume = *new;
        self.suspended = new.suspended;
        self.suspended_no_data = new.suspended_no_data;
        self.suspended_fencing = new.suspended_fencing;
        self.connection = new.connection.min(ConnectionState::WFReportParams);
        self.hold_module();
        let was_connected = old.connection != ConnectionState::StandAlone;
        let stand_alone = self
            .volumes
            .iter()
            .flatten()
            .all(|volume| volume.connection == ConnectionState::StandAlone);
        let replicates = |state: &State| state.connection.max(ConnectionState::WFReportParams);
        Some(Step {
            resource: before.0 != self.resource_info(),
            connection: before.1 != self.connection_info(),
            device: old.disk != new.disk,
            peer_device: old.peer_disk != new.peer_disk
                || replicates(old) != replicates(new)
                || old.user_paused != new.user_paused
                || old.peer_paused != new.peer_paused
                || old.after_dependency_paused != new.after_dependency_paused,
            connection_ended: was_connected && stand_alone,
        })
    }

    /// The resource as a whole.
    pub(super) fn resource_info(&self) -> ResourceInfo {
        let role = |highest: Role, volume: &State| highest.max(volume.role);
        ResourceInfo {
            role: self.volumes.iter().flatten().fold(Role::Secondary, role),
            suspended: self.suspended,
            suspended_no_data: self.suspended_no_data,
            suspended_fencing: self.suspended_fencing,
        }
    }

    /// The connection.
    pub(super) fn connection_info(&self) -> ConnectionInfo {
        let peer = |highest: Role, volume: &State| highest.max(volume.peer);
        ConnectionInfo {
            state: self.connection,
            peer_role: self.volumes.iter().flatten().fold(Role::Unknown, peer),
        }
    }
}

/// What a message about a resource is about.
pub(super) fn context<'a>(
    name: &'a [u8],
    volume: Option<u16>,
    addresses: Option<&'a Addresses>,
) -> Context<'a> {
    Context {
        volume: volume.map(u32::from),
        resource_name: Some(name),
        my_address: addresses.map(|(mine, _)| mine.bytes()),
        peer_address: addresses.map(|(_, theirs)| theirs.bytes()),
    }
}
