// SPDX-License-Identifier: GPL-2.0-only

//! Whole messages of the kernel: which groups, in which order.
//!
//! Each of these fits in 4 KiB ([`MESSAGE_MAX`]). Sequence numbers, and the generic netlink and user headers, are the
//! business of the shell; the return code of all but failed replies is [`NoError`](crate::return_code::ReturnCode).

use core::fmt;

use super::attribute::{
    Attribute,
    AttributeWriter,
    NoSpace, //
};
use super::command::{
    Command,
    MINOR_NONE, //
};
use super::context::Context;
use super::group;
use super::reply::{
    self,
    ConnectionInfo,
    ConnectionStatistics,
    DeviceInfo,
    DeviceStatistics,
    PeerDeviceInfo,
    PeerDeviceStatistics,
    ResourceInfo,
    ResourceStatistics,
    StateInfo,
    StatusReason, //
};
use crate::config::{
    Configuration,
    DiskConf,
    NetConf,
    ResourceOptions,
    Text, //
};

/// No message has more bytes of attributes than this.
pub const MESSAGE_MAX: usize = 4096 - 256;

/// Begins a reply: the context as it came, then text for people, if there is some. Parameters of the answer follow.
pub fn begin_reply(
    writer: &mut AttributeWriter<'_>,
    echo: Option<&Attribute<'_>>,
    text: &dyn fmt::Display,
) -> Result<(), NoSpace> {
    if let Some(context) = echo {
        writer.echo(context)?;
    }
    reply::info_text(writer, text)
}

/// Appends connection options, with the secret only for those who may see it.
fn net_options(
    writer: &mut AttributeWriter<'_>,
    options: Option<&NetConf>,
    show_secret: bool,
) -> Result<(), NoSpace> {
    match options {
        Some(options) if show_secret => options.encode(writer),
        Some(options) => options.without_secret().encode(writer),
        None => Ok(()),
    }
}

/// Everything about one device: answer to [`Command::GetStatus`], entry of its dump, and [`Command::Event`]. The user
/// header has its minor.
#[derive(Clone, Debug)]
pub struct Status<'a> {
    /// Volume and resource, and the addresses of the connection if there is exactly one.
    pub context: Context<'a>,
    /// Options of the resource.
    pub resource: &'a ResourceOptions,
    /// Options of the disk, while there is one.
    pub disk: Option<&'a DiskConf>,
    /// Options of the connection, while there is one.
    pub net: Option<&'a NetConf>,
    /// State and counters.
    pub info: StateInfo,
    /// Why the message is sent.
    pub reason: StatusReason<'a>,
    /// Whether the asker has `CAP_SYS_ADMIN`. Broadcasts never show the secret.
    pub show_secret: bool,
}

impl Status<'_> {
    /// Appends the groups. A reply has begun with [`begin_reply`].
    pub fn encode(&self, writer: &mut AttributeWriter<'_>) -> Result<(), NoSpace> {
        self.context.encode(writer)?;
        self.resource.encode(writer)?;
        if let Some(disk) = self.disk {
            disk.encode(writer)?;
        }
        let show_secret = self.show_secret && self.reason == StatusReason::Reply;
        net_options(writer, self.net, show_secret)?;
        self.info.encode(writer, &self.reason)
    }
}

/// An entry of a dump.
#[derive(Clone, Debug)]
pub enum DumpEntry<'a> {
    /// [`Command::GetStatus`]: a device.
    Status {
        /// Its minor.
        minor: u32,
        /// All about it.
        status: Status<'a>,
    },
    /// [`Command::GetStatus`]: a resource without devices.
    StatusOfResource {
        /// Resource, and the addresses of the connection if there is exactly one.
        context: Context<'a>,
        /// Options of the connection, while there is one. The secret is never shown.
        net: Option<&'a NetConf>,
    },
    /// [`Command::GetResources`].
    Resource {
        /// Resource.
        context: Context<'a>,
        /// Options.
        options: &'a ResourceOptions,
        /// State.
        info: ResourceInfo,
        /// Statistics.
        statistics: ResourceStatistics,
    },
    /// [`Command::GetDevices`].
    Device {
        /// Its minor.
        minor: u32,
        /// Volume and resource.
        context: Context<'a>,
        /// Options of the disk, while there is one.
        disk: Option<&'a DiskConf>,
        /// State.
        info: DeviceInfo,
        /// Statistics.
        statistics: DeviceStatistics,
    },
    /// [`Command::GetConnections`].
    Connection {
        /// Resource and addresses.
        context: Context<'a>,
        /// Options, while it is configured.
        net: Option<&'a NetConf>,
        /// Whether the asker has `CAP_SYS_ADMIN`.
        show_secret: bool,
        /// State.
        info: ConnectionInfo,
        /// Statistics.
        statistics: ConnectionStatistics,
    },
    /// [`Command::GetPeerDevices`].
    PeerDevice {
        /// The minor of the local device.
        minor: u32,
        /// Volume, resource and addresses.
        context: Context<'a>,
        /// State.
        info: PeerDeviceInfo,
        /// Statistics.
        statistics: PeerDeviceStatistics,
    },
}

impl DumpEntry<'_> {
    /// The minor for the user header.
    pub const fn minor(&self) -> u32 {
        match self {
            DumpEntry::Status { minor, .. }
            | DumpEntry::Device { minor, .. }
            | DumpEntry::PeerDevice { minor, .. } => *minor,
            _ => MINOR_NONE,
        }
    }

    /// Appends the groups.
    pub fn encode(&self, writer: &mut AttributeWriter<'_>) -> Result<(), NoSpace> {
        match self {
            DumpEntry::Status { status, .. } => status.encode(writer),
            DumpEntry::StatusOfResource { context, net } => {
                context.encode(writer)?;
                net_options(writer, *net, false)
            }
            DumpEntry::Resource {
                context,
                options,
                info,
                statistics,
            } => {
                context.encode(writer)?;
                options.encode(writer)?;
                info.encode(writer)?;
                statistics.encode(writer)
            }
            DumpEntry::Device {
                context,
                disk,
                info,
                statistics,
                ..
            } => {
                context.encode(writer)?;
                if let Some(disk) = disk {
                    disk.encode(writer)?;
                }
                info.encode(writer)?;
                statistics.encode(writer)
            }
            DumpEntry::Connection {
                context,
                net,
                show_secret,
                info,
                statistics,
            } => {
                context.encode(writer)?;
                net_options(writer, *net, *show_secret)?;
                info.encode(writer)?;
                statistics.encode(writer)
            }
            DumpEntry::PeerDevice {
                context,
                info,
                statistics,
                ..
            } => {
                context.encode(writer)?;
                info.encode(writer)?;
                statistics.encode(writer)
            }
        }
    }
}

/// What a notification announces (`enum drbd_notification_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// It is there: answer to [`Command::GetInitialState`].
    Exists,
    /// It is new.
    Create,
    /// It changed.
    Change,
    /// It is gone.
    Destroy,
    /// A helper is about to be called.
    Call,
    /// A helper has ended.
    Response,
}

/// Flag beside an announcement: more of the same change follows (`NOTIFY_CONTINUES`).
const CONTINUES: u32 = 0x8000;

impl Announcement {
    const fn number(self) -> u32 {
        match self {
            Announcement::Exists => 0,
            Announcement::Create => 1,
            Announcement::Change => 2,
            Announcement::Destroy => 3,
            Announcement::Call => 4,
            Announcement::Response => 5,
        }
    }
}

/// What a notification is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A resource.
    Resource {
        /// Resource.
        context: Context<'a>,
        /// State; left out of [`Announcement::Destroy`].
        info: ResourceInfo,
        /// Statistics.
        statistics: ResourceStatistics,
    },
    /// A device.
    Device {
        /// Its minor.
        minor: u32,
        /// Volume and resource.
        context: Context<'a>,
        /// State; left out of [`Announcement::Destroy`].
        info: DeviceInfo,
        /// Statistics.
        statistics: DeviceStatistics,
    },
    /// A connection.
    Connection {
        /// Resource and addresses.
        context: Context<'a>,
        /// State; left out of [`Announcement::Destroy`].
        info: ConnectionInfo,
        /// Statistics.
        statistics: ConnectionStatistics,
    },
    /// A device of a peer.
    PeerDevice {
        /// Volume, resource and addresses.
        context: Context<'a>,
        /// State; left out of [`Announcement::Destroy`].
        info: PeerDeviceInfo,
        /// Statistics.
        statistics: PeerDeviceStatistics,
    },
    /// A helper.
    Helper {
        /// The device it is called for, if it is called for one.
        minor: Option<u32>,
        /// Resource and addresses, and the volume of that device.
        context: Context<'a>,
        /// Its name.
        name: &'a str,
        /// How it ended: the status of `wait`, or a negative errno; 0 before.
        status: i32,
    },
    /// Nothing: the initial state is complete.
    InitialStateDone,
}

/// A notification for the multicast group, or an entry of the dump of [`Command::GetInitialState`].
#[derive(Clone, Copy, Debug)]
pub struct Notification<'a> {
    /// What happened.
    pub announcement: Announcement,
    /// Whether more notifications of the same change follow.
    pub continues: bool,
    /// To what.
    pub subject: Subject<'a>,
}

impl Notification<'_> {
    /// The command for the generic netlink header.
    pub const fn command(&self) -> Command {
        match self.subject {
            Subject::Resource { .. } => Command::ResourceState,
            Subject::Device { .. } => Command::DeviceState,
            Subject::Connection { .. } => Command::ConnectionState,
            Subject::PeerDevice { .. } => Command::PeerDeviceState,
            Subject::Helper { .. } => Command::Helper,
            Subject::InitialStateDone => Command::InitialStateDone,
        }
    }

    /// The minor for the user header.
    pub const fn minor(&self) -> u32 {
        match self.subject {
            Subject::Device { minor, .. } => minor,
            Subject::Helper {
                minor: Some(minor), ..
            } => minor,
            _ => MINOR_NONE,
        }
    }

    fn header(&self, writer: &mut AttributeWriter<'_>) -> Result<(), NoSpace> {
        let flags = if self.continues { CONTINUES } else { 0 };
        writer.nest(group::NOTIFICATION_HEADER, |writer| {
            writer.u32(1, self.announcement.number() | flags)
        })
    }

    /// Appends the groups.
    pub fn encode(&self, writer: &mut AttributeWriter<'_>) -> Result<(), NoSpace> {
        let exists = self.announcement != Announcement::Destroy;
        match &self.subject {
            Subject::Resource {
                context,
                info,
                statistics,
            } => {
                context.encode(writer)?;
                self.header(writer)?;
                if exists {
                    info.encode(writer)?;
                }
                statistics.encode(writer)
            }
            Subject::Device {
                context,
                info,
                statistics,
                ..
            } => {
                context.encode(writer)?;
                self.header(writer)?;
                if exists {
                    info.encode(writer)?;
                }
                statistics.encode(writer)
            }
            Subject::Connection {
                context,
                info,
                statistics,
            } => {
                context.encode(writer)?;
                self.header(writer)?;
                if exists {
                    info.encode(writer)?;
                }
                statistics.encode(writer)
            }
            Subject::PeerDevice {
                context,
                info,
                statistics,
            } => {
                context.encode(writer)?;
                self.header(writer)?;
                if exists {
                    info.encode(writer)?;
                }
                statistics.encode(writer)
            }
            Subject::Helper {
                context,
                name,
                status,
                ..
            } => {
                context.encode(writer)?;
                self.header(writer)?;
                let name = Text::<31>::truncated(name.as_bytes());
                writer.nest(group::HELPER, |writer| {
                    writer.text(1, name.as_bytes())?;
                    writer.i32(2, *status)
                })
            }
            Subject::InitialStateDone => self.header(writer),
        }
    }
}

#[cfg(test)]
mod tests;
