// SPDX-License-Identifier: GPL-2.0-only

//! A queue of work of our own, with threads that can work when memory is short.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use core::ptr::NonNull;

use kernel::{
    bindings,
    prelude::*, //
};

/// A workqueue. Dropping it waits until all that was queued has run.
///
/// # Invariants
///
/// `queue` is owned.
pub(crate) struct WorkQueue {
    queue: NonNull<bindings::workqueue_struct>,
}

// SAFETY: a workqueue belongs to no thread.
unsafe impl Send for WorkQueue {}
// SAFETY: all its functions do their own locking.
unsafe impl Sync for WorkQueue {}

impl WorkQueue {
    /// A queue that runs one work at a time, in the order in which they came.
    ///
    /// Process context; may sleep.
    pub(crate) fn ordered(name: &CStr) -> Result<Self> {
        let flags = bindings::wq_flags_WQ_UNBOUND | bindings::wq_flags___WQ_ORDERED;
        Self::with_flags(name, flags, 1)
    }

    /// A queue that runs many works at a time, on any processor.
    ///
    /// Process context; may sleep.
    pub(crate) fn parallel(name: &CStr) -> Result<Self> {
        Self::with_flags(name, bindings::wq_flags_WQ_UNBOUND, 0)
    }

    fn with_flags(name: &CStr, flags: u32, max_active: c_int) -> Result<Self> {
        // SAFETY: the format takes one string, which is copied.
        let queue = unsafe {
            bindings::alloc_workqueue_noprof(
                c"%s".as_char_ptr(),
                flags | bindings::wq_flags_WQ_MEM_RECLAIM,
                max_active,
                name.as_char_ptr(),
            )
        };
        // INVARIANT: made just now.
        Ok(WorkQueue {
            queue: NonNull::new(queue).ok_or(ENOMEM)?,
        })
    }

    /// Waits until everything that was queued before the call has run. Not from a work on this queue. Sleeps.
    pub(crate) fn flush(&self) {
        // SAFETY: the queue is valid by the type invariant.
        unsafe { bindings::__flush_workqueue(self.as_raw()) };
    }

    pub(super) fn as_raw(&self) -> *mut bindings::workqueue_struct {
        self.queue.as_ptr()
    }
}

impl Drop for WorkQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is ours by the type invariant; it is drained before it goes.
        unsafe { bindings::destroy_workqueue(self.as_raw()) };
    }
}
