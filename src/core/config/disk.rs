// SPDX-License-Identifier: GPL-2.0-only

//! The options of a backing disk.
//!
//! C header: [`include/uapi/linux/drbd_limits.h`](srctree/include/uapi/linux/drbd_limits.h)

use super::option::{
    options,
    Range, //
};
use super::policy::{
    Fencing,
    OnIoError,
    ReadBalancing, //
};
use super::text::Text;
use crate::netlink::group;

/// Place of the metadata: at the end of the backing device, at a size that was fixed when it was made
/// (`DRBD_MD_INDEX_INTERNAL`).
pub const META_INDEX_INTERNAL: i32 = -1;
/// Place of the metadata: a device of its own (`DRBD_MD_INDEX_FLEX_EXT`).
pub const META_INDEX_FLEXIBLE_EXTERNAL: i32 = -2;
/// Place of the metadata: at the end of the backing device, sized after it (`DRBD_MD_INDEX_FLEX_INT`).
pub const META_INDEX_FLEXIBLE_INTERNAL: i32 = -3;

/// Fewest extents in the activity log (`DRBD_AL_EXTENTS_MIN`).
pub const AL_EXTENTS_MIN: u32 = 67;
/// Most extents in the activity log: slots are 16-bit numbers (`DRBD_AL_EXTENTS_MAX`).
pub const AL_EXTENTS_MAX: u32 = 0xfffe;

options! {
    /// How a backing disk is used (`struct disk_conf`).
    pub struct DiskConf in group::DISK_CONF;

    /// The lower block device.
    backing_dev: Text<127> = Text::EMPTY,
        1 "disk" None Range::Any, AtStartRequired;
    /// The device with the metadata.
    meta_dev: Text<127> = Text::EMPTY,
        2 "meta-disk" None Range::Any, AtStartRequired;
    /// Place of the metadata: one of `META_INDEX_*`, or from 0 the slot of 128 MiB on [`Self::meta_dev`].
    meta_dev_idx: i32 = META_INDEX_INTERNAL,
        3 "meta-disk-index" Count Range::Any, AtStartRequired;
    /// Use no more than this much of the disk, in sectors; 0 is no limit.
    disk_size: u64 = 0,
        4 "size" Sectors Range::Within(0, 2 << 40), AtStart;
    /// Without effect; kept for user space.
    max_bio_bvecs: u32 = 0,
        5 "max-bio-bvecs" Count Range::Within(0, 128), AtStart;
    /// Reaction to an error of the disk.
    on_io_error: OnIoError = OnIoError::Detach,
        6 "on-io-error" None Range::Any, AtRunTime;
    /// Reaction to the loss of the peer.
    fencing: Fencing = Fencing::DontCare,
        7 "fencing" None Range::Any, AtRunTime;
    /// Resync speed without controller, and where the controller starts, in KiB/s.
    resync_rate: u32 = 250,
        8 "resync-rate" KibibytesPerSecond Range::Clamped(1, 4 << 20), AtRunTime;
    /// Resync only when this minor has none running; -1 is none.
    resync_after: i32 = -1,
        9 "resync-after" Minor Range::Any, AtRunTime;
    /// Extents of 4 MiB that may be written to without touching the metadata.
    al_extents: u32 = 1237,
        10 "al-extents" Count Range::Clamped(67, 0xfffe), AtRunTime;
    /// How far the resync controller looks ahead, in tenths of a second; 0 turns it off.
    c_plan_ahead: u32 = 20,
        11 "c-plan-ahead" Deciseconds Range::Clamped(0, 300), AtRunTime;
    /// Delay of resync requests that the controller aims at, in tenths of a second; used without [`Self::c_fill_target`].
    c_delay_target: u32 = 10,
        12 "c-delay-target" Deciseconds Range::Within(1, 100), AtRunTime;
    /// Resync data in flight that the controller aims at, in sectors.
    c_fill_target: u32 = 100,
        13 "c-fill-target" Sectors Range::Within(0, 1 << 20), AtRunTime;
    /// Upper limit of the controller, in KiB/s.
    c_max_rate: u32 = 102_400,
        14 "c-max-rate" KibibytesPerSecond Range::Within(250, 4 << 20), AtRunTime;
    /// Resync keeps at least this speed while applications write, in KiB/s; 0 never slows down.
    c_min_rate: u32 = 250,
        15 "c-min-rate" KibibytesPerSecond Range::Within(0, 4 << 20), AtRunTime;
    /// Without effect: the kernel has no I/O barriers any more.
    disk_barrier: bool = false,
        16 "disk-barrier" None Range::Any, AtRunTime;
    /// Order writes by flushing the disk.
    disk_flushes: bool = true,
        17 "disk-flushes" None Range::Any, AtRunTime;
    /// Order writes by waiting for those before.
    disk_drain: bool = true,
        18 "disk-drain" None Range::Any, AtRunTime;
    /// Write metadata through the cache of the disk.
    md_flushes: bool = true,
        19 "md-flushes" None Range::Any, AtRunTime;
    /// Drop the disk when it does not answer for this long, in tenths of a second; 0 waits for ever.
    disk_timeout: u32 = 0,
        20 "disk-timeout" Deciseconds Range::Within(0, 6000), AtRunTime;
    /// Which node serves reads.
    read_balancing: ReadBalancing = ReadBalancing::PreferLocal,
        21 "read-balancing" None Range::Any, AtRunTime;
    /// Keep the activity log on disk; without it a crashed Primary needs a full resync.
    al_updates: bool = true,
        23 "al-updates" None Range::Any, AtRunTime;
    /// Offer discard even where discarded blocks do not read as zero, by zeroing the unaligned ends.
    discard_zeroes_if_aligned: bool = true,
        24 "discard-zeroes-if-aligned" None Range::Any, AtRunTime;
    /// Resync runs of zeros of this many bytes by discarding them; 0 turns it off.
    rs_discard_granularity: u32 = 0,
        25 "rs-discard-granularity" Bytes Range::Within(0, 1 << 20), AtRunTime;
    /// Without effect: the kernel has no write-same any more.
    disable_write_same: bool = false,
        26 "disable-write-same" None Range::Any, AtRunTime;
}

impl DiskConf {
    /// Whether the metadata is on the backing device itself.
    pub fn has_internal_metadata(&self) -> bool {
        matches!(
            self.meta_dev_idx,
            META_INDEX_INTERNAL | META_INDEX_FLEXIBLE_INTERNAL
        )
    }

    /// Whether another way of ordering writes was chosen.
    pub fn write_ordering_differs(&self, other: &Self) -> bool {
        self.disk_barrier != other.disk_barrier
            || self.disk_flushes != other.disk_flushes
            || self.disk_drain != other.disk_drain
    }
}
