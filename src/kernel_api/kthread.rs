// SPDX-License-Identifier: GPL-2.0-only

//! Kernel threads that are always joined.
//!
//! A thread is asked to stop by a flag. What it may be blocked in at that moment is woken by whoever asks: its socket by
//! `shutdown`, its wait queue by `wake_all`, or else a moment later by the owner that joins it. There are no signals.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

use core::ptr::NonNull;

use super::wait::{
    new_wait_queue,
    WaitQueue, //
};
use kernel::{
    bindings,
    cpumask::{
        Cpumask,
        CpumaskVar, //
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        Arc, //
    },
    time::Msecs,
};

/// Milliseconds after which a thread that has not returned is woken again.
const WAKE_AGAIN: u32 = 20;

/// What a thread and its owner share.
#[pin_data]
struct Shared {
    stop: Atomic<bool>,
    returned: Atomic<bool>,
    /// Woken when `returned` is set.
    #[pin]
    finished: WaitQueue,
}

/// The thread's own view of the wish to stop it.
pub(crate) struct StopFlag {
    shared: Arc<Shared>,
}

impl StopFlag {
    /// Whether the thread should return. Belongs into the condition of every wait. Any context.
    pub(crate) fn should_stop(&self) -> bool {
        self.shared.stop.load(Acquire)
    }
}

/// What a new thread is born with.
struct Start<F> {
    body: F,
    flag: StopFlag,
}

/// A running kernel thread. Dropping it stops and joins the thread: what the thread can see lives longer than the thread.
///
/// # Invariants
///
/// `task` is a kernel thread that was created by [`Thread::spawn`] and woken once, and of which this holds a reference.
pub(crate) struct Thread {
    task: NonNull<bindings::task_struct>,
    shared: Arc<Shared>,
}

// SAFETY: a task may be stopped, woken and given attributes from any thread.
unsafe impl Send for Thread {}
// SAFETY: the same; the methods that take `&self` only use functions of the scheduler that do their own locking.
unsafe impl Sync for Thread {}

impl Thread {
    /// Starts a thread that runs `body` once. `name` is what `ps` shows (the kernel keeps 15 bytes for `comm`, and the
    /// whole of it for `/proc/PID/status` of a kernel thread).
    ///
    /// May sleep. `ENOMEM`, or `EINTR` where the calling task is being killed.
    pub(crate) fn spawn<F>(name: &CStr, body: F) -> Result<Self>
    where
        F: FnOnce(&StopFlag) + Send + 'static,
    {
        let shared = Arc::pin_init(
            pin_init!(Shared {
                stop: Atomic::new(false),
                returned: Atomic::new(false),
                finished <- new_wait_queue!(c"drbd_thread"),
            }),
            GFP_KERNEL,
        )?;
        let flag = StopFlag {
            shared: shared.clone(),
        };
        let start = KBox::into_raw(KBox::new(Start { body, flag }, GFP_KERNEL)?);
        // SAFETY: `run::<F>` expects what `start` is, and is called with it at most once. The format takes one string,
        // which is copied before the call returns.
        let task = from_err_ptr(unsafe {
            bindings::kthread_create_on_node(
                Some(run::<F>),
                start.cast(),
                bindings::NUMA_NO_NODE,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        })
        .inspect_err(|_| {
            // SAFETY: there is no thread, so `start` is still ours alone; it came from `KBox::into_raw`.
            drop(unsafe { KBox::from_raw(start) });
        })?;
        // SAFETY: the thread has not been woken: it exists until then, and for as long as our reference afterwards.
        unsafe { bindings::get_task_struct(task) };
        // SAFETY: `task` is valid, see above.
        unsafe { bindings::wake_up_process(task) };
        Ok(Thread {
            // SAFETY: `from_err_ptr` gave a task.
            // INVARIANT: created, referenced and woken above.
            task: unsafe { NonNull::new_unchecked(task) },
            shared,
        })
    }

    /// Asks the thread to return, and does not wait. Wakes it where it sleeps in a [`WaitQueue`], but for a moment in
    /// which it is about to: who wants it to hear of this at once wakes that queue. A socket that it waits for must be
    /// shut down by the caller. Any context.
    pub(crate) fn request_stop(&self) {
        self.shared.stop.store(true, Release);
        self.wake();
    }

    /// Makes the thread look at what it waits for again. Any context.
    pub(crate) fn wake(&self) {
        // SAFETY: we hold a reference to the task. Everything that sleeps expects to be woken for no reason.
        unsafe { bindings::wake_up_process(self.task.as_ptr()) };
    }

    /// Asks the thread to return and waits until it has. The same as dropping.
    pub(crate) fn stop(self) {}

    /// Asks the thread to return and joins it, if it does within so many milliseconds. Else the thread is given back.
    pub(crate) fn stop_within(self, milliseconds: Msecs) -> Result<(), Self> {
        self.request_stop();
        // More than once, as in `drop`.
        for _ in 0..milliseconds.div_ceil(WAKE_AGAIN) {
            let returned = || self.is_finished();
            if self
                .shared
                .finished
                .wait_event_timeout(WAKE_AGAIN, returned)
            {
                return Ok(());
            }
            self.wake();
        }
        Err(self)
    }

    /// Whether the body of the thread has returned.
    pub(crate) fn is_finished(&self) -> bool {
        self.shared.returned.load(Acquire)
    }

    /// Whether the caller runs in this thread.
    pub(crate) fn is_current(&self) -> bool {
        // SAFETY: no requirement; the pointers are only compared.
        self.task.as_ptr() == unsafe { bindings::get_current() }
    }

    /// The process number, as in `ps`.
    pub(crate) fn pid(&self) -> i32 {
        // SAFETY: we hold a reference to the task; `pid` does not change after creation.
        unsafe { (*self.task.as_ptr()).pid }
    }

    /// Gives the thread the lowest real-time priority (`SCHED_FIFO` 1): for a thread that answers the peer.
    pub(crate) fn set_realtime(&self) {
        // SAFETY: we hold a reference to the task.
        unsafe { bindings::sched_set_fifo_low(self.task.as_ptr()) };
    }

    /// Binds the thread to the processors of `mask`. `EINVAL` where none of them is online. May sleep.
    pub(crate) fn set_cpu_mask(&self, mask: &Cpumask) -> Result {
        // SAFETY: we hold a reference to the task, and `mask` is valid and not written to during the call.
        to_result(unsafe { bindings::set_cpus_allowed_ptr(self.task.as_ptr(), mask.as_raw()) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let task = self.task.as_ptr();
        self.request_stop();
        if self.is_current() {
            // To wait for oneself would be for ever. The thread goes on to its end without an owner.
            pr_err!("a thread dropped its own handle: it is not joined\n");
            // SAFETY: the reference is ours and not used after this.
            unsafe { bindings::put_task_struct(task) };
            return;
        }
        // Not kthread_stop() at once: the flag that it sets makes wait_woken() return immediately, so a thread that still
        // waits for something else than its end would spin; and a thread that had not yet run would never run.
        //
        // Once is not enough: wait_woken() forgets a task that was woken by itself, and not through the queue, after it
        // looked at its condition and before it sleeps.
        while !self
            .shared
            .finished
            .wait_event_timeout(WAKE_AGAIN, || self.is_finished())
        {
            self.wake();
        }
        // SAFETY: the type invariant gives a kthread with a reference of ours, which this call uses up. It returns when
        // the thread has left our code for good.
        unsafe { bindings::kthread_stop_put(task) };
    }
}

/// The function of every thread.
///
/// # Safety
///
/// `data` came from `KBox::<Start<F>>::into_raw` and is given to nobody else.
unsafe extern "C" fn run<F: FnOnce(&StopFlag)>(data: *mut c_void) -> c_int {
    // SAFETY: by the contract of this function.
    let start = KBox::into_inner(unsafe { KBox::from_raw(data.cast::<Start<F>>()) });
    let Start { body, flag } = start;
    body(&flag);
    flag.shared.returned.store(true, Release);
    flag.shared.finished.wake_all();
    0
}

/// Reads a set of processors as `cpu-mask` gives it: hexadecimal words with commas between, as in `/proc/irq/*/smp_affinity`.
/// An empty text is the empty set.
///
/// May sleep. `EINVAL` for what is no number, `EOVERFLOW` for processors that this kernel cannot have.
pub(crate) fn parse_cpu_mask(text: &CStr) -> Result<CpumaskVar> {
    let mask = CpumaskVar::new_zero(GFP_KERNEL)?;
    let length = u32::try_from(text.to_bytes().len()).map_err(|_| EINVAL)?;
    if length != 0 {
        // SAFETY: `text` is readable for `length` bytes, and a cpumask has room for `nr_cpu_ids` bits.
        to_result(unsafe {
            bindings::bitmap_parse(
                text.as_char_ptr(),
                length,
                mask.as_raw().cast(),
                c_int::try_from(bindings::nr_cpu_ids)?,
            )
        })?;
    }
    Ok(mask)
}
