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
mod tests {
    use super::*;
    use crate::config::{
        Fencing,
        Protocol,
        Text, //
    };
    use crate::netlink::attribute::{
        AttributeWriter,
        NoSpace, //
    };
    use crate::netlink::command::MINOR_NONE;
    use proptest::prelude::*;
    use std::string::ToString;
    use std::vec::Vec;

    fn bytes(fill: impl FnOnce(&mut AttributeWriter<'_>) -> Result<(), NoSpace>) -> Vec<u8> {
        let mut buffer = [0; 2000];
        let mut writer = AttributeWriter::new(&mut buffer);
        fill(&mut writer).unwrap();
        writer.written().to_vec()
    }

    fn refusal(result: Result<Request<'_>, DecodeError>) -> (i32, std::string::String) {
        match result {
            Err(DecodeError::Refused(refusal)) => {
                (refusal.code.number(), refusal.reason.to_string())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_resource() {
        let message = bytes(|w| {
            w.nest(2, |w| w.text(2, b"r0"))?;
            w.nest(4, |w| {
                w.text(1, b"ff")?;
                w.u32(2, 1)
            })
        });
        let parsed = Message::parse(Command::NewResource, MINOR_NONE, 0, &message).unwrap();
        assert_eq!(parsed.echo.unwrap().bytes(), &message[..12]);
        let Request::NewResource { name, options } = parsed.request().unwrap() else {
            panic!();
        };
        assert_eq!(name, b"r0");
        assert_eq!(options.cpu_mask, Text::new(b"ff").unwrap());
        assert_eq!(options.on_no_data, crate::config::OnNoData::SuspendIo);

        let nameless = Request::decode(Command::NewResource, MINOR_NONE, 0, &[]);
        assert_eq!(
            refusal(nameless),
            (126, "resource name missing".to_string())
        );
    }

    #[test]
    fn a_new_minor() {
        let volume = |volume| bytes(|w| w.nest(2, |w| w.u32(1, volume)));
        assert_eq!(
            Request::decode(Command::NewMinor, 7, 0, &volume(3)),
            Ok(Request::NewMinor {
                minor: 7,
                volume: 3
            })
        );
        assert_eq!(
            refusal(Request::decode(Command::NewMinor, 7, 0, &volume(65_535))),
            (162, "requested volume id out of range".to_string())
        );
        assert_eq!(
            refusal(Request::decode(Command::NewMinor, 1 << 20, 0, &volume(0))),
            (162, "requested minor out of range".to_string())
        );
        assert!(matches!(
            Request::decode(Command::NewMinor, 7, 0, &[]),
            Err(DecodeError::Refused(_))
        ));
    }

    #[test]
    fn attach_needs_its_devices() {
        let attach = |list: &[u16]| {
            let message = bytes(|w| {
                w.nest(3, |w| {
                    for number in list {
                        match number {
                            1 => w.text(1, b"/dev/vda")?,
                            2 => w.text(2, b"/dev/vdb")?,
                            3 => w.i32(3, -2)?,
                            _ => w.u32(*number, 1)?,
                        }
                    }
                    Ok(())
                })
            });
            match Request::decode(Command::Attach, 0, 0, &message) {
                Ok(Request::Attach(conf)) => Ok(conf),
                other => Err(refusal(other)),
            }
        };
        let conf = attach(&[1, 2, 3, 7, 8]).unwrap();
        assert_eq!(conf.backing_dev.as_bytes(), b"/dev/vda");
        assert_eq!(conf.meta_dev.as_bytes(), b"/dev/vdb");
        assert_eq!(conf.meta_dev_idx, -2);
        assert_eq!(conf.fencing, Fencing::Resource);
        assert_eq!(conf.resync_rate, 1);
        assert_eq!(conf.al_extents, 1237);
        assert_eq!(
            attach(&[1, 3]),
            Err((126, "required attribute missing: meta-disk".to_string()))
        );
        assert_eq!(
            attach(&[1, 2, 3, 14]),
            Err((
                126,
                "invalid attribute value: c-max-rate must be in 250..4194304".to_string()
            ))
        );
        assert_eq!(
            refusal(Request::decode(Command::Attach, 0, 0, &[])),
            (126, "required attribute missing".to_string())
        );
    }

    #[test]
    fn connect_needs_both_ends() {
        let one = bytes(|w| w.nest(2, |w| w.binary(3, &[2; 16])));
        assert_eq!(
            refusal(Request::decode(Command::Connect, MINOR_NONE, 0, &one)),
            (162, "connection endpoint(s) missing".to_string())
        );
        let both = bytes(|w| {
            w.nest(2, |w| {
                w.text(2, b"r0")?;
                w.binary(3, &[2; 16])?;
                w.binary(4, &[3; 16])
            })?;
            w.nest(5, |w| {
                w.text(1, &[b's'; 64])?;
                w.u32(6, 1)?;
                w.u8(25, 1)
            })
        });
        let Ok(Request::Connect {
            my_address,
            peer_address,
            options,
        }) = Request::decode(Command::Connect, MINOR_NONE, 0, &both)
        else {
            panic!();
        };
        assert_eq!((my_address, peer_address), (&[2; 16][..], &[3; 16][..]));
        assert_eq!(options.wire_protocol, Protocol::A);
        assert_eq!(options.shared_secret.as_bytes().len(), 63);
        assert!(options.discard_my_data);
    }

    #[test]
    fn a_change_keeps_invariants() {
        let old = NetConf {
            timeout: 100,
            tentative: true,
            ..NetConf::default()
        };
        let apply = |flags, message: &[u8]| match Request::decode(
            Command::ChangeNetOptions,
            MINOR_NONE,
            flags,
            message,
        ) {
            Ok(Request::ChangeNetOptions(change)) => change.apply_to(&old),
            other => panic!("{other:?}"),
        };
        let ping = bytes(|w| w.nest(5, |w| w.u32(9, 20)));
        let new = apply(0, &ping).unwrap();
        assert_eq!((new.timeout, new.ping_int, new.tentative), (100, 20, true));
        let new = apply(FLAG_SET_DEFAULTS, &ping).unwrap();
        assert_eq!((new.timeout, new.ping_int, new.tentative), (60, 20, true));
        assert_eq!(apply(0, &[]).unwrap(), old);

        let discard = bytes(|w| w.nest(5, |w| w.u8(25, 1)));
        let refusal = apply(0, &discard).unwrap_err();
        assert_eq!(refusal.code, ReturnCode::MandatoryTag);
        assert_eq!(
            refusal.reason.to_string(),
            "cannot change invariant setting: discard-my-data"
        );
        let protocol = bytes(|w| w.nest(5, |w| w.u32(6, 4)));
        assert_eq!(
            apply(0, &protocol).unwrap_err().reason.to_string(),
            "invalid attribute value: protocol"
        );
    }

    #[test]
    fn parameters_of_single_commands() {
        let flag = |group| bytes(|w| w.nest(group, |w| w.u8(1, 1)));
        let decode = |command, message: &[u8]| {
            std::format!("{:?}", Request::decode(command, 0, 0, message).unwrap())
        };
        assert_eq!(
            decode(Command::Primary, &flag(6)),
            "Primary { force: true }"
        );
        assert_eq!(decode(Command::Primary, &[]), "Primary { force: false }");
        assert_eq!(
            decode(Command::Disconnect, &flag(12)),
            "Disconnect { force: true }"
        );
        assert_eq!(decode(Command::Detach, &flag(13)), "Detach { force: true }");
        assert_eq!(
            decode(Command::NewCurrentUuid, &flag(10)),
            "NewCurrentUuid { clear_bitmap: true }"
        );
        let start = bytes(|w| w.nest(9, |w| w.u64(1, 4096)));
        let Request::StartVerify(change) =
            Request::decode(Command::StartVerify, 0, 0, &start).unwrap()
        else {
            panic!();
        };
        let parms = change.apply_to(&StartVerifyParms::default()).unwrap();
        assert_eq!((parms.start_sector, parms.stop_sector), (4096, u64::MAX));
        let size = bytes(|w| w.nest(7, |w| w.u64(1, 2048)));
        let Request::Resize(change) = Request::decode(Command::Resize, 0, 0, &size).unwrap() else {
            panic!();
        };
        let present = ResizeParms {
            al_stripes: 4,
            al_stripe_size: 64,
            ..ResizeParms::default()
        };
        let parms = change.apply_to(&present).unwrap();
        assert_eq!(
            (parms.resize_size, parms.al_stripes, parms.al_stripe_size),
            (2048, 4, 64)
        );
    }

    #[test]
    fn netlink_is_strict() {
        let parse = |command, message: &[u8]| Message::parse(command, 0, 0, message).map(|_| ());
        let invalid = Err(Malformed::Invalid);
        // A group that does not belong to the command, and one that does not exist.
        assert_eq!(
            parse(Command::Detach, &bytes(|w| w.nest(12, |w| w.u8(1, 1)))),
            invalid
        );
        assert_eq!(
            parse(Command::Detach, &bytes(|w| w.nest(99, |_| Ok(())))),
            invalid
        );
        // An unknown attribute, a wrong length, nesting where it should not be, none where it should.
        for message in [
            bytes(|w| w.nest(13, |w| w.u8(2, 1))),
            bytes(|w| w.nest(13, |w| w.u32(1, 1))),
            bytes(|w| w.nest(13, |w| w.nest(1, |_| Ok(())))),
            bytes(|w| w.nest_without_flag(13, |w| w.u8(1, 1))),
            bytes(|w| w.nest_without_flag(2, |w| w.u32(1, 1))),
            bytes(|w| w.nest(2, |w| w.u32(5, 1))),
            bytes(|w| w.nest(2, |w| w.u32(0, 1))),
        ] {
            assert_eq!(parse(Command::Detach, &message), invalid);
        }
        let long = bytes(|w| w.nest(2, |w| w.binary(3, &[0; 129])));
        assert_eq!(parse(Command::Connect, &long), Err(Malformed::TooLong));
        let mut trailing = bytes(|w| w.nest(2, |w| w.u32(1, 1)));
        trailing.push(0);
        assert_eq!(parse(Command::Detach, &trailing), invalid);
        assert_eq!(parse(Command::Event, &[]), invalid);
        // The historic flag for mandatory attributes is no part of the number.
        assert_eq!(
            parse(
                Command::Detach,
                &bytes(|w| w.nest(13 | 1 << 14, |w| w.u8(1 | 1 << 14, 1)))
            ),
            Ok(())
        );
    }

    #[test]
    fn a_dump_of_status_with_context_needs_a_name() {
        let filter = |command, message: &[u8]| {
            Message::parse(command, MINOR_NONE, 0, message)
                .unwrap()
                .dump_filter()
                .map(|name| name.map(|name| name.to_vec()))
        };
        let named = bytes(|w| w.nest(2, |w| w.text(2, b"r0")));
        let nameless = bytes(|w| w.nest(2, |_| Ok(())));
        assert_eq!(filter(Command::GetStatus, &[]), Ok(None));
        assert_eq!(filter(Command::GetStatus, &named), Ok(Some(b"r0".to_vec())));
        assert_eq!(
            filter(Command::GetStatus, &nameless),
            Err(Malformed::Invalid)
        );
        assert_eq!(filter(Command::GetDevices, &nameless), Ok(None));
    }

    #[test]
    fn every_request_has_a_form() {
        for command in Command::ALL {
            let dump = matches!(
                command,
                Command::GetResources
                    | Command::GetDevices
                    | Command::GetConnections
                    | Command::GetPeerDevices
                    | Command::GetInitialState
            );
            match Request::decode(*command, 0, 0, &[]) {
                Err(DecodeError::Refused(refusal)) => {
                    assert_eq!(dump, refusal.code == ReturnCode::PacketNr);
                }
                Err(DecodeError::Malformed(_)) => assert!(command.is_notification()),
                Ok(_) => assert!(!dump),
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_harm(
            command in 0..Command::ALL.len(),
            minor: u32,
            flags: u32,
            attributes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let _ = Request::decode(Command::ALL[command], minor, flags, &attributes);
        }

        #[test]
        fn any_values_keep_to_the_table(values in proptest::collection::vec((1u16..40, any::<u32>()), 0..60)) {
            let message = bytes(|w| w.nest(5, |w| {
                for (number, value) in &values {
                    match NetConf::spec(*number).map(|spec| spec.form) {
                        Some(crate::config::option::Form::Number8) => w.u8(*number, *value as u8)?,
                        Some(crate::config::option::Form::Number32) => w.u32(*number, *value)?,
                        _ => {}
                    }
                }
                Ok(())
            }));
            let change = match Request::decode(Command::ChangeNetOptions, 0, 0, &message) {
                Ok(Request::ChangeNetOptions(change)) => change,
                other => panic!("{other:?}"),
            };
            if let Ok(conf) = change.apply_to(&NetConf::default()) {
                prop_assert!((1..=600).contains(&conf.timeout));
                prop_assert!((32..=131_072).contains(&conf.max_buffers));
            }
        }
    }
}
