// SPDX-License-Identifier: GPL-2.0-only

//! The threads that send.

use drbd_core::resource::{
    device::DeviceIndex,
    Outgoing,
    Payload,
    SEND_BUFFER, //
};
use drbd_core::slab::Id;
use drbd_core::state::ConnectionState;
use kernel::{
    prelude::*,
    sync::Arc, //
};

use super::Link;
use crate::{
    kernel_api::{
        bio_vecs::BioVecs,
        kthread::StopFlag,
        noio::NoIo,
        socket::{
            SendOptions,
            TcpSocket, //
        }, //
    },
    resource::Resource, //
};

/// Sends what the engine has for the data socket.
pub(crate) fn run_data(resource: &Arc<Resource>, link: &Arc<Link>, stop: &StopFlag) {
    let Link::Open { data, .. } = &**link else {
        return;
    };
    let Ok(mut buffer) = KVec::from_elem(0u8, SEND_BUFFER, GFP_KERNEL) else {
        return resource.engine(|engine| engine.link_failed(ConnectionState::NetworkFailure));
    };
    let _noio = NoIo::enter();
    while resource.data_work.wait(stop) {
        while let Some(outgoing) = next(resource, &mut buffer) {
            let result = send(resource, data, &buffer, outgoing);
            if result.is_err() {
                resource.engine(|engine| engine.link_failed(ConnectionState::NetworkFailure));
                return;
            }
        }
    }
}

fn next(resource: &Arc<Resource>, buffer: &mut [u8]) -> Option<Outgoing> {
    resource.engine(|engine| engine.next_data_packet(buffer))
}

/// Sends a packet, and tells the engine about its payload whether that worked or not.
fn send(resource: &Arc<Resource>, socket: &TcpSocket, buffer: &[u8], outgoing: Outgoing) -> Result {
    let head = buffer.get(..outgoing.head).ok_or(EINVAL)?;
    let follows = outgoing.payload != Payload::None;
    let mut result = send_bytes(resource, socket, head, follows);
    match outgoing.payload {
        Payload::None => {}
        Payload::Request {
            device,
            request,
            stays,
            ..
        } => {
            if result.is_ok() {
                result = send_bio(resource, socket, device, request, stays);
            }
            let success = result.is_ok();
            resource.engine(|engine| engine.request_sent(device, request, success));
        }
        Payload::PeerRequest {
            device,
            peer_request,
            ..
        } => {
            let pages = resource.peek(|guarded| guarded.take_pages(device, peer_request));
            if result.is_ok() {
                result = match pages.as_ref() {
                    Some(pages) => send_pages(resource, socket, pages.vecs(), true),
                    None => Err(EIO),
                };
            }
            drop(pages);
            let success = result.is_ok();
            resource.engine(|engine| engine.reply_sent(device, peer_request, success));
        }
    }
    result
}

fn send_bio(
    resource: &Arc<Resource>,
    socket: &TcpSocket,
    device: DeviceIndex,
    request: Id,
    lend: bool,
) -> Result {
    let pin = resource.peek(|guarded| {
        guarded
            .bio(device, request)
            .map(|waiting| waiting.bio.pin())
    });
    let pin = pin.ok_or(EIO)?;
    send_pages(resource, socket, pin.vecs(), lend)
}

fn send_pages(
    resource: &Arc<Resource>,
    socket: &TcpSocket,
    vecs: BioVecs<'_>,
    lend: bool,
) -> Result {
    let mut sent = 0;
    while sent < vecs.len() {
        let options = SendOptions {
            lend,
            ..SendOptions::default()
        };
        match socket.send_pages(vecs.from(sent), options) {
            Ok(count) => sent += count,
            Err(EAGAIN) => stalled(resource)?,
            Err(error) => return Err(error),
        }
        resource.peek(|guarded| guarded.engine.send_goes_on());
    }
    Ok(())
}

fn send_bytes(resource: &Arc<Resource>, socket: &TcpSocket, bytes: &[u8], more: bool) -> Result {
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        let options = SendOptions {
            more,
            ..SendOptions::default()
        };
        match socket.send(rest, options) {
            Ok(count) => sent += count,
            Err(EAGAIN) => stalled(resource)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The socket took nothing for a whole `timeout`.
fn stalled(resource: &Arc<Resource>) -> Result {
    if resource.engine(|engine| engine.send_stalled()) {
        Err(ETIMEDOUT)
    } else {
        Ok(())
    }
}

/// Sends what the engine has for the meta socket.
pub(crate) fn run_meta(resource: &Arc<Resource>, link: &Arc<Link>, stop: &StopFlag) {
    let Link::Open { meta, .. } = &**link else {
        return;
    };
    let Ok(mut buffer) = KVec::from_elem(0u8, SEND_BUFFER, GFP_KERNEL) else {
        return resource.engine(|engine| engine.link_failed(ConnectionState::NetworkFailure));
    };
    let _noio = NoIo::enter();
    while resource.meta_work.wait(stop) {
        while let Some(count) = resource.engine(|engine| engine.next_meta_packets(&mut buffer)) {
            let bytes = buffer.get(..count).unwrap_or(&[]);
            if send_bytes(resource, meta, bytes, false).is_err() {
                resource.engine(|engine| engine.link_failed(ConnectionState::NetworkFailure));
                return;
            }
        }
    }
}
