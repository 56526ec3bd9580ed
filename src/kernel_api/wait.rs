// SPDX-License-Identifier: GPL-2.0-only

//! Waiting until something is so, woken by whoever made it so.
//!
//! Unlike `CondVar`, a [`WaitQueue`] needs no lock: the waiter gives a condition, and whoever changes what it reads calls
//! [`WaitQueue::wake_all`] afterwards. The condition runs as an ordinary part of the task (state `TASK_RUNNING`), so it may
//! take a mutex; that is the `wait_woken` protocol of the kernel, not the `prepare_to_wait` one.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use core::marker::PhantomPinned;

use kernel::{
    bindings,
    prelude::*,
    sync::LockClassKey,
    task::MAX_SCHEDULE_TIMEOUT,
    time::{
        msecs_to_jiffies,
        Msecs, //
    },
    types::Opaque, //
};

/// How a task sleeps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sleep {
    /// Deaf to signals, and not counted as load or as hung: a kernel thread that waits for work.
    Idle,
    /// Ended by a signal: a task of user space, and what C code wakes with `wake_up_interruptible`.
    Interruptible,
}

impl Sleep {
    /// The bits of `task_struct::__state`.
    fn state(self) -> c_uint {
        match self {
            Sleep::Idle => bindings::TASK_UNINTERRUPTIBLE | bindings::TASK_NOLOAD,
            Sleep::Interruptible => bindings::TASK_INTERRUPTIBLE,
        }
    }
}

/// The place of the current task in a C wait queue, from creation to drop.
///
/// # Invariants
///
/// `entry` is on the list of `head`, and `head` is valid, until drop. `entry.private` is the task that created it.
#[pin_data(PinnedDrop)]
pub(super) struct Waiter {
    head: *mut bindings::wait_queue_head,
    #[pin]
    entry: Opaque<bindings::wait_queue_entry>,
    #[pin]
    _pin: PhantomPinned,
}

impl Waiter {
    /// Puts the current task on `queue`.
    ///
    /// # Safety
    ///
    /// `queue` is an initialised wait queue head that outlives the waiter. The waiter stays within the task that made it.
    pub(super) unsafe fn new(queue: *mut bindings::wait_queue_head) -> impl PinInit<Self> {
        pin_init!(Self {
            head: queue,
            entry <- Opaque::ffi_init(|slot: *mut bindings::wait_queue_entry| {
                // SAFETY: `slot` is valid for writes, and pinned from here on, as a list node must be. `get_current` has
                // no requirement; the pointer stays good as a waiter never leaves its task.
                unsafe {
                    slot.write(bindings::wait_queue_entry {
                        private: bindings::get_current().cast(),
                        func: Some(bindings::woken_wake_function),
                        ..Default::default()
                    });
                    (*slot).entry.next = &raw mut (*slot).entry;
                    (*slot).entry.prev = &raw mut (*slot).entry;
                }
                // SAFETY: `queue` is valid by the contract of this function, and `slot` was initialised above.
                unsafe { bindings::add_wait_queue(queue, slot) };
            }),
            _pin: PhantomPinned,
        })
    }

    /// Sleeps until woken, or for `timeout` jiffies; answers what is left of them. May return early.
    pub(super) fn sleep(self: Pin<&mut Self>, how: Sleep, timeout: c_long) -> c_long {
        // SAFETY: by the type invariant the entry is on a queue, with `woken_wake_function` as its callback.
        unsafe { bindings::wait_woken(self.entry.get(), how.state(), timeout) }
    }
}

#[pinned_drop]
impl PinnedDrop for Waiter {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: by the type invariant the entry is on the list of `head`, which is still valid.
        unsafe { bindings::remove_wait_queue(self.head, self.entry.get()) };
    }
}

/// A queue of tasks that wait for a condition. Made with [`new_wait_queue!`](crate::kernel_api::wait::new_wait_queue).
///
/// # Invariants
///
/// `head` is an initialised `wait_queue_head`.
#[pin_data]
pub(crate) struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: a `wait_queue_head` belongs to no thread.
unsafe impl Send for WaitQueue {}
// SAFETY: every access to the list goes through functions that take its own lock.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// A queue without waiters. Use [`new_wait_queue!`](crate::kernel_api::wait::new_wait_queue), which makes the lock class.
    pub(crate) fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid and pinned; name and key are static.
            head <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.as_ptr())
            }),
            _pin: PhantomPinned,
        })
    }

    /// Makes every waiter look at its condition again. Any context, also hard interrupt.
    pub(crate) fn wake_all(&self) {
        // SAFETY: `head` is initialised; no key is passed.
        unsafe {
            bindings::__wake_up(
                self.head.get(),
                bindings::TASK_NORMAL,
                0,
                core::ptr::null_mut(),
            )
        };
    }

    /// Sleeps until `condition` holds. For kernel threads: signals are ignored and the wait counts neither as load nor as
    /// hung. The condition must include the wish to stop the thread, or nobody can stop it.
    ///
    /// May sleep.
    pub(crate) fn wait_event(&self, condition: impl FnMut() -> bool) {
        self.wait(Sleep::Idle, MAX_SCHEDULE_TIMEOUT, condition);
    }

    /// As [`wait_event`](Self::wait_event), but for `milliseconds` at most. Answers whether the condition held at the end.
    ///
    /// May sleep.
    #[must_use]
    pub(crate) fn wait_event_timeout(
        &self,
        milliseconds: Msecs,
        condition: impl FnMut() -> bool,
    ) -> bool {
        self.wait(Sleep::Idle, timeout_jiffies(milliseconds), condition)
    }

    /// Sleeps until `condition` holds; a signal ends the wait with `EINTR`. For tasks of user space.
    ///
    /// May sleep.
    pub(crate) fn wait_event_interruptible(&self, condition: impl FnMut() -> bool) -> Result {
        if self.wait(Sleep::Interruptible, MAX_SCHEDULE_TIMEOUT, condition) {
            Ok(())
        } else {
            Err(EINTR)
        }
    }

    /// As [`wait_event_interruptible`](Self::wait_event_interruptible), for `milliseconds` at most: `Ok(false)` when they
    /// are over and the condition does not hold.
    ///
    /// May sleep.
    pub(crate) fn wait_event_interruptible_timeout(
        &self,
        milliseconds: Msecs,
        mut condition: impl FnMut() -> bool,
    ) -> Result<bool> {
        if self.wait(
            Sleep::Interruptible,
            timeout_jiffies(milliseconds),
            &mut condition,
        ) {
            Ok(true)
        } else if kernel::current!().signal_pending() {
            Err(EINTR)
        } else {
            Ok(false)
        }
    }

    /// Waits; answers whether the condition held when the wait ended.
    fn wait(&self, how: Sleep, mut left: c_long, mut condition: impl FnMut() -> bool) -> bool {
        if condition() {
            return true;
        }
        // SAFETY: `head` is initialised and outlives this function, and with it the waiter.
        pin_init::stack_pin_init!(let waiter = unsafe { Waiter::new(self.head.get()) });
        loop {
            // The waiter is on the queue before the condition is read: a change after this is followed by a wake-up
            // that the sleep below does not miss.
            if condition() {
                return true;
            }
            let interrupted = how == Sleep::Interruptible && kernel::current!().signal_pending();
            if left <= 0 || interrupted {
                return false;
            }
            left = waiter.as_mut().sleep(how, left);
        }
    }
}

/// A time limit in jiffies, as `schedule_timeout` takes it: never negative, at least one jiffy for what is not zero.
pub(super) fn timeout_jiffies(milliseconds: Msecs) -> c_long {
    c_long::try_from(msecs_to_jiffies(milliseconds)).unwrap_or(MAX_SCHEDULE_TIMEOUT)
}

/// Makes the initialiser of a [`WaitQueue`] with a lock class of its own: `new_wait_queue!(c"drbd_worker")`.
#[allow(unused_macros, reason = "as for dead code in this folder")]
macro_rules! new_wait_queue {
    ($name:expr) => {
        $crate::kernel_api::wait::WaitQueue::new($name, ::kernel::static_lock_class!())
    };
}
#[allow(unused_imports, reason = "as for dead code in this folder")]
pub(crate) use new_wait_queue;
