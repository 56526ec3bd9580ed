// SPDX-License-Identifier: GPL-2.0-only

//! Running a program of user space and waiting for its exit.
//!
//! C header: [`include/linux/umh.h`](srctree/include/linux/umh.h)

use core::ptr::null_mut;

use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// The environment of every helper, as 8.4 gives it.
const ENVIRONMENT: [&CStr; 3] = [
    c"HOME=/",
    c"TERM=linux",
    c"PATH=/sbin:/usr/sbin:/bin:/usr/bin",
];

/// How many arguments or further variables a helper can have.
pub(crate) const MAX_STRINGS: usize = 8;

/// How a program ended, as `wait(2)` says it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExitStatus(i32);

impl ExitStatus {
    /// The raw status: what events and log lines of 8.4 carry.
    pub(crate) fn raw(self) -> i32 {
        self.0
    }

    /// The exit code, 0 to 255. For a program that was killed by a signal it is 0: look at [`raw`](Self::raw).
    pub(crate) fn code(self) -> u8 {
        let [_, code, ..] = self.0.to_le_bytes();
        code
    }
}

/// A list of strings with a null pointer behind its end.
type Strings = [*mut c_char; ENVIRONMENT.len() + MAX_STRINGS + 1];

/// Makes such a list of pointers.
fn collect<'a>(strings: impl Iterator<Item = &'a CStr>) -> Result<Strings> {
    let mut list = [null_mut(); ENVIRONMENT.len() + MAX_STRINGS + 1];
    let room = list.len().saturating_sub(1);
    for (index, string) in strings.enumerate() {
        *list.get_mut(index).filter(|_| index < room).ok_or(E2BIG)? =
            string.as_char_ptr().cast_mut();
    }
    Ok(list)
}

/// Runs `program` with `arguments` (after its own name) and the environment `HOME`, `TERM`, `PATH` and `variables`, and
/// waits until it ends. An error means that it did not run, `ENOENT` that there is no such program; 8.4 treats that as an
/// exit code of 0. `E2BIG` for more than [`MAX_STRINGS`] strings.
///
/// A kernel thread that has not allowed any signal; sleeps as long as the program runs.
pub(crate) fn run(program: &CStr, arguments: &[&CStr], variables: &[&CStr]) -> Result<ExitStatus> {
    if arguments.len() > MAX_STRINGS || variables.len() > MAX_STRINGS {
        return Err(E2BIG);
    }
    let mut argv = collect(Iterator::chain(
        core::iter::once(program),
        arguments.iter().copied(),
    ))?;
    let mut envp = collect(Iterator::chain(ENVIRONMENT.iter(), variables).copied())?;
    // SAFETY: both lists and what they point to live until the call returns, which is after the program has ended
    // (UMH_WAIT_PROC): UMH_KILLABLE returns before that where the caller is killed, and the caller is a kernel thread that
    // ignores all signals. The kernel only reads the strings.
    let status = unsafe {
        bindings::call_usermodehelper(
            program.as_char_ptr(),
            argv.as_mut_ptr(),
            envp.as_mut_ptr(),
            // Killable only in name: the kernel does not count a program that runs for minutes as a task that hangs.
            c_int::try_from(bindings::UMH_WAIT_PROC | bindings::UMH_KILLABLE)?,
        )
    };
    to_result(status.min(0))?;
    Ok(ExitStatus(status))
}
