// SPDX-License-Identifier: GPL-2.0-only

//! What the event thread of a resource says: lines in the kernel log, notifications. Strictly in the order in which it
//! happened.

use drbd_core::{
    config::Text,
    netlink::{
        messages::Announcement,
        reply::StatusReason, //
    },
    resource::{
        device::DeviceIndex,
        effect::Event, //
    },
    state::{
        log::{
            write_connection_change,
            write_volume_change,
            Fields, //
        },
        ConnectionState,
        State, //
    }, //
};
use kernel::sync::Arc;

pub(crate) use super::helper::call_helper;
use super::{
    log::{
        self,
        Level, //
    },
    notify::Teller,
    registry::{
        self,
        Entry, //
    },
    told::{
        Step,
        Told, //
    },
};
use crate::{
    disk::Device,
    resource::Resource, //
};

/// Room for a line about a change.
type Line = Text<300>;

/// Tells of an event. Others than log lines, changes of state, and progress are not told.
///
/// By the event thread of `resource` alone. Sleeps.
pub(crate) fn handle(resource: &Arc<Resource>, event: &Event) {
    match event {
        Event::Log { device, message } => {
            let device = device.and_then(|index| resource.device_at(index));
            let level = log::level(message);
            log::either(
                device.as_deref(),
                resource,
                level,
                format_args!("{message}"),
            );
        }
        Event::StateChanged { device, old, new } => {
            state_changed(resource, *device, old, new);
        }
        Event::Progress { device } => {
            if let Some(entry) = registry::entry_of(resource) {
                tell_event(&entry, *device, StatusReason::SyncProgress);
            }
        }
        _ => {}
    }
}

/// Broadcasts all about a device, with the reason, to tools that know no notifications.
pub(super) fn tell_event(entry: &Entry, index: DeviceIndex, reason: StatusReason<'_>) {
    let Some(device) = entry.resource.device_at(index) else {
        return;
    };
    let addresses = entry.addresses();
    if let Some(mut teller) = Teller::begin() {
        teller.event(entry, addresses.as_ref(), device.minor, index, reason);
    }
}

fn state_changed(resource: &Arc<Resource>, index: DeviceIndex, old: &State, new: &State) {
    let Some(entry) = registry::entry_of(resource) else {
        return;
    };
    let mut told = entry.told.lock();
    let connection_before = told.connection();
    let Some(step) = told.step(index, old, new) else {
        return;
    };
    if let Some(device) = resource.device_at(index) {
        let first = connection_before != told.connection();
        log_change(&device, old, new, told.volume_count() == 1, first);
    }
    if let Some(mut teller) = Teller::begin() {
        tell_step(&mut teller, &entry, &told, index, new, step);
        if let Some(device) = resource.device_at(index) {
            let reason = StatusReason::StateChange {
                old: *old,
                new: *new,
            };
            teller.event(&entry, told.addresses(), device.minor, index, reason);
        }
    }
    if step.connection_ended {
        end_connection(&entry, &mut told);
    }
}

/// The notifications for a change: those that belong together say so.
fn tell_step(
    teller: &mut Teller,
    entry: &Entry,
    told: &Told,
    index: DeviceIndex,
    new: &State,
    step: Step,
) {
    let change = Announcement::Change;
    if step.resource {
        let more = step.connection || step.device || step.peer_device;
        teller.resource(entry, told, change, more);
    }
    if step.connection {
        teller.connection(entry, told, change, step.device || step.peer_device);
    }
    if step.device {
        teller.device(entry, index, new, change, step.peer_device);
    }
    if step.peer_device {
        teller.peer_device(entry, told.addresses(), index, new, change, false);
    }
}

/// Says that the connection is gone, if it was there.
pub(super) fn end_connection(entry: &Entry, told: &mut Told) {
    if told.addresses().is_none() {
        return;
    }
    if let Some(mut teller) = Teller::begin() {
        teller.whole_connection(entry, told, Announcement::Destroy);
    }
    told.set_addresses(None);
}

/// Writes the lines for a change. What concerns the whole connection is said of the connection: for several volumes once,
/// with the `first` of them.
fn log_change(device: &Device, old: &State, new: &State, alone: bool, first: bool) {
    let whole =
        old.connection != new.connection && new.connection <= ConnectionState::WFReportParams;
    let connection_only = Fields {
        connection: true,
        ..Fields::NONE
    };
    let common = match (whole, alone) {
        (false, _) => Fields::NONE,
        (true, true) => Fields::ALL,
        (true, false) => connection_only,
    };
    let shown = if whole && !alone && !first {
        Fields::NONE
    } else {
        common
    };
    // Text takes what fits, without error.
    let mut line = Line::EMPTY;
    let _ = write_connection_change(&mut line, old, new, shown);
    let connection_line = line;
    let mut line = Line::EMPTY;
    let _ = write_volume_change(&mut line, old, new, common.others());
    let tell_connection = || {
        if !connection_line.is_empty() {
            log::resource(
                &device.resource,
                Level::Info,
                format_args!("{connection_line}"),
            );
        }
    };
    if whole {
        tell_connection();
    }
    if !line.is_empty() {
        log::device(device, Level::Info, format_args!("{line}"));
    }
    if !whole {
        tell_connection();
    }
}
