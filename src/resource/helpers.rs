// SPDX-License-Identifier: GPL-2.0-only

//! Calls helpers of user space, one after the other, in the order in which the engine asked for them.
//!
//! A helper takes its time, and may administer this very resource: `drbdadm disconnect` in a handler ends when the sockets
//! are shut, which the event thread does. So helpers have a thread of their own. `drbdadm down` does not wait for that: it
//! may be the helper's own.

use drbd_core::resource::{
    device::DeviceIndex,
    effect::{
        Event,
        Helper, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

use super::{
    events::EventWork,
    Resource, //
};
use crate::{
    admin,
    kernel_api::{
        global::global_mutex,
        kthread::{
            StopFlag,
            Thread, //
        },
        noio::NoIo, //
    },
};

/// Milliseconds that a resource which goes waits for a helper: most are done by then.
const PATIENCE: u32 = 1000;

global_mutex! {
    /// Threads whose helper still runs, of resources that are gone.
    static LEFT, LeftBackend: KVec<Thread> = KVec::new();
}

/// How many helpers can wait for their turn.
pub(super) const WAITING: usize = 64;

/// The thread.
pub(crate) fn run(resource: &Arc<Resource>, stop: &StopFlag) {
    // A resync waits for its handler, and memory may wait for the resync.
    let _noio = NoIo::enter();
    while resource.helper_work.wait(stop) {
        while let Some(event) = resource.peek(|guarded| guarded.helpers.pop()) {
            resource.operations.wake_all();
            call(resource, &event);
        }
    }
}

impl Resource {
    /// Leaves a helper to its thread; waits while too many others do, and as long as the resource is there. Event thread.
    pub(super) fn leave_to_helpers(&self, event: Event, stop: &StopFlag) {
        if !self.keep_helper(event) {
            // Whoever waits for this thread does not wait for helpers: one of them may wait for him.
            self.operations.wake_all();
            self.operations
                .wait_event(|| stop.should_stop() || self.keep_helper(event));
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

/// Ends the thread of a resource that goes. Where it is in the middle of a helper it ends after that, and nobody waits but
/// the module when it goes. Sleeps.
pub(super) fn end(thread: Thread) {
    let Err(thread) = thread.stop_within(PATIENCE) else {
        return;
    };
    let mut left = LEFT.lock();
    left.retain(|other| !other.is_finished());
    if left.reserve(1, GFP_KERNEL).is_ok() {
        // There is room for it.
        let _ = left.push_within_capacity(thread);
    } else {
        // The code must not go before the thread.
        drop(left);
        drop(thread);
    }
}

/// The module goes: waits for the helpers that still run. Sleeps.
pub(crate) fn wait_for_all() {
    let left = core::mem::replace(&mut *LEFT.lock(), KVec::new());
    drop(left);
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
