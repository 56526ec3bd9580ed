// SPDX-License-Identifier: GPL-2.0-only

//! The text of `/proc/drbd`, which monitoring reads and `drbdadm` finds the version of the driver in.

use core::fmt::{
    Result,
    Write, //
};

use crate::config::{
    Protocol,
    WriteOrdering, //
};
use crate::netlink::command::FAMILY_VERSION;
use crate::state::{
    ConnectionState,
    State, //
};

/// The release that this driver stands in for.
pub const RELEASE: &str = "8.4.11";
/// The oldest protocol version it speaks.
pub const PROTOCOL_MIN: u32 = 86;
/// The newest protocol version it speaks.
pub const PROTOCOL_MAX: u32 = 101;

/// KiB in the block that a bit stands for, as power of two.
const BIT_TO_KIB_SHIFT: u32 = 2;

/// Writes the first two lines. `source_version` is the checksum of the module's sources (`srcversion` of `modinfo`);
/// `drbdadm` takes any word for it, and needs the line to take the first for that of a driver.
pub fn write_header(out: &mut dyn Write, source_version: &str) -> Result {
    writeln!(
        out,
        "version: {RELEASE} (api:{FAMILY_VERSION}/proto:{PROTOCOL_MIN}-{PROTOCOL_MAX})"
    )?;
    writeln!(out, "srcversion: {source_version:<24}")
}

/// What the lines of one device tell. Counters of sectors are shown in KiB.
#[derive(Clone, Debug)]
pub struct MinorStatus {
    /// Its minor.
    pub minor: u32,
    /// Its state.
    pub state: State,
    /// The protocol of the connection, while it is configured.
    pub protocol: Option<Protocol>,
    /// Whether updates of the activity log are suspended.
    pub al_suspended: bool,
    /// Sent to the peer, in sectors.
    pub sent: u64,
    /// Received from the peer, in sectors.
    pub received: u64,
    /// Written to the local disk, in sectors.
    pub written: u64,
    /// Read from the local disk, in sectors.
    pub read: u64,
    /// Writes of the activity log.
    pub al_writes: u64,
    /// Writes of the bitmap.
    pub bitmap_writes: u64,
    /// Requests to the local disk in flight.
    pub local_requests: u32,
    /// Requests that the peer has not answered.
    pub pending: u32,
    /// Requests of the peer that this node has not answered.
    pub unacknowledged: u32,
    /// Application requests in flight.
    pub application_requests: u32,
    /// Epochs in flight.
    pub epochs: u32,
    /// How writes are ordered.
    pub write_ordering: WriteOrdering,
    /// Bits set in the bitmap.
    pub bits_out_of_sync: u64,
    /// How far resync or verify is. Shown only while the state says that one runs.
    pub progress: Option<SyncProgress>,
    /// What the module parameter `proc_details` adds, from 1 on.
    pub details: Option<Details>,
}

/// How far resync or verify is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncProgress {
    /// Bits that it began with.
    pub bits_total: u64,
    /// Bits that are left: for a resync, set bits without those that failed.
    pub bits_left: u64,
    /// A point about 18 seconds back.
    pub mark: Mark,
    /// Seconds since it began, without pauses.
    pub elapsed: u64,
    /// The speed that the controller aims at, in KiB/s.
    pub wanted_rate: u64,
}

/// A point in the past of a resync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How long ago, in seconds.
    pub age: u64,
    /// Bits that were left then.
    pub bits_left: u64,
}

/// What `proc_details` adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Details {
    /// A point about 3 seconds back, while [`MinorStatus::progress`] is there.
    pub recent_mark: Mark,
    /// Bits in the bitmap.
    pub bits_in_bitmap: u64,
    /// The bit that resync or verify is at.
    pub position: u64,
    /// Where verify stops, in sectors, if not at the end.
    pub stop_sector: Option<u64>,
    /// Extents locked by resync, and the activity log, while there is a disk.
    pub caches: Option<[CacheStatistics; 2]>,
    /// Requests that wait for the activity log; shown when `proc_details` is 2.
    pub blocked_on_al: Option<u32>,
}

/// How a cache of extents fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatistics {
    /// Elements in use.
    pub used: u32,
    /// Elements in all.
    pub elements: u32,
    /// Extents that were there when asked for.
    pub hits: u64,
    /// Extents that had to be brought in.
    pub misses: u64,
    /// Times that nothing could be evicted.
    pub starving: u64,
    /// Times that the cache was locked.
    pub locked: u64,
    /// Extents that were exchanged.
    pub changed: u64,
}

/// Writes the lines of one device. `previous` is the minor of the device before it: a gap shows as an empty line.
pub fn write_minor(out: &mut dyn Write, previous: Option<u32>, status: &MinorStatus) -> Result {
    let follows = match previous {
        Some(previous) => previous.checked_add(1) == Some(status.minor),
        None => status.minor == 0,
    };
    if !follows {
        out.write_char('\n')?;
    }
    if status.state.is_unconfigured() {
        writeln!(out, "{:2}: cs:Unconfigured", status.minor)?;
    } else {
        write_state(out, status)?;
        write_counters(out, status)?;
    }
    let connection = status.state.connection;
    let is_running = connection.is_verify()
        || matches!(
            connection,
            ConnectionState::SyncSource | ConnectionState::SyncTarget
        );
    if let (true, Some(progress)) = (is_running, &status.progress) {
        write_progress(out, connection, progress, status.details.as_ref())?;
    }
    match &status.details {
        Some(details) => write_caches(out, details),
        None => Ok(()),
    }
}

fn write_state(out: &mut dyn Write, status: &MinorStatus) -> Result {
    let state = &status.state;
    let flag = |is_set, letter| if is_set { letter } else { '-' };
    writeln!(
        out,
        "{:2}: cs:{} ro:{}/{} ds:{}/{} {} {}{}{}{}-{}",
        status.minor,
        state.connection.name(),
        state.role.name(),
        state.peer.name(),
        state.disk.name(),
        state.peer_disk.name(),
        status.protocol.map_or(" ", Protocol::name),
        if state.is_suspended() { 's' } else { 'r' },
        flag(state.after_dependency_paused, 'a'),
        flag(state.peer_paused, 'p'),
        flag(state.user_paused, 'u'),
        flag(status.al_suspended, 's'),
    )
}

fn write_counters(out: &mut dyn Write, status: &MinorStatus) -> Result {
    let ordering = match status.write_ordering {
        WriteOrdering::None => 'n',
        WriteOrdering::Drain => 'd',
        WriteOrdering::Flush => 'f',
    };
    write!(
        out,
        "    ns:{} nr:{} dw:{} dr:{} al:{} bm:{} ",
        status.sent / 2,
        status.received / 2,
        status.written / 2,
        status.read / 2,
        status.al_writes,
        status.bitmap_writes,
    )?;
    writeln!(
        out,
        "lo:{} pe:{} ua:{} ap:{} ep:{} wo:{} oos:{}",
        status.local_requests,
        status.pending,
        status.unacknowledged,
        status.application_requests,
        status.epochs,
        ordering,
        kibibytes(status.bits_out_of_sync),
    )
}

fn kibibytes(bits: u64) -> u64 {
    bits.wrapping_shl(BIT_TO_KIB_SHIFT)
}

/// `part` of `whole` as tenths of a percent that are done.
fn done_per_mille(left: u64, total: u64) -> u64 {
    if left > total {
        // The counters are read while they change; a run that has just begun has no total yet.
        return if total == 0 { 1000 } else { 0 };
    }
    let shift = if total > u64::from(u32::MAX) { 16 } else { 10 };
    let total = total.wrapping_shr(shift).saturating_add(1);
    let left = left.wrapping_shr(shift).saturating_mul(1000);
    1000u64.saturating_sub(left.checked_div(total).unwrap_or(0))
}

fn write_progress(
    out: &mut dyn Write,
    connection: ConnectionState,
    progress: &SyncProgress,
    details: Option<&Details>,
) -> Result {
    let total = progress.bits_total;
    let per_mille = done_per_mille(progress.bits_left, total);
    let left = progress.bits_left.min(total);

    write_bar(out, per_mille)?;
    let word = if connection.is_verify() {
        "verified:"
    } else {
        "sync'ed:"
    };
    write!(out, "{word}{:3}.{}% ", per_mille / 10, per_mille % 10)?;
    // From 4 GiB on in MiB.
    if total > 1 << 20 {
        let [left, total] = [left >> 10, total >> 10].map(kibibytes);
        writeln!(out, "({left}/{total})M")?;
    } else {
        writeln!(out, "({}/{})K", kibibytes(left), kibibytes(total))?;
    }
    write_speed(out, connection, progress, left, details)?;
    match details {
        Some(details) => write_position(out, details),
        None => Ok(()),
    }
}

fn write_bar(out: &mut dyn Write, per_mille: u64) -> Result {
    let done = per_mille / 50;
    out.write_str("\t[")?;
    for _ in 1..done {
        out.write_char('=')?;
    }
    out.write_char('>')?;
    for _ in done..20 {
        out.write_char('.')?;
    }
    out.write_str("] ")
}

/// KiB/s since `mark`.
fn speed_since(mark: Mark, left: u64) -> u64 {
    let done = mark.bits_left.saturating_sub(left);
    kibibytes(done.checked_div(mark.age.max(1)).unwrap_or(0))
}

fn write_speed(
    out: &mut dyn Write,
    connection: ConnectionState,
    progress: &SyncProgress,
    left: u64,
    details: Option<&Details>,
) -> Result {
    let mark = progress.mark;
    let done = mark.bits_left.saturating_sub(left);
    let remaining = left
        .checked_div((done / 100).saturating_add(1))
        .unwrap_or(0)
        .saturating_mul(mark.age.max(1))
        / 100;
    write!(
        out,
        "\tfinish: {}:{:02}:{:02} speed: ",
        remaining / 3600,
        remaining % 3600 / 60,
        remaining % 60
    )?;
    write_grouped(out, speed_since(mark, left))?;
    out.write_str(" (")?;
    if let Some(details) = details {
        write_grouped(out, speed_since(details.recent_mark, left))?;
        out.write_str(" -- ")?;
    }
    let start = Mark {
        age: progress.elapsed,
        bits_left: progress.bits_total,
    };
    write_grouped(out, speed_since(start, left))?;
    out.write_char(')')?;
    if matches!(
        connection,
        ConnectionState::SyncTarget | ConnectionState::VerifyS
    ) {
        out.write_str(" want: ")?;
        write_grouped(out, progress.wanted_rate)?;
    }
    let stalled = if mark.age > 180 { " (stalled)" } else { "" };
    writeln!(out, " K/sec{stalled}")
}

/// A number with commas between its thousands.
fn write_grouped(out: &mut dyn Write, number: u64) -> Result {
    let (millions, rest) = (number / 1_000_000, number % 1_000_000);
    if millions > 0 {
        write!(out, "{millions},{:03},{:03}", rest / 1000, rest % 1000)
    } else if rest >= 1000 {
        write!(out, "{},{:03}", rest / 1000, rest % 1000)
    } else {
        write!(out, "{rest}")
    }
}

fn write_position(out: &mut dyn Write, details: &Details) -> Result {
    let bits = details.bits_in_bitmap;
    let percent = details
        .position
        .checked_div((bits / 100).saturating_add(1))
        .unwrap_or(0);
    let sectors = |bits: u64| bits.wrapping_shl(3);
    write!(
        out,
        "\t{percent:3}% sector pos: {}/{}",
        sectors(details.position),
        sectors(bits)
    )?;
    if let Some(stop) = details.stop_sector {
        write!(out, " stop sector: {stop}")?;
    }
    out.write_char('\n')
}

fn write_caches(out: &mut dyn Write, details: &Details) -> Result {
    let caches = details.caches.iter().flatten();
    for (name, cache) in ["resync", "act_log"].iter().zip(caches) {
        write!(
            out,
            "\t{name}: used:{}/{} hits:{} misses:{} ",
            cache.used, cache.elements, cache.hits, cache.misses
        )?;
        writeln!(
            out,
            "starving:{} locked:{} changed:{}",
            cache.starving, cache.locked, cache.changed
        )?;
    }
    match details.blocked_on_al {
        Some(count) => writeln!(out, "\tblocked on activity log: {count}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
