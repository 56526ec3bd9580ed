// SPDX-License-Identifier: GPL-2.0-only

//! Tells those who listen what happens: notifications (`drbdsetup events2`), and events of the older kind.

use drbd_core::{
    netlink::{
        attribute::{
            AttributeWriter,
            NoSpace, //
        },
        command::Command,
        messages::{
            Announcement,
            Notification,
            Subject,
            MESSAGE_MAX, //
        },
        reply::StatusReason, //
    },
    resource::device::DeviceIndex,
    return_code::ReturnCode, //
};
use kernel::{
    prelude::*,
    sync::GlobalGuard, //
};

use super::{
    netlink::Commands,
    registry::Entry,
    status::{
        self,
        View, //
    },
    told::{
        self,
        Addresses,
        Told, //
    }, //
};
use crate::kernel_api::{
    genetlink::Registration,
    global::global_mutex, //
};

global_mutex! {
    /// The family, from load to unload. Held while something is told, so that what belongs together is not torn apart.
    static FAMILY, FamilyBackend: Option<Registration<Commands>> = None;
}

/// From now on there is somebody to tell.
pub(super) fn start(family: Registration<Commands>) {
    *FAMILY.lock() = Some(family);
}

/// No command runs after this, and nobody is told anything.
pub(super) fn stop() {
    // Commands that still run want the mutex: it is not held while they are waited for.
    let family = FAMILY.lock().take();
    drop(family);
}

/// Somebody listens, and is being told.
pub(super) struct Teller {
    family: GlobalGuard<FamilyBackend>,
    buffer: KVec<u8>,
}

impl Teller {
    /// Begins to tell; `None` where nobody listens.
    pub(super) fn begin() -> Option<Self> {
        let family = FAMILY.lock();
        if !family.as_ref()?.has_listeners() {
            return None;
        }
        match KVec::zeroed(MESSAGE_MAX, GFP_KERNEL) {
            Ok(buffer) => Some(Self { family, buffer }),
            Err(_) => {
                failed(ENOMEM);
                None
            }
        }
    }

    fn send(
        &mut self,
        command: Command,
        minor: u32,
        fill: impl FnOnce(&mut AttributeWriter<'_>) -> Result<(), NoSpace>,
    ) {
        let Some(family) = self.family.as_ref() else {
            return;
        };
        let mut writer = AttributeWriter::new(&mut self.buffer);
        let sent = match fill(&mut writer) {
            Ok(()) => family.multicast(
                command.number(),
                minor,
                ReturnCode::NoError.number(),
                writer.written(),
            ),
            Err(NoSpace) => Err(EMSGSIZE),
        };
        if let Err(error) = sent {
            failed(error);
        }
    }

    /// Sends a notification.
    pub(super) fn notify(
        &mut self,
        announcement: Announcement,
        continues: bool,
        subject: Subject<'_>,
    ) {
        let notification = Notification {
            announcement,
            continues,
            subject,
        };
        self.send(notification.command(), notification.minor(), |writer| {
            notification.encode(writer)
        });
    }

    /// Sends all about a device, with the reason: an event of the older kind.
    pub(super) fn event(
        &mut self,
        entry: &Entry,
        addresses: Option<&Addresses>,
        minor: u32,
        index: DeviceIndex,
        reason: StatusReason<'_>,
    ) {
        self.send(Command::Event, minor, |writer| {
            entry.look(|engine| {
                let view = View::new(engine, entry.name(), addresses);
                view.encode_status(writer, index, reason, false)
            })
        });
    }

    /// The resource came, or changed, or went.
    pub(super) fn resource(
        &mut self,
        entry: &Entry,
        told: &Told,
        announcement: Announcement,
        continues: bool,
    ) {
        let statistics = entry.look(status::resource_statistics);
        let subject = Subject::Resource {
            context: told::context(entry.name(), None, None),
            info: told.resource_info(),
            statistics,
        };
        self.notify(announcement, continues, subject);
    }

    /// The connection came, or changed, or went.
    pub(super) fn connection(
        &mut self,
        entry: &Entry,
        told: &Told,
        announcement: Announcement,
        continues: bool,
    ) {
        let subject = Subject::Connection {
            context: told::context(entry.name(), None, told.addresses()),
            info: told.connection_info(),
            statistics: status::connection_statistics(),
        };
        self.notify(announcement, continues, subject);
    }

    /// A device came, or changed, or went.
    pub(super) fn device(
        &mut self,
        entry: &Entry,
        index: DeviceIndex,
        state: &drbd_core::state::State,
        announcement: Announcement,
        continues: bool,
    ) {
        let Some(status) = entry.look(|engine| engine.status(index)) else {
            return;
        };
        let subject = Subject::Device {
            minor: status.minor,
            context: told::context(entry.name(), Some(status.volume), None),
            info: state.into(),
            statistics: status::device_statistics(&status),
        };
        self.notify(announcement, continues, subject);
    }

    /// A device of the peer came, or changed, or went.
    pub(super) fn peer_device(
        &mut self,
        entry: &Entry,
        addresses: Option<&Addresses>,
        index: DeviceIndex,
        state: &drbd_core::state::State,
        announcement: Announcement,
        continues: bool,
    ) {
        let Some(status) = entry.look(|engine| engine.status(index)) else {
            return;
        };
        let subject = Subject::PeerDevice {
            context: told::context(entry.name(), Some(status.volume), addresses),
            info: state.into(),
            statistics: status::peer_device_statistics(&status),
        };
        self.notify(announcement, continues, subject);
    }

    /// The connection came, or went, and with it the devices of the peer.
    pub(super) fn whole_connection(
        &mut self,
        entry: &Entry,
        told: &Told,
        announcement: Announcement,
    ) {
        let destroyed = announcement == Announcement::Destroy;
        let count = told.volume_count();
        if !destroyed {
            self.connection(entry, told, announcement, count > 0);
        }
        let mut left = count;
        for place in 0..drbd_core::resource::MAX_VOLUMES {
            let Ok(place) = u8::try_from(place) else {
                break;
            };
            let index = DeviceIndex(place);
            if let Some(state) = told.volume(index) {
                left = left.saturating_sub(1);
                let continues = destroyed || left > 0;
                self.peer_device(
                    entry,
                    told.addresses(),
                    index,
                    &state,
                    announcement,
                    continues,
                );
            }
        }
        if destroyed {
            self.connection(entry, told, announcement, false);
        }
    }
}

fn failed(error: Error) {
    pr_err!("Error {} while broadcasting event.\n", error.to_errno());
}
