// SPDX-License-Identifier: GPL-2.0-only

//! Calls helpers of user space, one after the other, in the order in which the engine asked for them.
//!
//! A helper takes its time, and may administer this very resource: `drbdadm disconnect` in a handler ends when the sockets
//! are shut, which the event thread does. So helpers have a thread of their own.

use drbd_core::resource::{
    device::DeviceIndex,
    effect::{
        Event,
        Helper, //
    }, //
};
use kernel::sync::Arc;

use super::{
    events::EventWork,
    Resource, //
};
use crate::{
    admin,
    kernel_api::{
        kthread::StopFlag,
        noio::NoIo, //
    },
};

/// How many helpers can wait for their turn.
pub(super) const WAITING: usize = 64;

/// The thread. Before it ends it calls those that still wait.
pub(crate) fn run(resource: &Arc<Resource>, stop: &StopFlag) {
    // A resync waits for its handler, and memory may wait for the resync.
    let _noio = NoIo::enter();
    let mut goes_on = true;
    while goes_on {
        goes_on = resource.helper_work.wait(stop);
        while let Some(event) = resource.peek(|guarded| guarded.helpers.pop()) {
            resource.operations.wake_all();
            call(resource, &event);
        }
    }
}

impl Resource {
    /// Leaves a helper to its thread; waits while too many others do. Event thread.
    pub(super) fn leave_to_helpers(&self, event: Event) {
        if !self.keep_helper(event) {
            // Whoever waits for this thread does not wait for helpers: one of them may wait for him.
            self.operations.wake_all();
            self.operations.wait_event(|| self.keep_helper(event));
        }
        self.helper_work.raise();
    }

    /// False where there is no room, which is said to those who [settle](Self::settle).
    fn keep_helper(&self, event: Event) -> bool {
        self.peek(|guarded| {
            let taken = guarded.helpers.push(event).is_ok();
            guarded.event = if taken {
                EventWork::Event
            } else {
                EventWork::Helper
            };
            taken
        })
    }
}

fn call(resource: &Arc<Resource>, event: &Event) {
    match *event {
        Event::CallHelper {
            device: None,
            helper,
        } => {
            admin::event::call_helper(resource, None, helper.name());
        }
        Event::CallHelper {
            device: Some(index),
            helper,
        } => {
            call_for_device(resource, index, helper);
        }
        Event::CallHelperAndReport {
            device: index,
            helper,
        } => {
            let code = call_for_device(resource, index, helper);
            resource.engine_for_command(|engine| engine.helper_finished(index, helper, code));
        }
        _ => {}
    }
}

/// Its exit code; 0 where the device was removed meanwhile.
fn call_for_device(resource: &Arc<Resource>, index: DeviceIndex, helper: Helper) -> u8 {
    match resource.device_at(index) {
        Some(device) => admin::event::call_helper(resource, Some(&*device), helper.name()),
        None => 0,
    }
}
