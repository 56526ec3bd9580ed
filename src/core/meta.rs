// SPDX-License-Identifier: GPL-2.0-only

//! Metadata of format v08: what DRBD keeps on disk beside the data.
//!
//! Three things lie in the metadata area: the superblock (4 KiB), the activity log (a ring of 4 KiB transactions) and
//! the bitmap. [`layout`] says where; the other modules turn bytes into values and back. All integers of superblock
//! and activity log are big endian, the bitmap is little endian.
//!
//! Whoever attaches a disk first runs `drbdmeta apply-al` (drbdadm does): it marks the extents that were hot at a
//! crash in the bitmap, empties the log and marks the superblock clean. Attach refuses a superblock that is not
//! clean, and begins with an empty activity log.

pub mod crc32c;
pub mod layout;
pub mod superblock;
pub mod transaction;
