// SPDX-License-Identifier: GPL-2.0-only

//! A count of what is still out there, for an owner that may only go when everything has come back.
//!
//! The last holder does not have to free anything, so the count may be given back in a hard interrupt; the price is that
//! the owner polls in its destructor. That is on the way down, where a millisecond is no matter.

use kernel::{
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        rcu,
    },
    time::{delay::fsleep, Delta},
};

/// How many users of the owner are out there.
pub(crate) struct InFlight(Atomic<i64>);

impl InFlight {
    /// Nobody.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// One more. Any context.
    #[inline]
    pub(crate) fn get(&self) {
        self.0.add(1, Relaxed);
    }

    /// One less. Any context. The owner may be gone when this returns: nothing of it may be touched afterwards.
    #[inline]
    pub(crate) fn put(&self) {
        self.0.fetch_sub(1, Release);
    }

    /// How many there are at this instant; for reports.
    #[inline]
    pub(crate) fn count(&self) -> i64 {
        self.0.load(Relaxed)
    }

    /// Sleeps until there are none, and until interrupt handlers that gave back the last are over.
    pub(crate) fn wait_idle(&self) {
        while self.0.load(Acquire) != 0 {
            fsleep(Delta::from_millis(1));
        }
        rcu::synchronize_rcu();
    }
}
