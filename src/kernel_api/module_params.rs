// SPDX-License-Identifier: GPL-2.0-only

//! The module parameters, as in `/sys/module/drbd/parameters`. They are defined in `rust-bindings/shims/params.c`, because
//! Rust modules know neither strings nor values that may be written later.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use kernel::prelude::*;

use crate::bindings as shims;

/// Room for the path of the helper, with the zero byte at its end.
const USERMODE_HELPER_SIZE: usize = 80;

/// A copy of the path of the helper program.
pub(crate) struct UsermodeHelper([u8; USERMODE_HELPER_SIZE]);

impl UsermodeHelper {
    /// The path; empty where the administrator has emptied it.
    pub(crate) fn path(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// `usermode_helper`: the program that runs handlers. May be written at any time; this is its value now.
///
/// Process context; may sleep.
pub(crate) fn usermode_helper() -> UsermodeHelper {
    let mut copy = UsermodeHelper([0; USERMODE_HELPER_SIZE]);
    // SAFETY: the buffer is writable for its length.
    unsafe { shims::drbd_shim_usermode_helper_read(copy.0.as_mut_ptr(), copy.0.len()) };
    copy
}

/// `minor_count`: how many devices the administrator expects. Not checked; cannot change. Any context.
pub(crate) fn minor_count() -> u32 {
    // SAFETY: an aligned word; it is written before the module starts.
    unsafe { (&raw const shims::drbd_shim_minor_count).read_volatile() }
}

/// `proc_details`: level of detail in `/proc/drbd`. Any context.
pub(crate) fn proc_details() -> i32 {
    // SAFETY: an aligned word, which a writer replaces as a whole.
    unsafe { (&raw const shims::drbd_shim_proc_details).read_volatile() }
}

/// `disable_sendpage`: whether what is sent is to be copied. Any context.
pub(crate) fn disable_sendpage() -> bool {
    // SAFETY: a byte that the kernel only ever sets to 0 or 1.
    unsafe { (&raw const shims::drbd_shim_disable_sendpage).read_volatile() }
}

/// `allow_oos`: whether a Secondary device may be opened, for tests. Cannot change. Any context.
pub(crate) fn allow_open_on_secondary() -> bool {
    // SAFETY: a byte that the kernel only ever sets to 0 or 1.
    unsafe { (&raw const shims::drbd_shim_allow_oos).read_volatile() }
}
