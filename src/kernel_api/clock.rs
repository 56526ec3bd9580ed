// SPDX-License-Identifier: GPL-2.0-only

//! What time it is.
//!
//! C header: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h)

use kernel::bindings;

/// Nanoseconds since some moment near boot. Never goes back, and stands still while the machine is suspended. Any context.
pub(crate) fn monotonic_ns() -> u64 {
    // SAFETY: no requirement.
    let now = unsafe { bindings::ktime_get() };
    // CLOCK_MONOTONIC begins at zero with boot.
    u64::try_from(now).unwrap_or(0)
}

/// Seconds since 1970, as the machine believes. May jump. Any context.
pub(crate) fn wall_clock_seconds() -> i64 {
    // SAFETY: no requirement.
    unsafe { bindings::ktime_get_real_seconds() }
}
