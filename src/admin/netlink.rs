// SPDX-License-Identifier: GPL-2.0-only

//! Commands of drbd-utils: finds out what a command is about, has it carried out, and answers.

use core::fmt::Display;

use drbd_core::{
    netlink::{
        attribute::AttributeWriter,
        command::Command as Number,
        context::{
            self,
            Found,
            Reason, //
        },
        messages::{
            begin_reply,
            MESSAGE_MAX, //
        },
        reply::{
            StatusReason,
            TimeoutType, //
        },
        request::{
            Message,
            Request as Wish, //
        }, //
    },
    return_code::ReturnCode,
    state::{
        DiskState,
        Role, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

use super::{
    connection_commands,
    disk_commands,
    dump::Dump,
    refused::Outcome,
    registry::{
        self,
        Entry, //
    },
    resource_commands,
    resync_commands,
    role_commands,
    status::View, //
};
use crate::{
    disk::Device,
    kernel_api::{
        genetlink::{
            Capability,
            Command,
            DumpMessages,
            Handler,
            Kind,
            Permission,
            Progress,
            Reply,
            Request, //
        },
        noio::NoIo, //
    },
    resource::Refused, //
};

/// Answers the commands.
pub(super) struct Commands;

const fn command(number: Number) -> Command {
    let kind = match number {
        Number::GetStatus => Kind::SingleOrDump,
        Number::GetResources
        | Number::GetDevices
        | Number::GetConnections
        | Number::GetPeerDevices
        | Number::GetInitialState => Kind::Dump,
        _ => Kind::Single,
    };
    Command {
        number: number.number(),
        kind,
        permission: if number.is_unprivileged() {
            Permission::All
        } else {
            Permission::Administrator
        },
    }
}

/// What a command is about, as far as it exists.
pub(super) struct Target {
    entry: Option<Arc<Entry>>,
    device: Option<Arc<Device>>,
    /// What is made must not be there yet.
    pub(super) exclusive: bool,
}

impl Target {
    /// The resource, whether the command needs it or not.
    pub(super) fn found(&self) -> Option<&Arc<Entry>> {
        self.entry.as_ref()
    }

    /// The device, whether the command needs it or not.
    pub(super) fn found_device(&self) -> Option<&Arc<Device>> {
        self.device.as_ref()
    }

    /// Does something to the resource that nobody else may do at the same time.
    pub(super) fn administer<R>(
        &self,
        f: impl FnOnce(&Arc<Entry>) -> Result<R, Refused>,
    ) -> Result<R, Refused> {
        let gone = || Refused::from(ReturnCode::ResNotKnown);
        let entry = self.entry.as_ref().ok_or_else(gone)?;
        let _administration = entry.resource.administration().lock();
        // Somebody else may have taken it apart meanwhile.
        if !registry::has_resource(entry) {
            return Err(gone());
        }
        f(entry)
    }

    /// Does something to the device that nobody else may do to the resource at the same time.
    pub(super) fn administer_device<R>(
        &self,
        f: impl FnOnce(&Arc<Entry>, &Arc<Device>) -> Result<R, Refused>,
    ) -> Result<R, Refused> {
        self.administer(|entry| {
            let device = self
                .device
                .as_ref()
                .filter(|found| registry::has_device(found));
            match device {
                Some(device) => f(entry, device),
                None => Err(ReturnCode::MinorInvalid.into()),
            }
        })
    }
}

/// Looks up what a message names, and checks that it fits the command.
fn look_up(message: &Message<'_>, exclusive: bool) -> Result<Target, Refused> {
    let found = registry::device(message.minor);
    let context = &message.context;
    let named = context.resource_name.and_then(registry::resource);
    let addresses = context.my_address.zip(context.peer_address);
    let connected = match message.command.needs() {
        drbd_core::netlink::command::Needs::Connection => {
            addresses.and_then(|(mine, theirs)| registry::connection(mine, theirs))
        }
        _ => None,
    };
    let found_objects = Found {
        device: found.as_ref().map(|found| {
            let volume = u32::from(found.device.volume);
            (Arc::as_ptr(&found.entry), volume)
        }),
        resource: named.as_ref().map(Arc::as_ptr),
        connection: connected.is_some(),
    };
    context::check(message.command.needs(), context, &found_objects)?;
    let (of_device, device) = match found {
        Some(found) => (Some(found.entry), Some(found.device)),
        None => (None, None),
    };
    Ok(Target {
        entry: named.or(of_device).or(connected),
        device,
        exclusive,
    })
}

/// What an answer carries.
enum Answer {
    Code(i32),
    /// All about the device.
    Status(Target),
    Timeout(TimeoutType),
}

// What is called from here goes deep, and options are large: nothing else is on the stack meanwhile.
#[inline(never)]
fn carry_out(message: &Message<'_>, exclusive: bool) -> Result<Answer, Refused> {
    let target = look_up(message, exclusive)?;
    match message.command {
        Number::GetStatus => Ok(Answer::Status(target)),
        Number::GetTimeoutType => timeout_type(&target).map(Answer::Timeout),
        // Its options are looked at last.
        Number::Connect => connection_commands::connect(&target, message).map(Answer::Code),
        _ => dispatch(&target, message).map(Answer::Code),
    }
}

fn dispatch(target: &Target, message: &Message<'_>) -> Outcome {
    if message.command == Number::Attach {
        disk_commands::check_no_disk(target)?;
    }
    match message.request()? {
        Wish::NewResource { name, options } => {
            resource_commands::new_resource(target, name, options)
        }
        Wish::DeleteResource => resource_commands::delete_resource(target),
        Wish::ChangeResourceOptions(change) => resource_commands::change_options(target, &change),
        Wish::NewMinor { minor, volume } => resource_commands::new_minor(target, minor, volume),
        Wish::DeleteMinor => resource_commands::delete_minor(target),
        Wish::Down => resource_commands::down(target),
        Wish::Disconnect { force } => connection_commands::disconnect(target, force),
        Wish::ChangeNetOptions(change) => connection_commands::change_options(target, &change),
        Wish::Attach(conf) => disk_commands::attach(target, conf),
        Wish::ChangeDiskOptions(change) => disk_commands::change_options(target, &change),
        Wish::Detach { force } => disk_commands::detach(target, force),
        Wish::Resize(change) => disk_commands::resize(target, &change),
        Wish::Outdate => disk_commands::outdate(target),
        Wish::NewCurrentUuid { clear_bitmap } => {
            disk_commands::new_current_uuid(target, clear_bitmap)
        }
        Wish::Primary { force } => role_commands::set_role(target, Role::Primary, force),
        Wish::Secondary => role_commands::set_role(target, Role::Secondary, false),
        Wish::SuspendIo => role_commands::suspend_io(target),
        Wish::ResumeIo => role_commands::resume_io(target),
        Wish::Invalidate => resync_commands::invalidate(target),
        Wish::InvalidatePeer => resync_commands::invalidate_peer(target),
        Wish::PauseSync => resync_commands::pause(target),
        Wish::ResumeSync => resync_commands::resume(target),
        Wish::StartVerify(change) => resync_commands::start_verify(target, &change),
        Wish::Connect { .. } | Wish::GetStatus | Wish::GetTimeoutType => {
            Err(ReturnCode::PacketNr.into())
        }
    }
}

fn timeout_type(target: &Target) -> Result<TimeoutType, Refused> {
    let unknown = || Refused::from(ReturnCode::MinorInvalid);
    let (entry, device) = target
        .found()
        .zip(target.found_device())
        .ok_or_else(unknown)?;
    let status = entry
        .look(|engine| engine.status(device.index))
        .ok_or_else(unknown)?;
    Ok(if status.state.peer_disk == DiskState::Outdated {
        TimeoutType::PeerOutdated
    } else if status.degraded {
        TimeoutType::Degraded
    } else {
        TimeoutType::Default
    })
}

/// Writes an answer; the number is the return code.
#[inline(never)]
fn write_answer(
    writer: &mut AttributeWriter<'_>,
    message: &Message<'_>,
    answer: Result<Answer, Refused>,
    show_secret: bool,
) -> Result<i32> {
    let too_long = |_| EMSGSIZE;
    let echo = message.echo.as_ref();
    let mut begin = |text: &dyn Display| begin_reply(writer, echo, text).map_err(too_long);
    let code = match answer {
        Err(refused) => {
            begin(&refused.text)?;
            return Ok(refused.code);
        }
        Ok(Answer::Code(code)) => {
            begin(&Reason::None)?;
            return Ok(code);
        }
        Ok(answer) => {
            begin(&Reason::None)?;
            answer
        }
    };
    match code {
        Answer::Timeout(timeout) => timeout.encode(writer).map_err(too_long)?,
        Answer::Status(target) => {
            if let Some((entry, device)) = target.found().zip(target.found_device()) {
                let addresses = entry.addresses();
                entry
                    .look(|engine| {
                        View::new(engine, entry.name(), addresses.as_ref()).encode_status(
                            writer,
                            device.index,
                            StatusReason::Reply,
                            show_secret,
                        )
                    })
                    .map_err(too_long)?;
            }
        }
        Answer::Code(_) => {}
    }
    Ok(ReturnCode::NoError.number())
}

fn parse<'a>(request: &Request<'a>) -> Result<Message<'a>> {
    let number = Number::from_number(request.command()).ok_or(EINVAL)?;
    Message::parse(
        number,
        request.minor(),
        request.flags(),
        request.attributes(),
    )
    .map_err(|malformed| Error::from_errno(malformed.errno()))
}

impl Handler for Commands {
    type Dump = Dump;

    const COMMANDS: &'static [Command] = &[
        command(Number::GetStatus),
        command(Number::NewMinor),
        command(Number::DeleteMinor),
        command(Number::NewResource),
        command(Number::DeleteResource),
        command(Number::ResourceOptions),
        command(Number::Connect),
        command(Number::Disconnect),
        command(Number::Attach),
        command(Number::Resize),
        command(Number::Primary),
        command(Number::Secondary),
        command(Number::NewCurrentUuid),
        command(Number::StartVerify),
        command(Number::Detach),
        command(Number::Invalidate),
        command(Number::InvalidatePeer),
        command(Number::PauseSync),
        command(Number::ResumeSync),
        command(Number::SuspendIo),
        command(Number::ResumeIo),
        command(Number::Outdate),
        command(Number::GetTimeoutType),
        command(Number::Down),
        command(Number::ChangeDiskOptions),
        command(Number::ChangeNetOptions),
        command(Number::GetResources),
        command(Number::GetDevices),
        command(Number::GetConnections),
        command(Number::GetPeerDevices),
        command(Number::GetInitialState),
    ];

    // The event threads wait for locks that a command holds, and I/O may wait for them: no command asks for memory in a
    // way that waits for I/O.

    fn command(request: &Request<'_>, reply: &mut Reply) -> Result {
        let _noio = NoIo::enter();
        let message = parse(request)?;
        let answer = carry_out(&message, request.is_exclusive());
        let mut buffer = KVec::<u8>::zeroed(MESSAGE_MAX, GFP_KERNEL)?;
        let mut writer = AttributeWriter::new(&mut buffer);
        let show_secret = request.has_capability(Capability::SysAdmin);
        let code = write_answer(&mut writer, &message, answer, show_secret)?;
        reply.push(writer.written())?;
        reply.set_return_code(code);
        Ok(())
    }

    fn dump_start(request: &Request<'_>) -> Result<KBox<Dump>> {
        let _noio = NoIo::enter();
        let message = parse(request)?;
        let show_secret = request.has_capability(Capability::SysAdmin);
        Ok(KBox::new(Dump::new(&message, show_secret)?, GFP_KERNEL)?)
    }

    fn dump_next(
        dump: &mut Dump,
        _request: &Request<'_>,
        messages: &mut DumpMessages<'_>,
    ) -> Result<Progress> {
        let _noio = NoIo::enter();
        dump.put_next(messages)
    }
}
