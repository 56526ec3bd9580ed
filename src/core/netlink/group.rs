// SPDX-License-Identifier: GPL-2.0-only

//! The groups of attributes in a message (`DRBD_NLA_*`).

/// Text for people in a reply.
pub const CFG_REPLY: u16 = 1;
/// What a message is about: volume, resource, addresses.
pub const CFG_CONTEXT: u16 = 2;
/// [`DiskConf`](crate::config::DiskConf).
pub const DISK_CONF: u16 = 3;
/// [`ResourceOptions`](crate::config::ResourceOptions).
pub const RESOURCE_OPTIONS: u16 = 4;
/// [`NetConf`](crate::config::NetConf).
pub const NET_CONF: u16 = 5;
/// [`SetRoleParms`](crate::config::SetRoleParms).
pub const SET_ROLE_PARMS: u16 = 6;
/// [`ResizeParms`](crate::config::ResizeParms).
pub const RESIZE_PARMS: u16 = 7;
/// State, counters and the reason of a status message.
pub const STATE_INFO: u16 = 8;
/// [`StartVerifyParms`](crate::config::StartVerifyParms).
pub const START_OV_PARMS: u16 = 9;
/// [`NewCurrentUuidParms`](crate::config::NewCurrentUuidParms).
pub const NEW_C_UUID_PARMS: u16 = 10;
/// Which of the start-up timeouts applies.
pub const TIMEOUT_PARMS: u16 = 11;
/// [`DisconnectParms`](crate::config::DisconnectParms).
pub const DISCONNECT_PARMS: u16 = 12;
/// [`DetachParms`](crate::config::DetachParms).
pub const DETACH_PARMS: u16 = 13;
/// State of a resource.
pub const RESOURCE_INFO: u16 = 15;
/// State of a device.
pub const DEVICE_INFO: u16 = 16;
/// State of a connection.
pub const CONNECTION_INFO: u16 = 17;
/// State of a device of the peer.
pub const PEER_DEVICE_INFO: u16 = 18;
/// Statistics of a resource.
pub const RESOURCE_STATISTICS: u16 = 19;
/// Statistics of a device.
pub const DEVICE_STATISTICS: u16 = 20;
/// Statistics of a connection.
pub const CONNECTION_STATISTICS: u16 = 21;
/// Statistics of a device of the peer.
pub const PEER_DEVICE_STATISTICS: u16 = 22;
/// What a notification announces.
pub const NOTIFICATION_HEADER: u16 = 23;
/// Which helper was called and how it ended.
pub const HELPER: u16 = 24;
