// SPDX-License-Identifier: GPL-2.0-only

//! The lock of a resource: the engine is used under it, and what the engine asks for is done once it is let go.

use drbd_core::resource::{
    device::DeviceIndex,
    Wishes,
    MAX_VOLUMES, //
};
use kernel::sync::Arc;

use super::{
    effects,
    Engine,
    Guarded,
    Resource, //
};
use crate::kernel_api::{
    clock,
    random, //
};

impl Resource {
    /// Uses the engine, and carries out what it asks for. Sleeps (not under the lock).
    pub(crate) fn engine<R>(self: &Arc<Self>, f: impl FnOnce(&mut Engine) -> R) -> R {
        self.guarded(|guarded| f(&mut guarded.engine))
    }

    /// The same with the tables of tokens.
    pub(crate) fn guarded<R>(self: &Arc<Self>, f: impl FnOnce(&mut Guarded) -> R) -> R {
        self.guarded_then(f, |_| ())
    }

    /// The same with something to be done before any block I/O that the engine asks for. It may sleep for long.
    pub(crate) fn guarded_then<R>(
        self: &Arc<Self>,
        f: impl FnOnce(&mut Guarded) -> R,
        first: impl FnOnce(&R),
    ) -> R {
        let (result, wishes) = self.locked(f);
        match wishes {
            Some(wishes) => {
                // Some of them may be somebody else's, who is not to wait for this.
                self.grant(wishes);
                first(&result);
            }
            None => {
                first(&result);
                effects::drain(self);
            }
        }
        result
    }

    /// The same for a task in `submit_bio`, where block I/O starts only when the task returns from there: what the engine
    /// asks for is carried out if the task is about to return, that is where `f` says so, as far as that cannot wait, and
    /// else left to the threads. Carried out here, it would wait for a task that waits for its end.
    pub(crate) fn guarded_in_submit(
        self: &Arc<Self>,
        f: impl FnOnce(&mut Guarded) -> bool,
    ) -> bool {
        let (returns, wishes) = self.locked(f);
        match wishes {
            Some(wishes) => self.grant(wishes),
            None if returns => effects::drain_in_submit(self),
            None => self.engine_in_irq(|_| ()),
        }
        returns
    }

    /// The same for the sender of data, which frees the pages that reads for the peer wait for, and has in its hands what the
    /// peer waits for: it frees pages, and leaves block I/O to the threads.
    pub(crate) fn guarded_in_sender<R>(&self, f: impl FnOnce(&mut Guarded) -> R) -> R {
        let (result, wishes) = self.locked(f);
        self.grant(wishes.unwrap_or_else(|| effects::drain_in_sender(self)));
        result
    }

    /// Calls `f` under the lock. Where that left nothing to be carried out, the wishes come with the result, as in most
    /// cases: they take the lock once.
    fn locked<R>(&self, f: impl FnOnce(&mut Guarded) -> R) -> (R, Option<Wishes>) {
        let mut guarded = self.lock_now();
        supply_random(&mut guarded.engine);
        let result = f(&mut guarded);
        let engine = &mut guarded.engine;
        let idle = !engine.has_effects() && !engine.has_completions();
        (result, idle.then(|| engine.take_wishes()))
    }

    /// Looks at the engine, or uses it for something that asks for nothing. Any context.
    pub(crate) fn peek<R>(&self, f: impl FnOnce(&mut Guarded) -> R) -> R {
        f(&mut self.lock_now())
    }

    /// Takes the lock, and tells the engine what time it is. Any context.
    pub(crate) fn lock_now(&self) -> impl core::ops::DerefMut<Target = Guarded> + '_ {
        let mut guarded = self.guarded.lock();
        guarded.engine.at(now());
        guarded
    }

    /// Uses the engine where sleeping is not allowed, or not wanted: what it asks for is left to the threads, except that requests end.
    ///
    /// For all who see to it that a disk, or a peer, is given up: timer, event thread, and whoever reads or writes the meta
    /// socket. A disk that takes nothing more holds up whoever starts I/O on it.
    pub(crate) fn engine_in_irq<R>(&self, f: impl FnOnce(&mut Guarded) -> R) -> R {
        let (result, wishes) = {
            let mut guarded = self.lock_now();
            supply_random(&mut guarded.engine);
            let result = f(&mut guarded);
            let engine = &mut guarded.engine;
            // A request that ends leaves its place and its extents of the activity log to whoever waits for them: the
            // wishes are complete when all have ended.
            let done = !engine.has_completions();
            (result, done.then(|| engine.take_wishes()))
        };
        self.grant(wishes.unwrap_or_else(|| effects::end_requests(self)));
        result
    }

    /// Uses the engine for a command, or for a helper, whose own command may be the next.
    ///
    /// Of all it asks for nothing is started here: the command may be the one that gives up a disk which takes nothing more, or hold
    /// mutexes that such a one waits for.
    pub(crate) fn engine_for_command<R>(&self, f: impl FnOnce(&mut Engine) -> R) -> R {
        self.engine_in_irq(|guarded| f(&mut guarded.engine))
    }

    /// Wakes whom the engine wants awake. Any context.
    pub(crate) fn grant(&self, wishes: Wishes) {
        if wishes.worker {
            self.disk_work.raise();
        }
        if wishes.events {
            self.event_work.raise();
        }
        if wishes.send_data {
            self.data_work.raise();
        }
        if wishes.send_meta {
            self.meta_work.raise();
        }
        if wishes.room {
            self.room.wake_all();
        }
        if wishes.operations {
            self.operations.wake_all();
        }
        if wishes.timer {
            self.arm_timer();
        }
    }

    fn arm_timer(&self) {
        // The lock of the engine inside that of the alarm: of two who arm it, the last one must not be the one that asked
        // for the deadline first.
        let alarm = self.alarm.lock();
        let deadline = self.peek(|guarded| guarded.engine.deadline());
        if let (Some(timer), Some(deadline)) = (alarm.as_ref(), deadline) {
            let wait = deadline.saturating_sub(now());
            timer.arm(u32::try_from(wait).unwrap_or(u32::MAX).max(1));
        }
    }

    pub(super) fn timer_expired(self: &Arc<Self>) {
        self.tell_disk_activity();
        self.engine_in_irq(|guarded| guarded.engine.timer());
        self.arm_timer();
    }

    /// Tells the engine what the disks did that a resync shares with others.
    fn tell_disk_activity(self: &Arc<Self>) {
        self.peek(|guarded| {
            for number in (0..).take(MAX_VOLUMES) {
                let index = DeviceIndex(number);
                if !guarded.engine.wants_disk_activity(index) {
                    continue;
                }
                // Under the lock, so that no reference to the disk outlives a detach.
                if let Some(backing) = guarded.backing(index) {
                    let done = backing.data.sectors_done();
                    guarded.engine.disk_activity(index, done);
                }
            }
        });
    }
}

/// Any context.
fn supply_random(engine: &mut Engine) {
    if engine.wants_random() {
        engine.supply_random([
            random::random_u64(),
            random::random_u64(),
            random::random_u64(),
            random::random_u64(),
        ]);
    }
}

/// Milliseconds of the clock that the engine lives by. Any context.
fn now() -> u64 {
    clock::monotonic_ns() / 1_000_000
}
