// SPDX-License-Identifier: GPL-2.0-only

//! Lines for the kernel log that begin as those of 8.4 do: `drbd r0: ...`. The macros of the kernel crate put a colon after
//! the name of the module, which monitoring does not look for.
//!
//! C header: [`include/linux/printk.h`](srctree/include/linux/printk.h)

use core::fmt;

use kernel::{
    bindings,
    prelude::*, //
};

/// How grave a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// `KERN_ALERT`
    Alert,
    /// `KERN_ERR`
    Error,
    /// `KERN_WARNING`
    Warning,
    /// `KERN_INFO`
    Info,
}

/// Writes `drbd MESSAGE` and the end of the line. Any context.
pub(crate) fn print(level: Level, message: fmt::Arguments<'_>) {
    let format = match level {
        Level::Alert => c"\x011drbd %pA\n",
        Level::Error => c"\x013drbd %pA\n",
        Level::Warning => c"\x014drbd %pA\n",
        Level::Info => c"\x016drbd %pA\n",
    };
    // SAFETY: `%pA` takes a pointer to format arguments, which live until the call returns. The text is formatted before
    // that.
    unsafe {
        bindings::_printk(
            format.as_char_ptr(),
            core::ptr::from_ref(&message).cast::<c_void>(),
        );
    }
}
