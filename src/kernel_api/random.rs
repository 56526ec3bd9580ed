// SPDX-License-Identifier: GPL-2.0-only

//! Random numbers, fit for keys and for the generation identifiers that must never meet twice.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use kernel::bindings;

/// Fills `buffer` with random bytes. Any context.
pub(crate) fn fill(buffer: &mut [u8]) {
    // SAFETY: `buffer` is writable for its length.
    unsafe { bindings::get_random_bytes(buffer.as_mut_ptr().cast(), buffer.len()) };
}

/// A random number. Any context.
pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// A random number. Any context.
pub(crate) fn random_u32() -> u32 {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}
