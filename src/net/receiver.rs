// SPDX-License-Identifier: GPL-2.0-only

//! The receiver: finds the peer, reads what it sends, and cleans up after it.

use drbd_core::{
    resource::{
        device::DeviceIndex,
        AfterLink,
        Head,
        ReceiveError,
        Received, //
    },
    slab::Id,
    state::ConnectionState, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

use super::{
    establish,
    sender,
    Link, //
};
use crate::{
    kernel_api::{
        kthread::{
            StopFlag,
            Thread, //
        },
        noio::NoIo,
        socket::{
            Patience,
            TcpSocket, //
        }, //
    },
    resource::Resource, //
};

/// The longest fixed part, or payload that is read into memory of our own.
const BUFFER: usize = 4096 + 512;

/// The receiver thread: one turn for each link.
pub(crate) fn run(resource: &Arc<Resource>, stop: &StopFlag) {
    loop {
        if resource.engine(|engine| engine.begin_connecting()) {
            match establish::establish(resource, stop) {
                Ok(sockets) => use_link(resource, sockets),
                Err(EINTR) => {}
                Err(error) => {
                    pr_err!(
                        "drbd: no socket to wait for the peer with: {}\n",
                        error.to_errno()
                    );
                    let _ = resource
                        .operations
                        .wait_event_timeout(1000, || stop.should_stop());
                }
            }
            resource.set_link(None);
            resource.engine(|engine| engine.link_down());
        }
        resource
            .room
            .wait_event(|| resource.engine(|engine| engine.link_is_drained()));
        let after = resource.engine(|engine| engine.link_closed());
        if after == AfterLink::Stop || stop.should_stop() {
            return;
        }
    }
}

/// Reads from a link until it ends; when this returns nobody uses its sockets.
fn use_link(resource: &Arc<Resource>, sockets: establish::Established) {
    let resolve_conflicts = sockets.resolve_conflicts;
    let timeout = resource
        .peek(|guarded| guarded.engine.connection().conf().map(|conf| conf.timeout))
        .unwrap_or(60);
    for socket in [&sockets.data, &sockets.meta] {
        socket.set_send_timeout(Patience::Milliseconds(timeout.saturating_mul(100)));
    }
    let link = Link::Open {
        data: sockets.data,
        meta: sockets.meta,
    };
    let Ok(link) = Arc::new(link, GFP_KERNEL) else {
        return;
    };
    resource.set_link(Some(link.clone()));
    let threads = start_threads(resource, &link);
    let up = resource.engine(|engine| engine.link_up(resolve_conflicts));
    if let (Ok(_), true, Link::Open { data, .. }) = (&threads, up, &*link) {
        // Whoever sent words before the threads were there raised these already.
        resource.data_work.raise();
        resource.meta_work.raise();
        let state = receive_all(resource, data);
        resource.engine(|engine| engine.link_failed(state));
    } else {
        resource.engine(|engine| engine.link_failed(ConnectionState::NetworkFailure));
    }
    link.shut();
    if let Ok([data, meta, acks]) = threads {
        for thread in [&data, &meta, &acks] {
            thread.request_stop();
        }
        resource.data_work.wake();
        resource.meta_work.wake();
        drop((data, meta, acks));
    }
    if let Link::Open { data, meta } = &*link {
        // Pages may be lent to the network: it must let go of them before they are used again.
        let _ = data.abort_on_close();
        let _ = meta.abort_on_close();
    }
}

fn start_threads(resource: &Arc<Resource>, link: &Arc<Link>) -> Result<[Thread; 3]> {
    let (owner, own_link) = (resource.clone(), link.clone());
    let data = Thread::spawn(&*resource.thread_name("drbd_w_")?, move |stop| {
        sender::run_data(&owner, &own_link, stop)
    })?;
    let (owner, own_link) = (resource.clone(), link.clone());
    let meta = Thread::spawn(&*resource.thread_name("drbd_as_")?, move |stop| {
        sender::run_meta(&owner, &own_link, stop)
    })?;
    let (owner, own_link) = (resource.clone(), link.clone());
    let acks = Thread::spawn(&*resource.thread_name("drbd_a_")?, move |stop| {
        receive_acks(&owner, &own_link, stop)
    })?;
    acks.set_realtime();
    Ok([data, meta, acks])
}

/// Reads the data socket until it ends; answers what the connection becomes by that.
fn receive_all(resource: &Arc<Resource>, socket: &TcpSocket) -> ConnectionState {
    let Ok(mut buffer) = KVec::from_elem(0u8, BUFFER, GFP_KERNEL) else {
        return ConnectionState::NetworkFailure;
    };
    let _noio = NoIo::enter();
    loop {
        match receive_packet(resource, socket, &mut buffer) {
            Ok(()) => {}
            Err(Failure::Socket) => return ConnectionState::BrokenPipe,
            Err(Failure::Peer) => return ConnectionState::ProtocolError,
        }
    }
}

/// Why no more packets are read.
enum Failure {
    /// The socket ended.
    Socket,
    /// The peer said something wrong.
    Peer,
}

impl From<Error> for Failure {
    fn from(_: Error) -> Self {
        Self::Socket
    }
}

impl From<ReceiveError> for Failure {
    fn from(_: ReceiveError) -> Self {
        Self::Peer
    }
}

fn read(socket: &TcpSocket, buffer: &mut [u8]) -> Result {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match socket.receive(rest, Patience::Endless, true)? {
            0 => return Err(ECONNRESET),
            count => filled += count,
        }
    }
    Ok(())
}

fn receive_packet(
    resource: &Arc<Resource>,
    socket: &TcpSocket,
    buffer: &mut [u8],
) -> Result<(), Failure> {
    let size = resource.peek(|guarded| guarded.engine.header_size());
    let header = buffer.get_mut(..size).ok_or(Failure::Peer)?;
    read(socket, header)?;
    let head = resource.engine(|engine| engine.data_head(header))?;
    let (fixed, rest) = buffer
        .split_at_mut_checked(head.fixed)
        .ok_or(Failure::Peer)?;
    read(socket, fixed)?;
    match receive_when_there_is_room(resource, head, fixed)? {
        Received::Done | Received::Wait => Ok(()),
        Received::Skip => skip(socket, rest, head.payload as usize),
        Received::PeerPayload {
            device,
            peer_request,
            size,
        } => receive_peer_payload(resource, socket, device, peer_request, size as usize),
        Received::ReadReply {
            device, request, ..
        } => receive_read_reply(resource, socket, device, request),
        Received::BitmapBytes { device } => {
            let payload = rest.get_mut(..head.payload as usize).ok_or(Failure::Peer)?;
            read(socket, payload)?;
            resource.engine(|engine| engine.receive_bitmap_bytes(device, head, fixed, payload))?;
            Ok(())
        }
    }
}

/// Gives a packet to the engine, as often as it takes until there is room for it.
fn receive_when_there_is_room(
    resource: &Arc<Resource>,
    head: Head,
    fixed: &[u8],
) -> Result<Received, Failure> {
    let mut result = resource.engine(|engine| engine.receive(head, fixed));
    while result == Ok(Received::Wait) {
        resource.room.wait_event_timeout(1000, || {
            result = resource.engine(|engine| engine.receive(head, fixed));
            result != Ok(Received::Wait)
        });
    }
    Ok(result?)
}

fn skip(socket: &TcpSocket, buffer: &mut [u8], mut left: usize) -> Result<(), Failure> {
    while left > 0 {
        let length = left.min(buffer.len());
        let part = buffer.get_mut(..length).ok_or(Failure::Peer)?;
        read(socket, part)?;
        left -= length;
    }
    Ok(())
}

fn receive_peer_payload(
    resource: &Arc<Resource>,
    socket: &TcpSocket,
    device: DeviceIndex,
    id: Id,
    size: usize,
) -> Result<(), Failure> {
    let received = read_pages(resource, socket, size);
    let failed = received.is_err();
    match received {
        Ok(pages) => {
            let old = resource.guarded(|guarded| {
                let old = guarded.keep_pages(device, id, pages);
                guarded.engine.peer_payload_received(device, id, true);
                old
            });
            drop(old);
        }
        Err(_) => {
            resource.engine(|engine| engine.peer_payload_received(device, id, false));
        }
    }
    if failed {
        Err(Failure::Socket)
    } else {
        Ok(())
    }
}

fn read_pages(
    resource: &Arc<Resource>,
    socket: &TcpSocket,
    size: usize,
) -> Result<crate::kernel_api::pages::PageBio<crate::disk::io::PageIo>> {
    let mut pages = resource.received.alloc(size)?;
    let mut vecs = pages.vecs_mut();
    let mut filled = 0;
    while filled < size {
        let mut rest = vecs.reborrow().range(filled, size - filled);
        match socket.receive_pages(&mut rest, Patience::Endless, true)? {
            0 => return Err(ECONNRESET),
            count => filled += count,
        }
    }
    Ok(pages)
}

fn receive_read_reply(
    resource: &Arc<Resource>,
    socket: &TcpSocket,
    device: DeviceIndex,
    id: Id,
) -> Result<(), Failure> {
    let waiting = resource.peek(|guarded| guarded.take_bio(device, id));
    let Some(mut waiting) = waiting else {
        return Err(Failure::Peer);
    };
    let mut vecs = waiting.bio.vecs_mut();
    let size = vecs.len();
    let mut filled = 0;
    let mut result = Ok(());
    while filled < size && result.is_ok() {
        let mut rest = vecs.reborrow().range(filled, size - filled);
        match socket.receive_pages(&mut rest, Patience::Endless, true) {
            Ok(0) | Err(_) => result = Err(Failure::Socket),
            Ok(count) => filled += count,
        }
    }
    let success = result.is_ok();
    let old = resource.guarded(|guarded| {
        let old = guarded.keep_bio(device, id, waiting);
        guarded.engine.read_reply_received(device, id, success);
        old
    });
    drop(old);
    result
}

/// Reads the meta socket until it ends.
fn receive_acks(resource: &Arc<Resource>, link: &Arc<Link>, stop: &StopFlag) {
    let Link::Open { meta, .. } = &**link else {
        return;
    };
    let mut buffer = [0; 256];
    let _noio = NoIo::enter();
    while !stop.should_stop() {
        let state = match receive_ack(resource, meta, &mut buffer) {
            Ok(()) => continue,
            Err(Failure::Socket) => ConnectionState::NetworkFailure,
            Err(Failure::Peer) => ConnectionState::ProtocolError,
        };
        return resource.engine(|engine| engine.link_failed(state));
    }
}

fn receive_ack(
    resource: &Arc<Resource>,
    socket: &TcpSocket,
    buffer: &mut [u8],
) -> Result<(), Failure> {
    // The first words go over the data socket; their size is settled before the peer acknowledges anything.
    let mut first = [0; 1];
    read(socket, &mut first)?;
    let size = resource.peek(|guarded| guarded.engine.header_size());
    let header = buffer.get_mut(..size).ok_or(Failure::Peer)?;
    let (start, rest) = header.split_first_mut().ok_or(Failure::Peer)?;
    [*start] = first;
    read(socket, rest)?;
    let head = resource.engine(|engine| engine.meta_head(header))?;
    let fixed = buffer.get_mut(..head.fixed).ok_or(Failure::Peer)?;
    read(socket, fixed)?;
    resource.engine(|engine| engine.receive_meta(head, fixed))?;
    Ok(())
}
