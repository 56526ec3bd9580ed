// SPDX-License-Identifier: GPL-2.0-only

//! Carries out what only the event thread may: strictly in the order in which it happened.

use drbd_core::resource::effect::Event;
use kernel::sync::Arc;

use super::Resource;
use crate::{
    admin,
    kernel_api::{
        kthread::StopFlag,
        noio::NoIo, //
    },
    net, //
};

/// The thread that carries out events.
pub(crate) fn run(resource: &Arc<Resource>, stop: &StopFlag) {
    // I/O that memory waits for may wait for what is carried out here: sockets that are to be shut, for one.
    let _noio = NoIo::enter();
    while resource.event_work.wait(stop) {
        while let Some(event) = take(resource) {
            handle(resource, &event, stop);
            resource.peek(|guarded| guarded.event = EventWork::Idle);
            resource.operations.wake_all();
        }
    }
}

/// The next event. The receiver may wait for the room that it leaves, and is woken.
fn take(resource: &Resource) -> Option<Event> {
    let mut taken = None;
    resource.engine_in_irq(|guarded| {
        taken = guarded.engine.next_event();
        if taken.is_some() {
            guarded.event = EventWork::Event;
        }
    });
    taken
}

/// What the event thread does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventWork {
    /// It has nothing to do.
    Idle,
    /// It carries out an event.
    Event,
    /// It waits for room for one more helper: those before it may take their time, and may administer this very resource.
    Helper,
}

impl Resource {
    /// Waits until the world has heard of all that has happened to the resource so far: sizes, roles, notifications. Does
    /// not wait for helpers. Sleeps; not on the event thread.
    pub(crate) fn settle(&self) {
        self.operations.wait_event(|| {
            self.peek(|guarded| match guarded.event {
                EventWork::Idle => !guarded.engine.has_events(),
                EventWork::Event => false,
                EventWork::Helper => true,
            })
        });
    }
}

fn handle(resource: &Arc<Resource>, event: &Event, stop: &StopFlag) {
    match *event {
        Event::None => {}
        Event::StartReceiver => {
            if net::start_receiver(resource).is_err() {
                resource.engine_in_irq(|guarded| guarded.engine.connect_failed());
            }
        }
        Event::ShutSockets => resource.shut_link(),
        Event::StopReceiver => {}
        Event::DiskIsIdle { device } => {
            if let Some(device) = resource.device_at(device) {
                device.close_disk();
            }
        }
        Event::Resized { device, sectors } => {
            if let Some(device) = resource.device_at(device) {
                device.set_capacity(sectors);
            }
        }
        Event::Writable { device, writable } => {
            if let Some(device) = resource.device_at(device) {
                device.set_read_only(!writable);
            }
        }
        Event::LimitsChanged { device } => {
            if let Some(device) = resource.device_at(device) {
                device.update_limits();
            }
        }
        Event::CallHelper { .. } | Event::CallHelperAndReport { .. } => {
            resource.leave_to_helpers(*event, stop);
        }
        Event::StateChanged { old, new, .. } => {
            admin::event::handle(resource, event);
            admin::resync_order::state_changed(&old, &new);
        }
        Event::Log { .. } | Event::Progress { .. } => admin::event::handle(resource, event),
    }
}
