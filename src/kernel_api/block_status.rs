// SPDX-License-Identifier: GPL-2.0-only

//! How an I/O ended.
//!
//! C header: [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h)

use crate::bindings as shims;
use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// `blk_status_t`: the outcome of an I/O, as the block layer carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BlkStatus(u8);

impl BlkStatus {
    /// The I/O did what it was asked to.
    pub(crate) const OK: Self = Self(0);
    /// The device cannot do this operation (`EOPNOTSUPP`).
    pub(crate) const NOT_SUPPORTED: Self = Self(shims::BLK_STS_NOTSUPP);
    /// It took too long (`ETIMEDOUT`).
    pub(crate) const TIMEOUT: Self = Self(shims::BLK_STS_TIMEOUT);
    /// The device has no space for it (`ENOSPC`).
    pub(crate) const NO_SPACE: Self = Self(shims::BLK_STS_NOSPC);
    /// The medium is bad at this place (`ENODATA`).
    pub(crate) const MEDIUM: Self = Self(shims::BLK_STS_MEDIUM);
    /// No memory, or another resource that may come back (`ENOMEM`).
    pub(crate) const RESOURCE: Self = Self(shims::BLK_STS_RESOURCE);
    /// It failed (`EIO`).
    pub(crate) const IO_ERROR: Self = Self(shims::BLK_STS_IOERR);
    /// It would have had to wait, and was not allowed to (`EAGAIN`).
    pub(crate) const AGAIN: Self = Self(shims::BLK_STS_AGAIN);
    /// The device is gone (`ENODEV`).
    pub(crate) const OFFLINE: Self = Self(shims::BLK_STS_OFFLINE);

    /// The status with this number: one that came out of a bio.
    #[inline]
    pub(crate) const fn from_raw(raw: u8) -> Self {
        Self(raw)
    }

    /// The number that goes into a bio.
    #[inline]
    pub(crate) const fn as_raw(self) -> u8 {
        self.0
    }

    /// Whether the I/O succeeded.
    #[inline]
    pub(crate) const fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// The status that stands for `error`; [`BlkStatus::IO_ERROR`] for one that the block layer has no word for.
    pub(crate) fn from_error(error: Error) -> Self {
        // SAFETY: A table look-up that takes any number.
        Self(unsafe { bindings::errno_to_blk_status(error.to_errno()) })
    }

    /// The negative error number, 0 for success: for messages and for the wire.
    pub(crate) fn to_errno(self) -> i32 {
        // SAFETY: A table look-up; a number outside of the table is answered with `-EIO`.
        unsafe { bindings::blk_status_to_errno(self.0) }
    }

    /// As the result of a function.
    pub(crate) fn to_result(self) -> Result {
        if self.is_ok() {
            return Ok(());
        }
        to_result(self.to_errno())
    }
}
