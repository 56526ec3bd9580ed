// SPDX-License-Identifier: GPL-2.0-only

//! A file in `/proc` that is written anew each time it is read.
//!
//! C headers: [`include/linux/proc_fs.h`](srctree/include/linux/proc_fs.h),
//! [`include/linux/seq_file.h`](srctree/include/linux/seq_file.h)

use core::{
    fmt,
    marker::PhantomData,
    ptr::NonNull, //
};

use kernel::{
    bindings,
    prelude::*, //
};

use crate::bindings as shims;

/// What writes the text of a file.
pub(crate) trait Show: 'static {
    /// Writes all of it. Called again with a larger buffer where the text did not fit, so it must have no other effect.
    ///
    /// Process context, in the task of the reader; several at the same time; may sleep.
    fn show(text: &mut Text<'_>);
}

/// The text under construction; takes part in `write!`.
///
/// # Invariants
///
/// `file` is valid and not used by another task for `'a`.
pub(crate) struct Text<'a> {
    file: NonNull<bindings::seq_file>,
    _file: PhantomData<&'a mut bindings::seq_file>,
}

impl fmt::Write for Text<'_> {
    /// Never fails: what does not fit marks the buffer as full, and the kernel begins again with a larger one.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: by the type invariant; `text` is readable for its length.
        unsafe { bindings::seq_write(self.file.as_ptr(), text.as_ptr().cast(), text.len()) };
        Ok(())
    }
}

/// A file in `/proc`, readable by all. Dropping it waits for readers, and takes it away.
///
/// # Invariants
///
/// `entry` is a file of ours that has not been removed.
pub(crate) struct ProcFile<S: Show> {
    entry: NonNull<bindings::proc_dir_entry>,
    _show: PhantomData<fn() -> S>,
}

// SAFETY: the entry is only kept to be removed, which any thread may do.
unsafe impl<S: Show> Send for ProcFile<S> {}
// SAFETY: there is nothing to do with a shared reference.
unsafe impl<S: Show> Sync for ProcFile<S> {}

impl<S: Show> ProcFile<S> {
    /// Makes `/proc/NAME`. `ENOMEM` also where the name is taken.
    ///
    /// Process context; may sleep.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        // SAFETY: `name` is copied; `show` is a function of this module, which removes the file before it goes.
        let entry = unsafe {
            shims::proc_create_single_data(
                name.as_char_ptr(),
                0o444,
                core::ptr::null_mut(),
                Some(show::<S>),
                core::ptr::null_mut(),
            )
        };
        // INVARIANT: made just now.
        Ok(ProcFile {
            entry: NonNull::new(entry).ok_or(ENOMEM)?,
            _show: PhantomData,
        })
    }
}

impl<S: Show> Drop for ProcFile<S> {
    fn drop(&mut self) {
        // SAFETY: by the type invariant. The call waits for readers in the callback.
        unsafe { shims::proc_remove(self.entry.as_ptr()) };
    }
}

/// `seq_operations::show`
///
/// # Safety
///
/// `file` is valid, and used by nobody else during the call.
unsafe extern "C" fn show<S: Show>(file: *mut bindings::seq_file, _data: *mut c_void) -> c_int {
    if let Some(file) = NonNull::new(file) {
        // INVARIANT: by the contract of this function.
        S::show(&mut Text {
            file,
            _file: PhantomData,
        });
    }
    0
}
