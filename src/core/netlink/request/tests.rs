// SPDX-License-Identifier: GPL-2.0-only

use super::*;
use crate::config::{
    Fencing,
    Protocol,
    Text, //
};
use crate::netlink::attribute::{
    AttributeWriter,
    NoSpace, //
};
use crate::netlink::command::MINOR_NONE;
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

fn bytes(fill: impl FnOnce(&mut AttributeWriter<'_>) -> Result<(), NoSpace>) -> Vec<u8> {
    let mut buffer = [0; 2000];
    let mut writer = AttributeWriter::new(&mut buffer);
    fill(&mut writer).unwrap();
    writer.written().to_vec()
}

fn refusal(result: Result<Request<'_>, DecodeError>) -> (i32, std::string::String) {
    match result {
        Err(DecodeError::Refused(refusal)) => (refusal.code.number(), refusal.reason.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_resource() {
    let message = bytes(|w| {
        w.nest(2, |w| w.text(2, b"r0"))?;
        w.nest(4, |w| {
            w.text(1, b"ff")?;
            w.u32(2, 1)
        })
    });
    let parsed = Message::parse(Command::NewResource, MINOR_NONE, 0, &message).unwrap();
    assert_eq!(parsed.echo.unwrap().bytes(), &message[..12]);
    let Request::NewResource { name, options } = parsed.request().unwrap() else {
        panic!();
    };
    assert_eq!(name, b"r0");
    assert_eq!(options.cpu_mask, Text::new(b"ff").unwrap());
    assert_eq!(options.on_no_data, crate::config::OnNoData::SuspendIo);

    let nameless = Request::decode(Command::NewResource, MINOR_NONE, 0, &[]);
    assert_eq!(
        refusal(nameless),
        (126, "resource name missing".to_string())
    );
}

#[test]
fn a_new_minor() {
    let volume = |volume| bytes(|w| w.nest(2, |w| w.u32(1, volume)));
    assert_eq!(
        Request::decode(Command::NewMinor, 7, 0, &volume(3)),
        Ok(Request::NewMinor {
            minor: 7,
            volume: 3
        })
    );
    assert_eq!(
        refusal(Request::decode(Command::NewMinor, 7, 0, &volume(65_535))),
        (162, "requested volume id out of range".to_string())
    );
    assert_eq!(
        refusal(Request::decode(Command::NewMinor, 1 << 20, 0, &volume(0))),
        (162, "requested minor out of range".to_string())
    );
    assert!(matches!(
        Request::decode(Command::NewMinor, 7, 0, &[]),
        Err(DecodeError::Refused(_))
    ));
}

#[test]
fn attach_needs_its_devices() {
    let attach = |list: &[u16]| {
        let message = bytes(|w| {
            w.nest(3, |w| {
                for number in list {
                    match number {
                        1 => w.text(1, b"/dev/vda")?,
                        2 => w.text(2, b"/dev/vdb")?,
                        3 => w.i32(3, -2)?,
                        _ => w.u32(*number, 1)?,
                    }
                }
                Ok(())
            })
        });
        match Request::decode(Command::Attach, 0, 0, &message) {
            Ok(Request::Attach(conf)) => Ok(conf),
            other => Err(refusal(other)),
        }
    };
    let conf = attach(&[1, 2, 3, 7, 8]).unwrap();
    assert_eq!(conf.backing_dev.as_bytes(), b"/dev/vda");
    assert_eq!(conf.meta_dev.as_bytes(), b"/dev/vdb");
    assert_eq!(conf.meta_dev_idx, -2);
    assert_eq!(conf.fencing, Fencing::Resource);
    assert_eq!(conf.resync_rate, 1);
    assert_eq!(conf.al_extents, 1237);
    assert_eq!(
        attach(&[1, 3]),
        Err((126, "required attribute missing: meta-disk".to_string()))
    );
    assert_eq!(
        attach(&[1, 2, 3, 14]),
        Err((
            126,
            "invalid attribute value: c-max-rate must be in 250..4194304".to_string()
        ))
    );
    assert_eq!(
        refusal(Request::decode(Command::Attach, 0, 0, &[])),
        (126, "required attribute missing".to_string())
    );
}

#[test]
fn connect_needs_both_ends() {
    let one = bytes(|w| w.nest(2, |w| w.binary(3, &[2; 16])));
    assert_eq!(
        refusal(Request::decode(Command::Connect, MINOR_NONE, 0, &one)),
        (162, "connection endpoint(s) missing".to_string())
    );
    let both = bytes(|w| {
        w.nest(2, |w| {
            w.text(2, b"r0")?;
            w.binary(3, &[2; 16])?;
            w.binary(4, &[3; 16])
        })?;
        w.nest(5, |w| {
            w.text(1, &[b's'; 64])?;
            w.u32(6, 1)?;
            w.u8(25, 1)
        })
    });
    let Ok(Request::Connect {
        my_address,
        peer_address,
        options,
    }) = Request::decode(Command::Connect, MINOR_NONE, 0, &both)
    else {
        panic!();
    };
    assert_eq!((my_address, peer_address), (&[2; 16][..], &[3; 16][..]));
    assert_eq!(options.wire_protocol, Protocol::A);
    assert_eq!(options.shared_secret.as_bytes().len(), 63);
    assert!(options.discard_my_data);
}

#[test]
fn a_change_keeps_invariants() {
    let old = NetConf {
        timeout: 100,
        tentative: true,
        ..NetConf::default()
    };
    let apply = |flags, message: &[u8]| match Request::decode(
        Command::ChangeNetOptions,
        MINOR_NONE,
        flags,
        message,
    ) {
        Ok(Request::ChangeNetOptions(change)) => change.apply_to(&old),
        other => panic!("{other:?}"),
    };
    let ping = bytes(|w| w.nest(5, |w| w.u32(9, 20)));
    let new = apply(0, &ping).unwrap();
    assert_eq!((new.timeout, new.ping_int, new.tentative), (100, 20, true));
    let new = apply(FLAG_SET_DEFAULTS, &ping).unwrap();
    assert_eq!((new.timeout, new.ping_int, new.tentative), (60, 20, true));
    assert_eq!(apply(0, &[]).unwrap(), old);

    let discard = bytes(|w| w.nest(5, |w| w.u8(25, 1)));
    let refusal = apply(0, &discard).unwrap_err();
    assert_eq!(refusal.code, ReturnCode::MandatoryTag);
    assert_eq!(
        refusal.reason.to_string(),
        "cannot change invariant setting: discard-my-data"
    );
    let protocol = bytes(|w| w.nest(5, |w| w.u32(6, 4)));
    assert_eq!(
        apply(0, &protocol).unwrap_err().reason.to_string(),
        "invalid attribute value: protocol"
    );
}

#[test]
fn parameters_of_single_commands() {
    let flag = |group| bytes(|w| w.nest(group, |w| w.u8(1, 1)));
    let decode = |command, message: &[u8]| {
        std::format!("{:?}", Request::decode(command, 0, 0, message).unwrap())
    };
    assert_eq!(
        decode(Command::Primary, &flag(6)),
        "Primary { force: true }"
    );
    assert_eq!(decode(Command::Primary, &[]), "Primary { force: false }");
    assert_eq!(
        decode(Command::Disconnect, &flag(12)),
        "Disconnect { force: true }"
    );
    assert_eq!(decode(Command::Detach, &flag(13)), "Detach { force: true }");
    assert_eq!(
        decode(Command::NewCurrentUuid, &flag(10)),
        "NewCurrentUuid { clear_bitmap: true }"
    );
    let start = bytes(|w| w.nest(9, |w| w.u64(1, 4096)));
    let Request::StartVerify(change) = Request::decode(Command::StartVerify, 0, 0, &start).unwrap()
    else {
        panic!();
    };
    let parms = change.apply_to(&StartVerifyParms::default()).unwrap();
    assert_eq!((parms.start_sector, parms.stop_sector), (4096, u64::MAX));
    let size = bytes(|w| w.nest(7, |w| w.u64(1, 2048)));
    let Request::Resize(change) = Request::decode(Command::Resize, 0, 0, &size).unwrap() else {
        panic!();
    };
    let present = ResizeParms {
        al_stripes: 4,
        al_stripe_size: 64,
        ..ResizeParms::default()
    };
    let parms = change.apply_to(&present).unwrap();
    assert_eq!(
        (parms.resize_size, parms.al_stripes, parms.al_stripe_size),
        (2048, 4, 64)
    );
}

#[test]
fn netlink_is_strict() {
    let parse = |command, message: &[u8]| Message::parse(command, 0, 0, message).map(|_| ());
    let invalid = Err(Malformed::Invalid);
    // A group that does not belong to the command, and one that does not exist.
    assert_eq!(
        parse(Command::Detach, &bytes(|w| w.nest(12, |w| w.u8(1, 1)))),
        invalid
    );
    assert_eq!(
        parse(Command::Detach, &bytes(|w| w.nest(99, |_| Ok(())))),
        invalid
    );
    // An unknown attribute, a wrong length, nesting where it should not be, none where it should.
    for message in [
        bytes(|w| w.nest(13, |w| w.u8(2, 1))),
        bytes(|w| w.nest(13, |w| w.u32(1, 1))),
        bytes(|w| w.nest(13, |w| w.nest(1, |_| Ok(())))),
        bytes(|w| w.nest_without_flag(13, |w| w.u8(1, 1))),
        bytes(|w| w.nest_without_flag(2, |w| w.u32(1, 1))),
        bytes(|w| w.nest(2, |w| w.u32(5, 1))),
        bytes(|w| w.nest(2, |w| w.u32(0, 1))),
    ] {
        assert_eq!(parse(Command::Detach, &message), invalid);
    }
    let long = bytes(|w| w.nest(2, |w| w.binary(3, &[0; 129])));
    assert_eq!(parse(Command::Connect, &long), Err(Malformed::TooLong));
    let mut trailing = bytes(|w| w.nest(2, |w| w.u32(1, 1)));
    trailing.push(0);
    assert_eq!(parse(Command::Detach, &trailing), invalid);
    assert_eq!(parse(Command::Event, &[]), invalid);
    // The historic flag for mandatory attributes is no part of the number.
    assert_eq!(
        parse(
            Command::Detach,
            &bytes(|w| w.nest(13 | 1 << 14, |w| w.u8(1 | 1 << 14, 1)))
        ),
        Ok(())
    );
}

#[test]
fn a_dump_of_status_with_context_needs_a_name() {
    let filter = |command, message: &[u8]| {
        Message::parse(command, MINOR_NONE, 0, message)
            .unwrap()
            .dump_filter()
            .map(|name| name.map(|name| name.to_vec()))
    };
    let named = bytes(|w| w.nest(2, |w| w.text(2, b"r0")));
    let nameless = bytes(|w| w.nest(2, |_| Ok(())));
    assert_eq!(filter(Command::GetStatus, &[]), Ok(None));
    assert_eq!(filter(Command::GetStatus, &named), Ok(Some(b"r0".to_vec())));
    assert_eq!(
        filter(Command::GetStatus, &nameless),
        Err(Malformed::Invalid)
    );
    assert_eq!(filter(Command::GetDevices, &nameless), Ok(None));
}

#[test]
fn every_request_has_a_form() {
    for command in Command::ALL {
        let dump = matches!(
            command,
            Command::GetResources
                | Command::GetDevices
                | Command::GetConnections
                | Command::GetPeerDevices
                | Command::GetInitialState
        );
        match Request::decode(*command, 0, 0, &[]) {
            Err(DecodeError::Refused(refusal)) => {
                assert_eq!(dump, refusal.code == ReturnCode::PacketNr);
            }
            Err(DecodeError::Malformed(_)) => assert!(command.is_notification()),
            Ok(_) => assert!(!dump),
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_harm(
        command in 0..Command::ALL.len(),
        minor: u32,
        flags: u32,
        attributes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = Request::decode(Command::ALL[command], minor, flags, &attributes);
    }

    #[test]
    fn any_values_keep_to_the_table(values in proptest::collection::vec((1u16..40, any::<u32>()), 0..60)) {
        let message = bytes(|w| w.nest(5, |w| {
            for (number, value) in &values {
                match NetConf::spec(*number).map(|spec| spec.form) {
                    Some(crate::config::option::Form::Number8) => w.u8(*number, *value as u8)?,
                    Some(crate::config::option::Form::Number32) => w.u32(*number, *value)?,
                    _ => {}
                }
            }
            Ok(())
        }));
        let change = match Request::decode(Command::ChangeNetOptions, 0, 0, &message) {
            Ok(Request::ChangeNetOptions(change)) => change,
            other => panic!("{other:?}"),
        };
        if let Ok(conf) = change.apply_to(&NetConf::default()) {
            prop_assert!((1..=600).contains(&conf.timeout));
            prop_assert!((32..=131_072).contains(&conf.max_buffers));
        }
    }
}
