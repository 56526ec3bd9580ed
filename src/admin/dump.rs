// SPDX-License-Identifier: GPL-2.0-only

//! Lists: what is configured, and how it is. A list is made at once, and handed out message by message.

use drbd_core::{
    netlink::{
        attribute::{
            AttributeWriter,
            NoSpace, //
        },
        command::{
            Command,
            MINOR_NONE, //
        },
        messages::{
            Announcement,
            DumpEntry,
            Notification,
            Subject,
            MESSAGE_MAX, //
        },
        reply::StatusReason,
        request::Message, //
    },
    return_code::ReturnCode, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

use super::{
    registry::{
        self,
        Entry, //
    },
    status::{
        self,
        View, //
    },
    told,
};
use crate::{
    disk::Device,
    kernel_api::genetlink::{
        DumpMessages,
        Progress, //
    }, //
};

/// A message of the list.
struct Line {
    command: Command,
    minor: u32,
    code: ReturnCode,
    attributes: KVec<u8>,
}

/// A list that is being read.
pub(crate) struct Dump {
    lines: KVec<Line>,
    next: usize,
    /// Why there is no list.
    error: Option<Error>,
}

impl Dump {
    /// Makes the list that `message` asks for. The secret of connections is in it where `show_secret` says so.
    pub(super) fn new(message: &Message<'_>, show_secret: bool) -> Result<Self> {
        let filter = message
            .dump_filter()
            .map_err(|malformed| Error::from_errno(malformed.errno()));
        let list = List {
            lines: KVec::new(),
            buffer: KVec::zeroed(MESSAGE_MAX, GFP_KERNEL)?,
            command: message.command,
            show_secret,
        };
        // Like the C driver, tell of these errors at the end of the list, which is where drbdsetup looks.
        match filter.and_then(|filter| list.fill(filter)) {
            Ok(lines) => Ok(Self {
                lines,
                next: 0,
                error: None,
            }),
            Err(error) => Ok(Self {
                lines: KVec::new(),
                next: 0,
                error: Some(error),
            }),
        }
    }

    /// Hands out the next message: one at a time, as the C driver does.
    pub(super) fn put_next(&mut self, messages: &mut DumpMessages<'_>) -> Result<Progress> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let Some(line) = self.lines.get(self.next) else {
            return Ok(Progress::Done);
        };
        let (command, code) = (line.command.number(), line.code.number());
        let fits = if line.command.is_notification() {
            messages.put_event(command, line.minor, code, &line.attributes)
        } else {
            messages.put(command, line.minor, code, &line.attributes)
        };
        if fits {
            self.next = self.next.saturating_add(1);
        }
        if self.next < self.lines.len() {
            Ok(Progress::More)
        } else {
            Ok(Progress::Done)
        }
    }
}

/// A list that is being made.
struct List {
    lines: KVec<Line>,
    buffer: KVec<u8>,
    command: Command,
    show_secret: bool,
}

impl List {
    fn fill(mut self, filter: Option<&[u8]>) -> Result<KVec<Line>> {
        match self.command {
            Command::GetInitialState => self.initial_state()?,
            Command::GetResources => {
                for entry in registry::resources()? {
                    self.entry(&entry, |view| Some(view.resource()))?;
                }
            }
            Command::GetStatus => self.status(filter)?,
            _ => match filter {
                Some(name) => match registry::resource(name) {
                    Some(entry) => self.part(&entry)?,
                    None => self.line(MINOR_NONE, ReturnCode::ResNotKnown, |_| Ok(()))?,
                },
                None => self.parts()?,
            },
        }
        Ok(self.lines)
    }

    /// Adds a message.
    fn line(
        &mut self,
        minor: u32,
        code: ReturnCode,
        fill: impl FnOnce(&mut AttributeWriter<'_>) -> Result<(), NoSpace>,
    ) -> Result {
        let mut writer = AttributeWriter::new(&mut self.buffer);
        fill(&mut writer).map_err(|NoSpace| EMSGSIZE)?;
        let mut attributes = KVec::new();
        attributes.extend_from_slice(writer.written(), GFP_KERNEL)?;
        let line = Line {
            command: self.command,
            minor,
            code,
            attributes,
        };
        self.lines.push(line, GFP_KERNEL)?;
        Ok(())
    }

    /// Adds what `choose` picks from a resource, if it picks something.
    fn entry(
        &mut self,
        entry: &Entry,
        choose: impl for<'a> FnOnce(&'a View<'a>) -> Option<DumpEntry<'a>>,
    ) -> Result {
        let addresses = entry.addresses();
        let mut minor = None;
        let mut writer = AttributeWriter::new(&mut self.buffer);
        entry
            .look(|engine| {
                let view = View::new(engine, entry.name(), addresses.as_ref());
                let chosen = choose(&view);
                minor = chosen.as_ref().map(DumpEntry::minor);
                match chosen {
                    Some(chosen) => chosen.encode(&mut writer),
                    None => Ok(()),
                }
            })
            .map_err(|NoSpace| EMSGSIZE)?;
        let Some(minor) = minor else {
            return Ok(());
        };
        let mut attributes = KVec::new();
        attributes.extend_from_slice(writer.written(), GFP_KERNEL)?;
        let line = Line {
            command: self.command,
            minor,
            code: ReturnCode::NoError,
            attributes,
        };
        self.lines.push(line, GFP_KERNEL)?;
        Ok(())
    }

    /// Devices, connections or devices of peers: those of one resource.
    fn part(&mut self, entry: &Arc<Entry>) -> Result {
        if self.command == Command::GetConnections {
            return self.connection(entry);
        }
        for device in registry::volumes(entry)? {
            self.device(entry, &device)?;
        }
        Ok(())
    }

    /// The same of all resources; devices by minor.
    fn parts(&mut self) -> Result {
        if self.command == Command::GetConnections {
            for entry in registry::resources()? {
                self.connection(&entry)?;
            }
            return Ok(());
        }
        for found in registry::devices()? {
            self.device(&found.entry, &found.device)?;
        }
        Ok(())
    }

    fn connection(&mut self, entry: &Entry) -> Result {
        let show_secret = self.show_secret;
        self.entry(entry, |view| {
            view.has_connection().then(|| view.connection(show_secret))
        })
    }

    fn device(&mut self, entry: &Entry, device: &Device) -> Result {
        let index = device.index;
        if self.command == Command::GetDevices {
            return self.entry(entry, |view| view.device(index));
        }
        self.entry(entry, |view| {
            if view.has_connection() {
                view.peer_device(index)
            } else {
                None
            }
        })
    }

    fn status(&mut self, filter: Option<&[u8]>) -> Result {
        match filter {
            Some(name) => {
                let entry = registry::resource(name).ok_or(ENODEV)?;
                self.status_of(&entry)
            }
            None => {
                for entry in registry::resources()? {
                    self.status_of(&entry)?;
                }
                Ok(())
            }
        }
    }

    fn status_of(&mut self, entry: &Arc<Entry>) -> Result {
        let volumes = registry::volumes(entry)?;
        if volumes.is_empty() {
            return self.entry(entry, |view| Some(view.status_of_resource()));
        }
        let addresses = entry.addresses();
        let show_secret = self.show_secret;
        for device in volumes {
            self.line(device.minor, ReturnCode::NoError, |writer| {
                entry.look(|engine| {
                    View::new(engine, entry.name(), addresses.as_ref()).encode_status(
                        writer,
                        device.index,
                        StatusReason::Reply,
                        show_secret,
                    )
                })
            })?;
        }
        Ok(())
    }

    /// Each resource with its connection, its devices, and those of the peer; then the end.
    fn initial_state(&mut self) -> Result {
        for entry in registry::resources()? {
            let volumes = registry::volumes(&entry)?;
            let addresses = entry.addresses();
            let (info, statistics, connection) = entry.look(|engine| {
                (
                    status::resource_info(engine),
                    status::resource_statistics(engine),
                    status::connection_info(engine),
                )
            });
            self.exists(
                true,
                Subject::Resource {
                    context: told::context(entry.name(), None, None),
                    info,
                    statistics,
                },
            )?;
            self.exists(
                !volumes.is_empty(),
                Subject::Connection {
                    context: told::context(entry.name(), None, addresses.as_ref()),
                    info: connection,
                    statistics: status::connection_statistics(),
                },
            )?;
            let of_volume = |device: &Device| entry.look(|engine| engine.status(device.index));
            for status in volumes.iter().filter_map(|device| of_volume(device)) {
                self.exists(
                    true,
                    Subject::Device {
                        minor: status.minor,
                        context: told::context(entry.name(), Some(status.volume), None),
                        info: (&status.state).into(),
                        statistics: status::device_statistics(&status),
                    },
                )?;
            }
            let mut left = volumes.len();
            for status in volumes.iter().filter_map(|device| of_volume(device)) {
                left = left.saturating_sub(1);
                self.exists(
                    left > 0,
                    Subject::PeerDevice {
                        context: told::context(
                            entry.name(),
                            Some(status.volume),
                            addresses.as_ref(),
                        ),
                        info: (&status.state).into(),
                        statistics: status::peer_device_statistics(&status),
                    },
                )?;
            }
        }
        self.exists(false, Subject::InitialStateDone)
    }

    fn exists(&mut self, continues: bool, subject: Subject<'_>) -> Result {
        let notification = Notification {
            announcement: Announcement::Exists,
            continues,
            subject,
        };
        let command = core::mem::replace(&mut self.command, notification.command());
        let added = self.line(notification.minor(), ReturnCode::NoError, |writer| {
            notification.encode(writer)
        });
        self.command = command;
        added
    }
}
