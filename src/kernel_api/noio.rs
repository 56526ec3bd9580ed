// SPDX-License-Identifier: GPL-2.0-only

//! A stretch of code in which allocations start no I/O.
//!
//! A block driver that asks for memory on its I/O path must not wait for a page to be written out: that write may come
//! down to this very driver. `GFP_KERNEL` means `GFP_NOIO` inside such a stretch, also in functions that take no flags
//! (the socket layer, `KVec`).
//!
//! C header: [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h)

use crate::bindings as shims;
use kernel::types::NotThreadSafe;

/// Until this is dropped, allocations of the current task start no I/O.
///
/// May be nested, in any context that belongs to a task. It stays with the task that made it.
#[must_use = "the scope ends when the guard is dropped"]
pub(crate) struct NoIo {
    previous: u32,
    _not_send: NotThreadSafe,
}

impl NoIo {
    /// Begins the scope.
    #[inline]
    pub(crate) fn enter() -> Self {
        // SAFETY: Changes a flag of the current task, which exists.
        let previous = unsafe { shims::drbd_shim_memalloc_noio_save() };
        Self {
            previous,
            _not_send: NotThreadSafe,
        }
    }

    /// Runs `f` inside the scope.
    #[inline]
    pub(crate) fn scope<R>(f: impl FnOnce() -> R) -> R {
        let _guard = Self::enter();
        f()
    }
}

impl Drop for NoIo {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The type is not `Send`, so this is the task of `enter`, and `previous` is what it returned.
        unsafe { shims::drbd_shim_memalloc_noio_restore(self.previous) };
    }
}
