// SPDX-License-Identifier: GPL-2.0-only

//! A bell that stays rung until somebody comes.

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Full, //
    },
};

use crate::kernel_api::{
    kthread::StopFlag,
    wait::{
        new_wait_queue,
        WaitQueue, //
    },
};

/// A wish that one thread waits for. Wishes that come before it looks are one wish.
#[pin_data]
pub(crate) struct Signal {
    raised: Atomic<bool>,
    #[pin]
    queue: WaitQueue,
}

impl Signal {
    /// Nobody has wished for anything.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            raised: Atomic::new(false),
            queue <- new_wait_queue!(c"drbd_signal"),
        })
    }

    /// Wishes. Any context.
    pub(crate) fn raise(&self) {
        // Whoever raised it before has woken the thread, which has not looked yet.
        if !self.raised.xchg(true, Full) {
            self.queue.wake_all();
        }
    }

    /// Waits for a wish; false where the thread is to stop instead. Sleeps.
    pub(crate) fn wait(&self, stop: &StopFlag) -> bool {
        let mut raised = false;
        self.queue.wait_event(|| {
            raised = self.raised.xchg(false, Full);
            raised || stop.should_stop()
        });
        !stop.should_stop()
    }

    /// Makes the waiting thread look whether it is to stop. Any context.
    pub(crate) fn wake(&self) {
        self.queue.wake_all();
    }
}
