// SPDX-License-Identifier: GPL-2.0-only

//! From the bytes of a request to its values.
//!
//! This happens in two steps, as the answers differ. [`Message::parse`] checks what netlink itself would: framing,
//! known attributes, lengths; an error there is an errno. Then the shell looks up the objects
//! ([`context::check`](super::context::check)), and [`Message::request`] reads the parameters; an error there, or in
//! the look-up, is a reply with a return code and a text.

use core::marker::PhantomData;

use super::attribute::{
    Attribute,
    Attributes,
    Malformed, //
};
use super::command::{
    Command,
    FLAG_SET_DEFAULTS, //
};
use super::context::{
    Context,
    Refusal, //
};
use super::group;
use crate::config::check::{
    MINOR_MAX,
    VOLUME_MAX, //
};
use crate::config::{
    Configuration,
    DetachParms,
    DisconnectParms,
    DiskConf,
    NetConf,
    NewCurrentUuidParms,
    OptionError,
    Purpose,
    ResizeParms,
    ResourceOptions,
    SetRoleParms,
    StartVerifyParms, //
};
use crate::return_code::ReturnCode;

/// A well-formed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What is asked.
    pub command: Command,
    /// The minor in the user header.
    pub minor: u32,
    /// The flags in the user header.
    pub flags: u32,
    /// Which object it is about.
    pub context: Context<'a>,
    /// The context as it came: each reply begins with it ([`AttributeWriter::echo`]).
    ///
    /// [`AttributeWriter::echo`]: super::attribute::AttributeWriter::echo
    pub echo: Option<Attribute<'a>>,
    parameters: Option<Attributes<'a>>,
}

impl<'a> Message<'a> {
    /// Reads the user header's two words and the attributes that follow it, as strict as netlink is with the policy of
    /// the C driver.
    pub fn parse(
        command: Command,
        minor: u32,
        flags: u32,
        attributes: &'a [u8],
    ) -> Result<Self, Malformed> {
        if command.is_notification() {
            return Err(Malformed::Invalid);
        }
        let attributes = Attributes::new(attributes);
        let mut message = Self {
            command,
            minor,
            flags,
            context: Context::default(),
            echo: None,
            parameters: None,
        };
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.number() {
                group::CFG_CONTEXT => {
                    message.context = Context::parse(&attribute)?;
                    message.echo = Some(attribute);
                }
                number if command.parameter_group() == Some(number) => {
                    let nested = attribute.nested()?;
                    validate(number, nested)?;
                    message.parameters = Some(nested);
                }
                _ => return Err(Malformed::Invalid),
            }
        }
        Ok(message)
    }

    /// The name of the resource that a dump is limited to.
    pub fn dump_filter(&self) -> Result<Option<&'a [u8]>, Malformed> {
        if self.command == Command::GetStatus
            && self.echo.is_some()
            && self.context.resource_name.is_none()
        {
            return Err(Malformed::Invalid);
        }
        Ok(self.context.resource_name)
    }

    /// The parameters on their own, over the defaults.
    fn start<C: Configuration>(&self) -> Result<C, OptionError> {
        let mut configuration = C::default();
        configuration.apply(self.parameters.unwrap_or_default(), Purpose::Start)?;
        Ok(configuration)
    }

    fn change<C: Configuration>(&self) -> Change<'a, C> {
        Change {
            set_defaults: self.flags & FLAG_SET_DEFAULTS != 0,
            attributes: self.parameters.unwrap_or_default(),
            configuration: PhantomData,
        }
    }

    /// Reads the parameters. The objects that the command needs are known to exist.
    pub fn request(&self) -> Result<Request<'a>, Refusal> {
        Ok(match self.command {
            Command::NewResource => {
                let options = self.start()?;
                Request::NewResource {
                    name: self.context.new_resource_name()?,
                    options,
                }
            }
            Command::DeleteResource => Request::DeleteResource,
            Command::ResourceOptions => Request::ChangeResourceOptions(self.change()),
            Command::NewMinor => self.new_minor()?,
            Command::DeleteMinor => Request::DeleteMinor,
            Command::Connect => {
                let (my_address, peer_address) = self.context.endpoints()?;
                Request::Connect {
                    my_address,
                    peer_address,
                    options: self.start()?,
                }
            }
            Command::Disconnect => Request::Disconnect {
                force: self.start::<DisconnectParms>()?.force,
            },
            Command::ChangeNetOptions => Request::ChangeNetOptions(self.change()),
            Command::Attach => {
                if self.parameters.is_none() {
                    return Err(OptionError::Missing("").into());
                }
                Request::Attach(self.start()?)
            }
            Command::ChangeDiskOptions => Request::ChangeDiskOptions(self.change()),
            Command::Resize => Request::Resize(self.change()),
            Command::Primary => Request::Primary {
                force: self.start::<SetRoleParms>()?.assume_uptodate,
            },
            Command::Secondary => Request::Secondary,
            Command::NewCurrentUuid => Request::NewCurrentUuid {
                clear_bitmap: self.start::<NewCurrentUuidParms>()?.clear_bitmap,
            },
            Command::StartVerify => Request::StartVerify(self.change()),
            Command::Detach => Request::Detach {
                force: self.start::<DetachParms>()?.force,
            },
            Command::Invalidate => Request::Invalidate,
            Command::InvalidatePeer => Request::InvalidatePeer,
            Command::PauseSync => Request::PauseSync,
            Command::ResumeSync => Request::ResumeSync,
            Command::SuspendIo => Request::SuspendIo,
            Command::ResumeIo => Request::ResumeIo,
            Command::Outdate => Request::Outdate,
            Command::GetTimeoutType => Request::GetTimeoutType,
            Command::Down => Request::Down,
            Command::GetStatus => Request::GetStatus,
            // Dumps have no reply of their own, notifications were refused.
            _ => return Err(ReturnCode::PacketNr.into()),
        })
    }

    fn new_minor(&self) -> Result<Request<'a>, Refusal> {
        if self.minor > MINOR_MAX {
            return Err(Refusal::new(
                ReturnCode::InvalidRequest,
                "requested minor out of range",
            ));
        }
        match self.context.volume {
            Some(volume) if volume <= VOLUME_MAX => Ok(Request::NewMinor {
                minor: self.minor,
                volume,
            }),
            _ => Err(Refusal::new(
                ReturnCode::InvalidRequest,
                "requested volume id out of range",
            )),
        }
    }
}

fn validate(number: u16, attributes: Attributes<'_>) -> Result<(), Malformed> {
    match number {
        group::DISK_CONF => DiskConf::validate(attributes),
        group::NET_CONF => NetConf::validate(attributes),
        group::RESOURCE_OPTIONS => ResourceOptions::validate(attributes),
        group::SET_ROLE_PARMS => SetRoleParms::validate(attributes),
        group::RESIZE_PARMS => ResizeParms::validate(attributes),
        group::START_OV_PARMS => StartVerifyParms::validate(attributes),
        group::NEW_C_UUID_PARMS => NewCurrentUuidParms::validate(attributes),
        group::DISCONNECT_PARMS => DisconnectParms::validate(attributes),
        group::DETACH_PARMS => DetachParms::validate(attributes),
        _ => Err(Malformed::Invalid),
    }
}

/// New values for some of the options in `C`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a, C> {
    set_defaults: bool,
    attributes: Attributes<'a>,
    configuration: PhantomData<C>,
}

impl<C: Configuration> Change<'_, C> {
    /// What `old` becomes. Invariant options keep their value; to give them is refused.
    pub fn apply_to(&self, old: &C) -> Result<C, Refusal> {
        let mut new = old.clone();
        if self.set_defaults {
            new.set_defaults();
        }
        new.apply(self.attributes, Purpose::Change)?;
        Ok(new)
    }
}

/// What is asked, with its parameters. Minor, resource and connection are those of the [`Message`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Make a resource; done already if it exists, unless `NLM_F_EXCL` is set.
    NewResource {
        /// Its name.
        name: &'a [u8],
        /// Its options.
        options: ResourceOptions,
    },
    /// Remove the resource.
    DeleteResource,
    /// Change the options of the resource.
    ChangeResourceOptions(Change<'a, ResourceOptions>),
    /// Add a device to the resource; done already if it exists, unless `NLM_F_EXCL` is set.
    NewMinor {
        /// Its minor.
        minor: u32,
        /// Its number in the resource.
        volume: u32,
    },
    /// Remove the device.
    DeleteMinor,
    /// Configure a connection in the resource and begin to connect.
    Connect {
        /// Where to listen.
        my_address: &'a [u8],
        /// Where to connect to.
        peer_address: &'a [u8],
        /// Its options.
        options: NetConf,
    },
    /// End the connection.
    Disconnect {
        /// Without the consent of the peer.
        force: bool,
    },
    /// Change the options of the connection.
    ChangeNetOptions(Change<'a, NetConf>),
    /// Give the device its disk.
    Attach(DiskConf),
    /// Change the options of the disk.
    ChangeDiskOptions(Change<'a, DiskConf>),
    /// Take up a new size. Apply it to the present layout of the activity log and size 0.
    Resize(Change<'a, ResizeParms>),
    /// Let applications use the device.
    Primary {
        /// Take the data as good, whatever its state.
        force: bool,
    },
    /// Keep applications from using the device.
    Secondary,
    /// Begin a new data generation.
    NewCurrentUuid {
        /// Take the data of both nodes as equal.
        clear_bitmap: bool,
    },
    /// Begin online verify. Apply it to where the last run stopped, and no end.
    StartVerify(Change<'a, StartVerifyParms>),
    /// Take the disk from the device.
    Detach {
        /// Without waiting for I/O in flight.
        force: bool,
    },
    /// Give up the local data.
    Invalidate,
    /// Give up the data of the peer.
    InvalidatePeer,
    /// Pause resync.
    PauseSync,
    /// Go on with resync.
    ResumeSync,
    /// Hold application I/O.
    SuspendIo,
    /// Let application I/O go on.
    ResumeIo,
    /// Mark the local data as outdated.
    Outdate,
    /// Tell how long start-up should wait for the peer.
    GetTimeoutType,
    /// Take the resource apart.
    Down,
    /// Tell everything about the device.
    GetStatus,
}

/// Why [`Request::decode`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Answer with this errno.
    Malformed(Malformed),
    /// Answer with a reply.
    Refused(Refusal),
}

impl<'a> Request<'a> {
    /// Both steps at once, for callers that look up objects later.
    pub fn decode(
        command: Command,
        minor: u32,
        flags: u32,
        attributes: &'a [u8],
    ) -> Result<Self, DecodeError> {
        Message::parse(command, minor, flags, attributes)
            .map_err(DecodeError::Malformed)?
            .request()
            .map_err(DecodeError::Refused)
    }
}

#[cfg(test)]
mod tests;
