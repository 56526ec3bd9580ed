// SPDX-License-Identifier: GPL-2.0-only

//! `/proc/drbd`.

use core::fmt;

use drbd_core::{
    proc_text::{
        write_header,
        write_minor,
        Mark,
        MinorStatus,
        SyncProgress, //
    },
    resource::{
        DeviceStatus,
        SyncStatus, //
    }, //
};

use super::registry::{
    self,
    DeviceEntry, //
};
use crate::kernel_api::{
    noio::NoIo,
    procfs::{
        Show,
        Text, //
    }, //
};

/// What stands for the checksum of the sources: tools want to see a word there.
const SOURCE_VERSION: &str = "drbd-rust";

/// Writes the file.
pub(super) struct Overview;

impl Show for Overview {
    fn show(text: &mut Text<'_>) {
        // The registry is locked while memory is asked for, and the event threads, which I/O may wait for, want it too.
        let _noio = NoIo::enter();
        // The text itself never fails.
        let _ = write_all(text);
    }
}

fn write_all(text: &mut Text<'_>) -> fmt::Result {
    write_header(text, SOURCE_VERSION)?;
    let Ok(devices) = registry::devices() else {
        return Ok(());
    };
    let mut previous = None;
    for found in devices {
        if let Some(status) = minor_status(&found) {
            write_minor(text, previous, &status)?;
            previous = Some(status.minor);
        }
    }
    Ok(())
}

fn minor_status(found: &DeviceEntry) -> Option<MinorStatus> {
    let (status, protocol) = found.entry.look(|engine| {
        let conf = engine.connection().conf();
        let protocol = conf.map(|conf| conf.wire_protocol);
        engine
            .status(found.device.index)
            .map(|status: DeviceStatus| (status, protocol))
    })?;
    Some(MinorStatus {
        minor: status.minor,
        state: status.state,
        protocol,
        al_suspended: status.log_suspended,
        sent: status.counters.sent,
        received: status.counters.received,
        written: status.counters.written,
        read: status.counters.read,
        al_writes: status.counters.activity_log_writes,
        bitmap_writes: status.counters.bitmap_writes,
        local_requests: status.local,
        pending: status.pending,
        unacknowledged: status.unacknowledged,
        application_requests: status.application,
        // The one that a next write of the peer would be part of is there always.
        epochs: status.epochs.max(1),
        write_ordering: status.write_ordering,
        bits_out_of_sync: status.out_of_sync,
        progress: status.sync.as_ref().map(progress),
        details: None,
    })
}

fn progress(sync: &SyncStatus) -> SyncProgress {
    let (marked_at, marked_left) = sync.mark;
    SyncProgress {
        bits_total: sync.total,
        bits_left: sync.left.saturating_sub(sync.failed),
        mark: Mark {
            age: sync.now.saturating_sub(marked_at) / 1000,
            bits_left: marked_left,
        },
        elapsed: sync.elapsed / 1000,
        wanted_rate: sync.want,
    }
}
