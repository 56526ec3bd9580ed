// SPDX-License-Identifier: GPL-2.0-only

//! The commands of the family.
//!
//! C header: [`include/uapi/linux/drbd_genl.h`](srctree/include/uapi/linux/drbd_genl.h)

use super::group;

/// Name of the generic netlink family.
pub const FAMILY_NAME: &str = "drbd";
/// Version of the generic netlink family.
pub const FAMILY_VERSION: u8 = 1;
/// Name of the multicast group of the notifications.
pub const EVENTS_GROUP: &str = "events";
/// Bytes in the user header: minor, and flags or return code.
pub const USER_HEADER_LENGTH: usize = 8;
/// In the user header: the message is about no minor.
pub const MINOR_NONE: u32 = u32::MAX;
/// Flag in the user header of a request: options that are not given return to their defaults.
pub const FLAG_SET_DEFAULTS: u32 = 1;

/// The object that a command works on, and that must exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// None.
    Nothing,
    /// The device with the minor of the user header.
    Minor,
    /// The resource that the context names.
    Resource,
    /// The connection between the addresses of the context.
    Connection,
}

macro_rules! commands {
    ($( $(#[$doc:meta])* $name:ident = $number:literal, )+) => {
        /// A command of the family: request, or message of the kernel.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Command {
            $( $(#[$doc])* $name, )+
        }

        impl Command {
            /// All commands, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The number in the generic netlink header.
            pub const fn number(self) -> u8 {
                match self {
                    $( Self::$name => $number, )+
                }
            }

            /// The command with this number.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$name), )+
                    _ => None,
                }
            }
        }
    };
}

commands! {
    /// A change of state, a helper call or resync progress, for tools older than notifications. (`DRBD_ADM_EVENT`)
    Event = 1,
    /// Everything about one device, or (dump) about all. (`DRBD_ADM_GET_STATUS`)
    GetStatus = 2,
    /// Add a device to a resource. (`DRBD_ADM_NEW_MINOR`)
    NewMinor = 5,
    /// Remove a device. (`DRBD_ADM_DEL_MINOR`)
    DeleteMinor = 6,
    /// Make a resource. (`DRBD_ADM_NEW_RESOURCE`)
    NewResource = 7,
    /// Remove a resource. (`DRBD_ADM_DEL_RESOURCE`)
    DeleteResource = 8,
    /// Change the options of a resource. (`DRBD_ADM_RESOURCE_OPTS`)
    ResourceOptions = 9,
    /// Configure a connection and begin to connect. (`DRBD_ADM_CONNECT`)
    Connect = 10,
    /// End a connection. (`DRBD_ADM_DISCONNECT`)
    Disconnect = 11,
    /// Give a device its disk. (`DRBD_ADM_ATTACH`)
    Attach = 12,
    /// Take up a new size. (`DRBD_ADM_RESIZE`)
    Resize = 13,
    /// Let applications use a device. (`DRBD_ADM_PRIMARY`)
    Primary = 14,
    /// Keep applications from using a device. (`DRBD_ADM_SECONDARY`)
    Secondary = 15,
    /// Begin a new data generation. (`DRBD_ADM_NEW_C_UUID`)
    NewCurrentUuid = 16,
    /// Begin online verify. (`DRBD_ADM_START_OV`)
    StartVerify = 17,
    /// Take the disk from a device. (`DRBD_ADM_DETACH`)
    Detach = 18,
    /// Give up the local data. (`DRBD_ADM_INVALIDATE`)
    Invalidate = 19,
    /// Give up the data of the peer. (`DRBD_ADM_INVAL_PEER`)
    InvalidatePeer = 20,
    /// Pause resync. (`DRBD_ADM_PAUSE_SYNC`)
    PauseSync = 21,
    /// Go on with resync. (`DRBD_ADM_RESUME_SYNC`)
    ResumeSync = 22,
    /// Hold application I/O. (`DRBD_ADM_SUSPEND_IO`)
    SuspendIo = 23,
    /// Let application I/O go on. (`DRBD_ADM_RESUME_IO`)
    ResumeIo = 24,
    /// Mark the local data as outdated. (`DRBD_ADM_OUTDATE`)
    Outdate = 25,
    /// Ask how long start-up should wait for the peer. (`DRBD_ADM_GET_TIMEOUT_TYPE`)
    GetTimeoutType = 26,
    /// Take a resource apart. (`DRBD_ADM_DOWN`)
    Down = 27,
    /// Change the options of a disk. (`DRBD_ADM_CHG_DISK_OPTS`)
    ChangeDiskOptions = 28,
    /// Change the options of a connection. (`DRBD_ADM_CHG_NET_OPTS`)
    ChangeNetOptions = 29,
    /// List resources (dump). (`DRBD_ADM_GET_RESOURCES`)
    GetResources = 30,
    /// List devices (dump). (`DRBD_ADM_GET_DEVICES`)
    GetDevices = 31,
    /// List connections (dump). (`DRBD_ADM_GET_CONNECTIONS`)
    GetConnections = 32,
    /// List the devices of peers (dump). (`DRBD_ADM_GET_PEER_DEVICES`)
    GetPeerDevices = 33,
    /// A resource came, changed or went. (`DRBD_ADM_RESOURCE_STATE`)
    ResourceState = 34,
    /// A device came, changed or went. (`DRBD_ADM_DEVICE_STATE`)
    DeviceState = 35,
    /// A connection came, changed or went. (`DRBD_ADM_CONNECTION_STATE`)
    ConnectionState = 36,
    /// A device of a peer came, changed or went. (`DRBD_ADM_PEER_DEVICE_STATE`)
    PeerDeviceState = 37,
    /// What notifications would have said so far (dump). (`DRBD_ADM_GET_INITIAL_STATE`)
    GetInitialState = 38,
    /// A helper is called, or has ended. (`DRBD_ADM_HELPER`)
    Helper = 40,
    /// End of the answer to [`Self::GetInitialState`]. (`DRBD_ADM_INITIAL_STATE_DONE`)
    InitialStateDone = 41,
}

impl Command {
    /// What must exist before the command is looked at further.
    pub const fn needs(self) -> Needs {
        match self {
            Command::NewMinor
            | Command::DeleteResource
            | Command::ResourceOptions
            | Command::Connect
            | Command::Down => Needs::Resource,
            Command::Disconnect | Command::ChangeNetOptions => Needs::Connection,
            Command::GetStatus
            | Command::DeleteMinor
            | Command::Attach
            | Command::Resize
            | Command::Primary
            | Command::Secondary
            | Command::NewCurrentUuid
            | Command::StartVerify
            | Command::Detach
            | Command::Invalidate
            | Command::InvalidatePeer
            | Command::PauseSync
            | Command::ResumeSync
            | Command::SuspendIo
            | Command::ResumeIo
            | Command::Outdate
            | Command::GetTimeoutType
            | Command::ChangeDiskOptions => Needs::Minor,
            _ => Needs::Nothing,
        }
    }

    /// Whether an unprivileged process may ask.
    pub const fn is_unprivileged(self) -> bool {
        matches!(
            self,
            Command::GetStatus
                | Command::GetResources
                | Command::GetDevices
                | Command::GetConnections
                | Command::GetPeerDevices
                | Command::GetInitialState
        )
    }

    /// Whether the kernel sends this command and never receives it.
    pub const fn is_notification(self) -> bool {
        matches!(
            self,
            Command::Event
                | Command::ResourceState
                | Command::DeviceState
                | Command::ConnectionState
                | Command::PeerDeviceState
                | Command::Helper
                | Command::InitialStateDone
        )
    }

    /// The group of parameters that a request may carry besides its context.
    pub const fn parameter_group(self) -> Option<u16> {
        match self {
            Command::NewResource | Command::ResourceOptions => Some(group::RESOURCE_OPTIONS),
            Command::Connect | Command::ChangeNetOptions => Some(group::NET_CONF),
            Command::Disconnect => Some(group::DISCONNECT_PARMS),
            Command::Attach | Command::ChangeDiskOptions => Some(group::DISK_CONF),
            Command::Resize => Some(group::RESIZE_PARMS),
            Command::Primary | Command::Secondary => Some(group::SET_ROLE_PARMS),
            Command::NewCurrentUuid => Some(group::NEW_C_UUID_PARMS),
            Command::StartVerify => Some(group::START_OV_PARMS),
            Command::Detach => Some(group::DETACH_PARMS),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_user_space() {
        assert_eq!(Command::ALL.len(), 38);
        for command in Command::ALL {
            assert_eq!(Command::from_number(command.number()), Some(*command));
        }
        assert_eq!(Command::Connect.number(), 10);
        assert_eq!(Command::Down.number(), 27);
        assert_eq!(Command::GetInitialState.number(), 38);
        for unused in [0, 3, 4, 39, 42] {
            assert_eq!(Command::from_number(unused), None);
        }
    }

    #[test]
    fn every_request_is_reachable() {
        let requests = Command::ALL.iter().filter(|c| !c.is_notification());
        assert_eq!(requests.count(), 31);
        for command in Command::ALL.iter().filter(|c| c.is_notification()) {
            assert_eq!(command.needs(), Needs::Nothing);
            assert!(!command.is_unprivileged());
        }
    }
}
