// SPDX-License-Identifier: GPL-2.0-only

//! Digests of the kernel's crypto API.
//!
//! C header: [`include/crypto/hash.h`](srctree/include/crypto/hash.h)

use kernel::prelude::*;

use crate::bindings as shims;

/// Whether the kernel has this digest, if need be after loading a module. May sleep.
pub(crate) fn exists(name: &CStr) -> bool {
    // SAFETY: `name` is only read; type and mask ask for any implementation.
    unsafe { shims::crypto_has_shash(name.as_char_ptr(), 0, 0) != 0 }
}
