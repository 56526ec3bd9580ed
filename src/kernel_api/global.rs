// SPDX-License-Identifier: GPL-2.0-only

//! A mutex in a static.
//!
//! The kernel crate has `global_lock!`, which is unsafe to use, since somebody has to call `init` before anything else.
//! Here the first user does.

use core::hint::spin_loop;

use kernel::sync::{
    atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    },
    lock::{
        mutex::MutexBackend,
        GlobalGuard,
        GlobalLock,
        GlobalLockBackend, //
    },
};

const NEW: u32 = 0;
const BUSY: u32 = 1;
const READY: u32 = 2;

/// A mutex in a static. Made with [`global_mutex!`](crate::kernel_api::global::global_mutex).
///
/// # Invariants
///
/// `lock` is initialised once `state` is [`READY`]. One task at most sees [`NEW`] become [`BUSY`].
pub(crate) struct GlobalMutex<B: GlobalLockBackend<Backend = MutexBackend>> {
    lock: GlobalLock<B>,
    state: Atomic<u32>,
}

impl<B: GlobalLockBackend<Backend = MutexBackend>> GlobalMutex<B> {
    /// A mutex that nobody has used.
    ///
    /// # Safety
    ///
    /// `B` belongs to this mutex alone.
    pub(crate) const unsafe fn new(data: B::Item) -> Self {
        // INVARIANT: nothing is initialised yet.
        Self {
            // SAFETY: by the contract of this function; `lock` below initialises it before anything else.
            lock: unsafe { GlobalLock::new(data) },
            state: Atomic::new(NEW),
        }
    }

    /// Waits for the mutex. May sleep.
    pub(crate) fn lock(&'static self) -> GlobalGuard<B> {
        while self.state.load(Acquire) != READY {
            if self.state.cmpxchg(NEW, BUSY, Relaxed).is_ok() {
                // SAFETY: by the type invariant, nobody has come here before, or uses the lock yet.
                unsafe { self.lock.init() };
                // INVARIANT: initialised just now.
                self.state.store(READY, Release);
            } else {
                spin_loop();
            }
        }
        self.lock.lock()
    }
}

/// Makes a static of type [`GlobalMutex`]: `global_mutex! { static NAME, Backend: Type = value; }`. `Backend` becomes the
/// name of a type that stands for the mutex in the type of its guard.
macro_rules! global_mutex {
    ($(#[$meta:meta])* $vis:vis static $name:ident, $backend:ident: $type:ty = $value:expr;) => {
        /// Stands for the static mutex of this file in the type of its guard.
        $vis enum $backend {}

        impl ::kernel::sync::lock::GlobalLockBackend for $backend {
            const NAME: &'static ::kernel::str::CStr = ::kernel::c_str!(::core::stringify!($name));
            type Item = $type;
            type Backend = ::kernel::sync::lock::mutex::MutexBackend;

            fn get_lock_class() -> ::core::pin::Pin<&'static ::kernel::sync::LockClassKey> {
                ::kernel::static_lock_class!()
            }
        }

        $(#[$meta])*
        $vis static $name: $crate::kernel_api::global::GlobalMutex<$backend> = {
            let value: $type = $value;
            // SAFETY: the backend was made for this static, just above.
            unsafe { $crate::kernel_api::global::GlobalMutex::new(value) }
        };
    };
}
pub(crate) use global_mutex;
