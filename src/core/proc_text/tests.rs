// SPDX-License-Identifier: GPL-2.0-only

use super::*;
use crate::state::{
    DiskState,
    Role, //
};
use proptest::prelude::*;
use std::string::String;

fn connected() -> MinorStatus {
    MinorStatus {
        minor: 0,
        state: State {
            role: Role::Primary,
            peer: Role::Secondary,
            connection: ConnectionState::Connected,
            disk: DiskState::UpToDate,
            peer_disk: DiskState::UpToDate,
            ..State::default()
        },
        protocol: Some(Protocol::C),
        al_suspended: false,
        sent: 2048,
        received: 11,
        written: 4096,
        read: 3,
        al_writes: 5,
        bitmap_writes: 6,
        local_requests: 0,
        pending: 1,
        unacknowledged: 2,
        application_requests: 3,
        epochs: 1,
        write_ordering: WriteOrdering::Flush,
        bits_out_of_sync: 25,
        progress: None,
        details: None,
    }
}

fn text(previous: Option<u32>, status: &MinorStatus) -> String {
    let mut out = String::new();
    write_minor(&mut out, previous, status).unwrap();
    out
}

#[test]
fn header_as_tools_read_it() {
    let mut out = String::new();
    write_header(&mut out, "0123456789ABCDEF0123456").unwrap();
    assert_eq!(
        out,
        "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: 0123456789ABCDEF0123456 \n"
    );
}

#[test]
fn a_connected_device() {
    assert_eq!(
        text(None, &connected()),
        " 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n    \
         ns:1024 nr:5 dw:2048 dr:1 al:5 bm:6 lo:0 pe:1 ua:2 ap:3 ep:1 wo:f oos:100\n"
    );
}

#[test]
fn flags_and_gaps() {
    let mut status = connected();
    status.minor = 12;
    status.protocol = None;
    status.al_suspended = true;
    status.state.suspended_fencing = true;
    status.state.after_dependency_paused = true;
    status.state.user_paused = true;
    status.state.peer_paused = true;
    status.write_ordering = WriteOrdering::Drain;
    let shown = text(Some(10), &status);
    assert!(
        shown
            .starts_with("\n12: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate   sapu-s\n"),
        "{shown}"
    );
    assert!(shown.contains(" wo:d "));
    assert!(text(Some(11), &status).starts_with("12:"));
    assert!(text(None, &status).starts_with("\n12:"));
}

#[test]
fn an_unconfigured_device() {
    let mut status = connected();
    status.state = State::default();
    assert_eq!(text(None, &status), " 0: cs:Unconfigured\n");
}

#[test]
fn a_resync() {
    let mut status = connected();
    status.state.connection = ConnectionState::SyncTarget;
    status.progress = Some(SyncProgress {
        bits_total: 100_000,
        bits_left: 66_500,
        mark: Mark {
            age: 18,
            bits_left: 95_300,
        },
        elapsed: 20,
        wanted_rate: 10_240,
    });
    let shown = text(None, &status);
    let progress: String = shown.split_inclusive('\n').skip(2).collect();
    assert_eq!(
        progress,
        "\t[=====>..............] sync'ed: 34.7% (266000/400000)K\n\
         \tfinish: 0:00:41 speed: 6,400 (6,700) want: 10,240 K/sec\n"
    );

    // The same seen from the other side has no wish, and a verify has another word.
    status.state.connection = ConnectionState::SyncSource;
    assert!(text(None, &status).ends_with("speed: 6,400 (6,700) K/sec\n"));
    status.state.connection = ConnectionState::VerifyT;
    assert!(text(None, &status).contains("] verified: 34.7% ("));
    // A pause shows no progress.
    status.state.connection = ConnectionState::PausedSyncS;
    assert!(!text(None, &status).contains("finish"));
}

#[test]
fn a_big_resync_that_stalls() {
    let mut status = connected();
    status.state.connection = ConnectionState::SyncSource;
    status.progress = Some(SyncProgress {
        bits_total: 1 << 30,
        bits_left: 1 << 30,
        mark: Mark {
            age: 200,
            bits_left: 1 << 30,
        },
        elapsed: 200,
        wanted_rate: 0,
    });
    let shown = text(None, &status);
    assert!(
        shown.contains("\t[>....................] sync'ed:  0.1% (4194304/4194304)M\n"),
        "{shown}"
    );
    assert!(shown.ends_with("speed: 0 (0) K/sec (stalled)\n"), "{shown}");
}

#[test]
fn details_on_request() {
    let cache = CacheStatistics {
        used: 1,
        elements: 61,
        hits: 2,
        misses: 3,
        starving: 4,
        locked: 5,
        changed: 6,
    };
    let mut status = connected();
    status.state.connection = ConnectionState::VerifyS;
    let mark = Mark {
        age: 0,
        bits_left: 1_000_000,
    };
    status.progress = Some(SyncProgress {
        bits_total: 1_000_000,
        bits_left: 500_000,
        mark,
        elapsed: 0,
        wanted_rate: 1,
    });
    status.details = Some(Details {
        recent_mark: mark,
        bits_in_bitmap: 1_000_000,
        position: 500_000,
        stop_sector: Some(8_000_000),
        caches: Some([cache; 2]),
        blocked_on_al: Some(7),
    });
    let shown = text(None, &status);
    let tail: String = shown.split_inclusive('\n').skip(3).collect();
    assert_eq!(
        tail,
        "\tfinish: 0:00:00 speed: 2,000,000 (2,000,000 -- 2,000,000) want: 1 K/sec\n\
         \t 49% sector pos: 4000000/8000000 stop sector: 8000000\n\
         \tresync: used:1/61 hits:2 misses:3 starving:4 locked:5 changed:6\n\
         \tact_log: used:1/61 hits:2 misses:3 starving:4 locked:5 changed:6\n\
         \tblocked on activity log: 7\n"
    );
}

#[test]
fn thousands_are_grouped() {
    let grouped = |number| {
        let mut out = String::new();
        write_grouped(&mut out, number).unwrap();
        out
    };
    assert_eq!(grouped(0), "0");
    assert_eq!(grouped(999), "999");
    assert_eq!(grouped(1000), "1,000");
    assert_eq!(grouped(1_002_003), "1,002,003");
    assert_eq!(grouped(4_000_000_000), "4000,000,000");
}

proptest! {
    #[test]
    fn any_numbers_are_shown(
        bits_total: u64,
        bits_left: u64,
        mark_left: u64,
        age: u64,
        elapsed: u64,
        position: u64,
        bits_in_bitmap: u64,
    ) {
        let mark = Mark { age, bits_left: mark_left };
        let mut status = connected();
        status.state.connection = ConnectionState::VerifyS;
        status.progress = Some(SyncProgress { bits_total, bits_left, mark, elapsed, wanted_rate: age });
        status.details = Some(Details {
            recent_mark: mark,
            bits_in_bitmap,
            position,
            stop_sector: None,
            caches: None,
            blocked_on_al: None,
        });
        let shown = text(None, &status);
        prop_assert_eq!(shown.lines().count(), 5);
        let bar = shown.lines().nth(2).unwrap();
        prop_assert!(bar.find(']') == Some(22) || bar.find(']') == Some(23), "{}", bar);
    }
}
