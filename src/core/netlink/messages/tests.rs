// SPDX-License-Identifier: GPL-2.0-only

use super::super::attribute::Attributes;
use super::super::reply::{
    DiskStatus,
    HistoryUuids,
    TimeoutType, //
};
use super::*;
use crate::config::{
    Secret,
    WriteOrdering, //
};
use crate::state::{
    ConnectionState,
    State, //
};
use std::vec;
use std::vec::Vec;

fn bytes(fill: impl FnOnce(&mut AttributeWriter<'_>) -> Result<(), NoSpace>) -> Vec<u8> {
    let mut buffer = [0; MESSAGE_MAX];
    let mut writer = AttributeWriter::new(&mut buffer);
    fill(&mut writer).unwrap();
    writer.written().to_vec()
}

/// Raw type and length of each attribute in a list.
fn outline(list: &[u8]) -> Vec<(u16, usize)> {
    Attributes::new(list)
        .map(|attribute| attribute.unwrap())
        .map(|attribute| {
            let nested = if attribute.is_nested() { 0x8000 } else { 0 };
            (attribute.number() | nested, attribute.payload().len())
        })
        .collect()
}

fn group_of(message: &[u8], number: u16) -> Vec<u8> {
    let attribute = Attributes::new(message).find(number).unwrap().unwrap();
    attribute.payload().to_vec()
}

const CONTEXT: Context<'_> = Context {
    volume: Some(0),
    resource_name: Some(b"r0"),
    my_address: Some(&[2; 16]),
    peer_address: Some(&[3; 16]),
};

const STATISTICS: ResourceStatistics = ResourceStatistics {
    write_ordering: WriteOrdering::Flush,
};

fn device_statistics(history: Option<[u64; 2]>) -> DeviceStatistics {
    DeviceStatistics {
        size: 1,
        read: 2,
        written: 3,
        al_writes: 4,
        bitmap_writes: 5,
        upper_pending: 6,
        lower_pending: 7,
        upper_blocked: true,
        lower_blocked: false,
        al_suspended: true,
        exposed_uuid: 11,
        current_uuid: 12,
        disk_flags: 13,
        history_uuids: HistoryUuids(history),
    }
}

fn info(state: State) -> StateInfo {
    StateInfo {
        state,
        exposed_uuid: 1,
        capacity: 2,
        sent: 3,
        received: 4,
        read: 5,
        written: 6,
        al_writes: 7,
        bitmap_writes: 8,
        application_requests: 9,
        application_pending: 10,
        resync_pending: 11,
        disk: Some(DiskStatus {
            uuids: [1, 2, 3, 4],
            flags: 5,
            bits_total: 6,
            bits_out_of_sync: 7,
            bits_resync_total: 8,
            bits_resync_failed: 9,
        }),
    }
}

#[test]
fn a_resource_notification_byte_by_byte() {
    let notification = Notification {
        announcement: Announcement::Change,
        continues: true,
        subject: Subject::Resource {
            context: Context {
                resource_name: Some(b"r0"),
                ..Context::default()
            },
            info: ResourceInfo::from(&State::default()),
            statistics: STATISTICS,
        },
    };
    let word = |value: u16| value.to_ne_bytes().to_vec();
    let double = |value: u32| value.to_ne_bytes().to_vec();
    let expected: Vec<u8> = [
        // Context, without nesting flag: the name.
        vec![word(12), word(2), word(7), word(2), b"r0\0\0".to_vec()],
        // Notification header: CHANGE | CONTINUES.
        vec![
            word(12),
            word(0x8000 | 23),
            word(8),
            word(1),
            double(0x8002),
        ],
        // Resource info: Secondary, three flags.
        vec![word(36), word(0x8000 | 15), word(8), word(1), double(2)],
        vec![word(5), word(2), vec![0; 4]],
        vec![word(5), word(3), vec![0; 4]],
        vec![word(5), word(4), vec![0; 4]],
        // Resource statistics: flush.
        vec![word(12), word(0x8000 | 19), word(8), word(1), double(2)],
    ]
    .concat()
    .concat();
    assert_eq!(bytes(|writer| notification.encode(writer)), expected);
    assert_eq!(notification.command(), Command::ResourceState);
    assert_eq!(notification.minor(), MINOR_NONE);
}

#[test]
fn what_is_gone_has_no_state() {
    let mut notification = Notification {
        announcement: Announcement::Create,
        continues: false,
        subject: Subject::Device {
            minor: 7,
            context: CONTEXT,
            info: DeviceInfo::from(&State::default()),
            statistics: device_statistics(None),
        },
    };
    let groups = |notification: &Notification<'_>| {
        outline(&bytes(|writer| notification.encode(writer)))
            .iter()
            .map(|(raw, _)| *raw)
            .collect::<Vec<_>>()
    };
    let flag = 0x8000;
    assert_eq!(groups(&notification), [2, flag | 23, flag | 16, flag | 20]);
    notification.announcement = Announcement::Destroy;
    assert_eq!(groups(&notification), [2, flag | 23, flag | 20]);
    assert_eq!(notification.minor(), 7);

    let done = Notification {
        announcement: Announcement::Exists,
        continues: false,
        subject: Subject::InitialStateDone,
    };
    assert_eq!(groups(&done), [flag | 23]);
}

#[test]
fn history_has_the_length_of_the_c_driver() {
    let length = |history| {
        let message = bytes(|writer| device_statistics(history).encode(writer));
        outline(&group_of(&message, 20)).last().copied()
    };
    assert_eq!(length(Some([1, 2])), Some((14, 32)));
    assert_eq!(length(None), Some((14, 0)));
}

#[test]
fn status_in_the_order_of_the_c_driver() {
    let options = ResourceOptions::default();
    let disk = DiskConf::default();
    let net = NetConf {
        shared_secret: Secret::new(b"hush"),
        ..NetConf::default()
    };
    let old = State::default();
    let new = State {
        connection: ConnectionState::SyncSource,
        ..old
    };
    let mut status = Status {
        context: CONTEXT,
        resource: &options,
        disk: Some(&disk),
        net: Some(&net),
        info: info(old),
        reason: StatusReason::Reply,
        show_secret: true,
    };
    let flag = 0x8000;
    let message = bytes(|writer| status.encode(writer));
    let groups: Vec<_> = outline(&message).iter().map(|(raw, _)| *raw).collect();
    assert_eq!(groups, [2, flag | 4, flag | 3, flag | 5, 8]);
    let common = [
        (1, 4),
        (2, 4),
        (4, 8),
        (3, 8),
        (15, 8),
        (16, 8),
        (17, 8),
        (18, 8),
        (19, 8),
        (20, 8),
        (21, 4),
        (22, 4),
        (23, 4),
    ];
    let disk_part = [(7, 32), (8, 4), (9, 8), (10, 8)];
    assert_eq!(
        outline(&group_of(&message, 8)),
        [&common[..], &disk_part].concat()
    );
    assert_eq!(outline(&group_of(&message, 5))[0], (1, 5));

    // A broadcast: secret hidden whoever asks, resync and change told.
    status.info = info(new);
    status.reason = StatusReason::StateChange { old, new };
    let message = bytes(|writer| status.encode(writer));
    assert_eq!(outline(&group_of(&message, 5))[0], (1, 1));
    assert_eq!(
        outline(&group_of(&message, 8)),
        [
            &common[..],
            &disk_part,
            &[(11, 8), (12, 8)],
            &[(5, 4), (6, 4)]
        ]
        .concat()
    );

    status.disk = None;
    status.net = None;
    status.info.disk = None;
    status.reason = StatusReason::HelperEnd {
        name: "pri-lost",
        status: 256,
    };
    let message = bytes(|writer| status.encode(writer));
    let groups: Vec<_> = outline(&message).iter().map(|(raw, _)| *raw).collect();
    assert_eq!(groups, [2, flag | 4, 8]);
    assert_eq!(
        outline(&group_of(&message, 8)),
        [&common[..], &[(14, 4), (13, 9)]].concat()
    );
}

#[test]
fn dump_entries_have_their_groups() {
    let options = ResourceOptions::default();
    let net = NetConf::default();
    let flag = 0x8000;
    let groups = |entry: DumpEntry<'_>| {
        outline(&bytes(|writer| entry.encode(writer)))
            .iter()
            .map(|(raw, _)| *raw)
            .collect::<Vec<_>>()
    };
    let state = State::default();
    assert_eq!(
        groups(DumpEntry::Resource {
            context: CONTEXT,
            options: &options,
            info: ResourceInfo::from(&state),
            statistics: STATISTICS,
        }),
        [2, flag | 4, flag | 15, flag | 19]
    );
    assert_eq!(
        groups(DumpEntry::Device {
            minor: 0,
            context: CONTEXT,
            disk: Some(&DiskConf::default()),
            info: DeviceInfo::from(&state),
            statistics: device_statistics(None),
        }),
        [2, flag | 3, flag | 16, flag | 20]
    );
    assert_eq!(
        groups(DumpEntry::Connection {
            context: CONTEXT,
            net: Some(&net),
            show_secret: false,
            info: ConnectionInfo {
                state: ConnectionState::Connected,
                peer_role: state.peer,
            },
            statistics: ConnectionStatistics { congested: false },
        }),
        [2, flag | 5, flag | 17, flag | 21]
    );
    let peer_device = DumpEntry::PeerDevice {
        minor: 3,
        context: CONTEXT,
        info: PeerDeviceInfo::from(&state),
        statistics: PeerDeviceStatistics {
            received: 0,
            sent: 0,
            pending: 0,
            unacknowledged: 0,
            out_of_sync: 0,
            resync_failed: 0,
            bitmap_uuid: 0,
            flags: 0,
        },
    };
    assert_eq!(peer_device.minor(), 3);
    let message = bytes(|writer| peer_device.encode(writer));
    assert_eq!(
        outline(&group_of(&message, 18)),
        [1, 2, 3, 4, 5].map(|n| (n, 4))
    );
    assert_eq!(
        outline(&group_of(&message, 2)),
        [(1, 4), (2, 3), (3, 16), (4, 16)]
    );
    assert_eq!(groups(peer_device), [2, flag | 18, flag | 22]);
    assert_eq!(
        groups(DumpEntry::StatusOfResource {
            context: CONTEXT,
            net: Some(&net)
        }),
        [2, flag | 5]
    );
}

#[test]
fn replies_begin_with_what_was_asked() {
    let request = bytes(|writer| writer.nest(2, |writer| writer.text(2, b"r0")));
    let echo = Attributes::new(&request).next().unwrap().unwrap();
    let message = bytes(|writer| {
        begin_reply(writer, Some(&echo), &"unknown resource")?;
        TimeoutType::Degraded.encode(writer)
    });
    assert_eq!(message[..request.len()], request);
    assert_eq!(outline(&message), [(0x8002, 8), (1, 24), (0x8000 | 11, 8)]);
    assert_eq!(outline(&group_of(&message, 1)), [(1, 17)]);
    assert_eq!(bytes(|writer| begin_reply(writer, None, &"")), []);
}

#[test]
fn helper_notification() {
    let notification = Notification {
        announcement: Announcement::Response,
        continues: false,
        subject: Subject::Helper {
            minor: None,
            context: CONTEXT,
            name: "fence-peer",
            status: 1024,
        },
    };
    let message = bytes(|writer| notification.encode(writer));
    assert_eq!(outline(&group_of(&message, 24)), [(1, 11), (2, 4)]);
    assert_eq!(notification.command().number(), 40);
    assert_eq!(notification.minor(), MINOR_NONE);
}

#[test]
fn the_largest_message_fits() {
    let path = Text::new(&[b'x'; 127]).unwrap();
    let alg = Text::new(&[b'x'; 63]).unwrap();
    let options = ResourceOptions {
        cpu_mask: Text::new(&[b'f'; 31]).unwrap(),
        ..ResourceOptions::default()
    };
    let disk = DiskConf {
        backing_dev: path,
        meta_dev: path,
        ..DiskConf::default()
    };
    let net = NetConf {
        shared_secret: Secret::new(&[b'x'; 63]),
        cram_hmac_alg: alg,
        integrity_alg: alg,
        verify_alg: alg,
        csums_alg: alg,
        ..NetConf::default()
    };
    let status = Status {
        context: Context {
            volume: Some(0),
            resource_name: Some(&[b'r'; 128]),
            my_address: Some(&[0; 128]),
            peer_address: Some(&[0; 128]),
        },
        resource: &options,
        disk: Some(&disk),
        net: Some(&net),
        info: info(State {
            connection: ConnectionState::SyncTarget,
            ..State::default()
        }),
        reason: StatusReason::Reply,
        show_secret: true,
    };
    let request = bytes(|writer| status.context.encode(writer));
    let echo = Attributes::new(&request).next().unwrap().unwrap();
    let length = bytes(|writer| {
        begin_reply(writer, Some(&echo), &"")?;
        status.encode(writer)
    })
    .len();
    assert!(length < MESSAGE_MAX, "{length}");
}
