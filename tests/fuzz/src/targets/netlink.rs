// SPDX-License-Identifier: GPL-2.0-only

//! Requests of user space. Bytes: command, flags, minor, then attributes.

use drbd_core::config::disk::DiskConf;
use drbd_core::config::net::NetConf;
use drbd_core::config::resource::ResourceOptions;
use drbd_core::netlink::attribute::{AttributeWriter, Attributes};
use drbd_core::netlink::command::Command;
use drbd_core::netlink::request::{Message, Request};

use super::Source;

pub fn run(data: &[u8]) {
    let mut source = Source(data);
    let Some(command) = Command::from_number(source.byte()) else {
        return;
    };
    assert_eq!(Command::from_number(command.number()), Some(command));
    let flags = u32::from(source.byte());
    let minor = u32::from_le_bytes(source.array());
    // Attributes are words: the kernel hands them over at a multiple of four bytes.
    let bytes = source.0;
    let copied = every_attribute(bytes, 0);
    let Ok(message) = Message::parse(command, minor, flags, bytes) else {
        return;
    };
    assert!(
        copied,
        "a message was taken whose attributes cannot be walked"
    );
    let filter = message.dump_filter();
    assert!(filter.is_err() || filter == Ok(message.context.resource_name));
    let Ok(request) = message.request() else {
        return;
    };
    assert_eq!(
        message.request().ok(),
        Some(request.clone()),
        "the same answer twice"
    );
    apply(&request);
}

/// Walks all attributes, and what is nested in them; each copies to the same bytes. False where they are malformed.
fn every_attribute(bytes: &[u8], depth: u32) -> bool {
    let mut good = true;
    for attribute in Attributes::new(bytes) {
        let Ok(attribute) = attribute else {
            good = false;
            continue;
        };
        assert!(good, "nothing comes after an error");
        assert!(attribute.payload().len() < attribute.bytes().len());
        let mut buffer = vec![0xff; attribute.bytes().len() + 8];
        let mut writer = AttributeWriter::new(&mut buffer);
        writer.echo(&attribute).expect("there is room");
        assert_eq!(
            &writer.written()[..attribute.bytes().len()],
            attribute.bytes()
        );
        let _ = (
            attribute.u8(),
            attribute.u32(),
            attribute.i32(),
            attribute.u64(),
        );
        if let Ok(text) = attribute.text(64) {
            assert!(text.len() <= 64 && !text.contains(&0));
        }
        if let Ok(binary) = attribute.binary(20) {
            assert!(binary.len() <= 20);
        }
        if depth < 4 && attribute.nested().is_ok() {
            every_attribute(attribute.payload(), depth + 1);
        }
    }
    good
}

/// A change of options, taken, is within the ranges: it can be applied again, and is the same.
fn apply(request: &Request<'_>) {
    match request {
        Request::ChangeNetOptions(change) => {
            if let Ok(new) = change.apply_to(&NetConf::default()) {
                assert_eq!(change.apply_to(&new).ok(), Some(new));
            }
        }
        Request::ChangeDiskOptions(change) => {
            if let Ok(new) = change.apply_to(&DiskConf::default()) {
                assert_eq!(change.apply_to(&new).ok(), Some(new));
            }
        }
        Request::ChangeResourceOptions(change) => {
            if let Ok(new) = change.apply_to(&ResourceOptions::default()) {
                assert_eq!(change.apply_to(&new).ok(), Some(new));
            }
        }
        _ => {}
    }
}
