// SPDX-License-Identifier: GPL-2.0-only

//! Something to do later, in a context that may sleep: a timer whose function runs on a [`WorkQueue`]. With a delay of
//! zero it is an ordinary work item.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use core::cell::UnsafeCell;

use kernel::{
    bindings,
    container_of,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        Arc,
        LockClassKey, //
    },
    time::{
        msecs_to_jiffies,
        Msecs, //
    },
    types::Opaque, //
};

use super::workqueue::WorkQueue;

/// What a timer does.
type Callback = KBox<dyn Fn() + Send + Sync>;

/// The part of a timer that does not move.
///
/// # Invariants
///
/// `work` is initialised with [`run`] as its function, and only ever queued on `queue`. `callback` is read by `run`, and
/// written only by who changed `stopped` from false to true, after the work was disabled and had ended.
#[pin_data]
struct Inner {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    callback: UnsafeCell<Option<Callback>>,
    stopped: Atomic<bool>,
    queue: Arc<WorkQueue>,
}

// SAFETY: the callback may be called and dropped on any thread, and a work belongs to none.
unsafe impl Send for Inner {}
// SAFETY: as above; the type invariant orders the accesses to `callback`.
unsafe impl Sync for Inner {}

/// A timer. It runs at most once for each time that it was armed, and never twice at the same time. Dropping it stops it.
pub(crate) struct Timer {
    inner: Pin<KBox<Inner>>,
}

impl Timer {
    /// A timer that is not armed. Use [`new_timer!`](crate::kernel_api::timer::new_timer), which makes the lock classes.
    ///
    /// `callback` runs on a thread of `queue` and may sleep and arm the timer again, but not stop it. What it holds, such as
    /// an `Arc` of the owner of the timer, it holds until [`stop`](Self::stop).
    pub(crate) fn new(
        queue: Arc<WorkQueue>,
        callback: impl Fn() + Send + Sync + 'static,
        work_key: Pin<&'static LockClassKey>,
        timer_key: Pin<&'static LockClassKey>,
    ) -> Result<Self> {
        let callback: Callback = KBox::new(callback, GFP_KERNEL)?;
        let inner = KBox::pin_init(
            // INVARIANT: see the function pointers below; the work is not queued yet.
            pin_init!(Inner {
                work <- Opaque::ffi_init(|slot: *mut bindings::delayed_work| {
                    // SAFETY: `slot` is valid and pinned; keys and names are static. The timer has the function and the
                    // flag that delayed works need.
                    unsafe {
                        bindings::init_work_with_key(
                            &raw mut (*slot).work,
                            Some(run),
                            false,
                            c"drbd_timer".as_char_ptr(),
                            work_key.as_ptr(),
                        );
                        bindings::timer_init_key(
                            &raw mut (*slot).timer,
                            Some(bindings::delayed_work_timer_fn),
                            bindings::TIMER_IRQSAFE,
                            c"drbd_timer".as_char_ptr(),
                            timer_key.as_ptr(),
                        );
                    }
                }),
                callback: UnsafeCell::new(Some(callback)),
                stopped: Atomic::new(false),
                queue,
            }),
            GFP_KERNEL,
        )?;
        Ok(Timer { inner })
    }

    fn work(&self) -> *mut bindings::delayed_work {
        self.inner.work.get()
    }

    /// Lets the timer run in `milliseconds`, 0 for as soon as possible, whether it is armed already or not. Nothing happens
    /// after [`stop`](Self::stop). Any context but NMI.
    pub(crate) fn arm(&self, milliseconds: Msecs) {
        // SAFETY: work and queue are valid, by the invariant of `Inner`.
        unsafe {
            bindings::mod_delayed_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                self.inner.queue.as_raw(),
                self.work(),
                msecs_to_jiffies(milliseconds),
            )
        };
    }

    /// Lets the timer run in `milliseconds`, unless it is armed for an earlier or later moment already. Any context but NMI.
    pub(crate) fn arm_if_idle(&self, milliseconds: Msecs) {
        // SAFETY: work and queue are valid, by the invariant of `Inner`.
        unsafe {
            bindings::queue_delayed_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                self.inner.queue.as_raw(),
                self.work(),
                msecs_to_jiffies(milliseconds),
            )
        };
    }

    /// Disarms the timer. Where its function runs already, it goes on. Any context but NMI.
    pub(crate) fn cancel(&self) {
        // SAFETY: the work is valid, by the invariant of `Inner`.
        unsafe { bindings::cancel_delayed_work(self.work()) };
    }

    /// Disarms the timer and waits for its function. It may be armed again. Sleeps; not from its own function.
    pub(crate) fn cancel_and_wait(&self) {
        // SAFETY: the work is valid, by the invariant of `Inner`.
        unsafe { bindings::cancel_delayed_work_sync(self.work()) };
    }

    /// Disarms the timer for good, waits for its function, and drops what that held. Sleeps; not from its own function.
    pub(crate) fn stop(&self) {
        // SAFETY: the work is valid, by the invariant of `Inner`.
        unsafe { bindings::disable_delayed_work_sync(self.work()) };
        if !self.inner.stopped.xchg(true, Full) {
            // SAFETY: the work does not run and cannot be queued any more, and of all who stop the timer only one gets
            // here: there is no other access.
            drop(unsafe { (*self.inner.callback.get()).take() });
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The function of every timer.
///
/// # Safety
///
/// `work` is the work of an [`Inner`].
unsafe extern "C" fn run(work: *mut bindings::work_struct) {
    // SAFETY: by the contract of this function, and as an `Opaque` has the layout of what it holds.
    let inner = unsafe {
        let delayed = container_of!(work, bindings::delayed_work, work);
        &*container_of!(
            delayed.cast::<Opaque<bindings::delayed_work>>(),
            Inner,
            work
        )
    };
    // SAFETY: while this runs nobody writes, by the invariant of `Inner`.
    if let Some(callback) = unsafe { &*inner.callback.get() } {
        callback();
    }
}

/// Makes a [`Timer`]: `new_timer!(queue, move || ...)`.
#[allow(unused_macros, reason = "as for dead code in this folder")]
macro_rules! new_timer {
    ($queue:expr, $callback:expr) => {
        $crate::kernel_api::timer::Timer::new(
            $queue,
            $callback,
            ::kernel::static_lock_class!(),
            ::kernel::static_lock_class!(),
        )
    };
}
#[allow(unused_imports, reason = "as for dead code in this folder")]
pub(crate) use new_timer;
