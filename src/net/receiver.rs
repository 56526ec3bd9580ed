// SPDX-License-Identifier: GPL-2.0-only

//! The receiver: finds the peer, reads what it sends, and cleans up after it.

use drbd_core::{
    resource::{
        device::DeviceIndex,
        AfterLink,
        Head,
        ReceiveError,
        Received,
        OWN_CHALLENGE,
        PEER_CHALLENGE_MAX, //
    },
    slab::Id,
    state::ConnectionState,
    wire::MAX_PACKET_HEAD, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

use super::{
    answers::{
        self,
        Answers, //
    },
    establish,
    link_failed,
    reader::Reader,
    sender,
    Link, //
};
use crate::{
    disk::io::PageIo,
    kernel_api::{
        bio_vecs::BioVecs,
        digest::{
            Digest,
            MAX_DIGEST_SIZE, //
        },
        kthread::{
            StopFlag,
            Thread, //
        },
        noio::NoIo,
        pages::PageBio,
        random,
        socket::{
            Patience,
            TcpSocket, //
        }, //
    },
    resource::{
        algorithms,
        Engine,
        Guarded,
        Resource, //
    }, //
};

/// What is read from the data socket at once: several small writes, the beginning of a large one.
const DATA_BUFFER: usize = 32 << 10;
/// What is read from the meta socket at once: a hundred acknowledgements.
const META_BUFFER: usize = 4096;

/// The receiver thread: one turn for each link.
pub(crate) fn run(resource: &Arc<Resource>, stop: &StopFlag) {
    // Memory may wait for this very link.
    let _noio = NoIo::enter();
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
            // The sockets are reset before requests end: pages that they had borrowed are used for something else then.
            resource.set_link(None);
            resource.engine(|engine| engine.link_down());
        }
        resource.room.wait_event(|| {
            resource.engine(|engine| {
                engine.wait_for_room();
                engine.link_is_drained()
            })
        });
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
    let mut challenge = [0; OWN_CHALLENGE];
    random::fill(&mut challenge);
    let up = resource.engine(|engine| engine.link_up(resolve_conflicts, challenge));
    if let (Ok(_), true, Link::Open { data, meta }) = (&threads, up, &*link) {
        // Whoever sent words before the threads were there raised these already.
        resource.data_work.raise();
        resource.meta_work.raise();
        let state = receive_all(resource, data, meta);
        link_failed(resource, state);
    } else {
        link_failed(resource, ConnectionState::NetworkFailure);
    }
    link.shut();
    if let Ok([data, meta, acks]) = threads {
        for thread in [&data, &meta, &acks] {
            thread.request_stop();
        }
        resource.operations.wake_all();
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
    let data = Thread::spawn(&resource.thread_name("drbd_w_")?, move |stop| {
        sender::run_data(&owner, &own_link, stop)
    })?;
    let (owner, own_link) = (resource.clone(), link.clone());
    let meta = Thread::spawn(&resource.thread_name("drbd_as_")?, move |stop| {
        answers::run(&owner, &own_link, stop)
    })?;
    let (owner, own_link) = (resource.clone(), link.clone());
    let acks = Thread::spawn(&resource.thread_name("drbd_a_")?, move |stop| {
        receive_acks(&owner, &own_link, stop)
    })?;
    acks.set_realtime();
    for thread in [&data, &meta, &acks] {
        resource.bind_thread(thread);
    }
    Ok([data, meta, acks])
}

/// Reads the data socket until it ends; answers what the connection becomes by that.
fn receive_all(resource: &Arc<Resource>, socket: &TcpSocket, meta: &TcpSocket) -> ConnectionState {
    let (Ok(mut reader), Ok(mut answers)) = (
        Reader::new(socket, DATA_BUFFER),
        Answers::new(resource, meta),
    ) else {
        return ConnectionState::NetworkFailure;
    };
    let mut integrity = None;
    loop {
        match receive_packet(resource, &mut reader, &mut answers, &mut integrity) {
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

/// The fixed part of a packet, out of the way of the reader.
struct Fixed {
    bytes: [u8; MAX_PACKET_HEAD],
    length: usize,
}

impl Fixed {
    /// Uses `whole` bytes of the reader, and keeps the last `length` of them.
    fn take(reader: &mut Reader<'_>, whole: usize, length: usize) -> Result<Self, Failure> {
        let mut bytes = [0; MAX_PACKET_HEAD];
        let target = bytes.get_mut(..length).ok_or(Failure::Peer)?;
        let source = reader.wait(whole)?;
        let header = whole.saturating_sub(length);
        target.copy_from_slice(source.get(header..).ok_or(Failure::Peer)?);
        reader.used(whole);
        Ok(Self { bytes, length })
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
}

/// What could be done with the bytes that have come.
enum Step {
    /// At least so many are needed.
    Need(usize),
    /// A packet; its header and fixed part are so many.
    Packet(Head, usize, Received),
}

/// Gives the engine the next packet if its header and fixed part have come.
fn step(engine: &mut Engine, bytes: &[u8]) -> Result<Step, ReceiveError> {
    let size = engine.header_size();
    let Some((header, rest)) = bytes.split_at_checked(size) else {
        return Ok(Step::Need(size));
    };
    let head = engine.data_head(header)?;
    let length = size + head.fixed;
    match rest.get(..head.fixed) {
        Some(fixed) => Ok(Step::Packet(head, length, engine.receive(head, fixed)?)),
        None => Ok(Step::Need(length)),
    }
}

/// `integrity` computes the digest in front of the data that comes.
fn receive_packet(
    resource: &Arc<Resource>,
    reader: &mut Reader<'_>,
    answers: &mut Answers<'_>,
    integrity: &mut Option<Arc<Digest>>,
) -> Result<(), Failure> {
    let mut needed = 0;
    let (head, length, mut received) = loop {
        reader.wait(needed)?;
        let bytes = reader.waiting();
        match resource.engine(|engine| step(engine, bytes))? {
            Step::Need(count) => needed = count,
            Step::Packet(head, length, received) => break (head, length, received),
        }
    };
    let fixed = Fixed::take(reader, length, head.fixed)?;
    if received == Received::Wait {
        received = receive_when_there_is_room(resource, head, fixed.get())?;
    }
    match received {
        Received::Done | Received::Wait => Ok(()),
        Received::Skip => Ok(reader.skip(head.payload as usize)?),
        Received::PeerPayload {
            device,
            peer_request,
            size,
            digest,
        } => {
            let sum = Sum::read(reader, digest, integrity)?;
            let pages =
                receive_peer_payload(resource, reader, device, peer_request, size as usize, &sum)?;
            take_peer_payload(resource, reader, answers, device, peer_request, pages)
        }
        Received::Digest {
            device,
            peer_request,
            size,
        } => receive_digest(resource, reader, device, peer_request, size as usize),
        Received::Algorithms { device } if resource.follow_algorithms(device) => Ok(()),
        Received::Algorithms { .. } => Err(Failure::Peer),
        Received::ReadReply {
            device,
            request,
            digest,
            ..
        } => {
            let sum = Sum::read(reader, digest, integrity)?;
            receive_read_reply(resource, reader, device, request, &sum)
        }
        Received::PeerAlgorithm => {
            *integrity = peer_algorithm(resource);
            let size = integrity.as_ref().map(|digest| digest.size() as u32);
            Ok(resource.engine(|engine| engine.peer_algorithm(size))?)
        }
        Received::AuthBytes => authenticate(resource, reader, head),
        Received::BitmapBytes { device } => {
            let length = head.payload as usize;
            let payload = reader.wait(length)?;
            resource
                .engine(|engine| engine.receive_bitmap_bytes(device, head, fixed.get(), payload))?;
            reader.used(length);
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
    let mut result = Ok(Received::Wait);
    while result == Ok(Received::Wait) {
        // Looks again after a while in any case: nobody promises to wake for everything that it may wait for.
        let _ = resource.room.wait_event_timeout(1000, || {
            result = resource.engine(|engine| engine.receive(head, fixed));
            result != Ok(Received::Wait)
        });
    }
    Ok(result?)
}

/// The peer wants something signed, or has signed what this node wanted.
fn authenticate(
    resource: &Arc<Resource>,
    reader: &mut Reader<'_>,
    head: Head,
) -> Result<(), Failure> {
    let length = head.payload as usize;
    let payload = reader.wait(length)?;
    let mut challenge = [0; PEER_CHALLENGE_MAX];
    let (length_to_sign, signer) = resource.peek(|guarded| {
        let bytes = guarded.engine.to_sign(head, payload);
        if let Some(target) = challenge.get_mut(..bytes.len()) {
            target.copy_from_slice(bytes);
        }
        (bytes.len(), guarded.algorithms.signer())
    });
    let mut signature = [0; MAX_DIGEST_SIZE];
    let signed = match (signer, challenge.get(..length_to_sign)) {
        (Some(signer), Some(bytes)) => signer.of_bytes(bytes, &mut signature),
        _ => Err(ENOKEY),
    };
    resource.engine(|engine| match signed {
        Ok(signature) => engine.signed(head, payload, signature),
        Err(_) => Err(engine.cannot_sign()),
    })?;
    reader.used(length);
    Ok(())
}

/// The digest that the peer's data begins with from now on.
fn peer_algorithm(resource: &Arc<Resource>) -> Option<Arc<Digest>> {
    let (name, known) = resource.peek(|guarded| {
        let name = *guarded.engine.peer_integrity().name();
        (name, guarded.algorithms.find(&name))
    });
    known.or_else(|| Arc::new(algorithms::load(&name).ok()?, GFP_KERNEL).ok())
}

/// The digest that came in front of data.
struct Sum<'a> {
    bytes: [u8; MAX_DIGEST_SIZE],
    length: usize,
    digest: Option<&'a Digest>,
}

impl<'a> Sum<'a> {
    /// Reads `length` bytes; none where there is no digest.
    fn read(
        reader: &mut Reader<'_>,
        length: u32,
        integrity: &'a Option<Arc<Digest>>,
    ) -> Result<Self, Failure> {
        let length = length as usize;
        let mut bytes = [0; MAX_DIGEST_SIZE];
        let target = bytes.get_mut(..length).ok_or(Failure::Peer)?;
        target.copy_from_slice(reader.wait(length)?);
        reader.used(length);
        Ok(Self {
            bytes,
            length,
            digest: integrity.as_deref(),
        })
    }

    /// Whether it is the digest of what came.
    fn fits(&self, vecs: BioVecs<'_>) -> bool {
        if self.length == 0 {
            return true;
        }
        let mut sum = [0; MAX_DIGEST_SIZE];
        self.digest
            .and_then(|digest| digest.of_vecs(vecs, &mut sum).ok())
            .is_some_and(|sum| self.bytes.get(..self.length) == Some(sum))
    }
}

fn receive_peer_payload(
    resource: &Arc<Resource>,
    reader: &mut Reader<'_>,
    device: DeviceIndex,
    id: Id,
    size: usize,
    sum: &Sum<'_>,
) -> Result<PageBio<PageIo>, Failure> {
    let received = resource.received.alloc(size).and_then(|mut pages| {
        reader.read_pages(&mut pages.vecs_mut())?;
        Ok(pages)
    });
    match received {
        Ok(pages) if sum.fits(pages.vecs()) => Ok(pages),
        Ok(_) => Err(resource
            .engine(|engine| engine.peer_payload_corrupt(device, id))
            .into()),
        Err(_) => {
            resource.engine(|engine| engine.peer_payload_received(device, id, false));
            Err(Failure::Socket)
        }
    }
}

/// Gives what was received to the engine. The answer of protocol B leaves before the write is started, and with no other
/// thread, unless more has come already: then it goes with those that follow.
fn take_peer_payload(
    resource: &Arc<Resource>,
    reader: &Reader<'_>,
    answers: &mut Answers<'_>,
    device: DeviceIndex,
    id: Id,
    pages: PageBio<PageIo>,
) -> Result<(), Failure> {
    let take = |guarded: &mut Guarded| {
        let old = guarded.keep_pages(device, id, pages);
        guarded.engine.peer_payload_received(device, id, true);
        old
    };
    let old = if reader.waiting().is_empty() {
        answers.send_after(take)?
    } else {
        resource.guarded(take)
    };
    drop(old);
    Ok(())
}

fn receive_digest(
    resource: &Arc<Resource>,
    reader: &mut Reader<'_>,
    device: DeviceIndex,
    id: Id,
    size: usize,
) -> Result<(), Failure> {
    match reader.wait(size) {
        Ok(bytes) => {
            resource.engine(|engine| engine.digest_received(device, id, bytes));
            reader.used(size);
            Ok(())
        }
        Err(_) => {
            resource.engine(|engine| engine.peer_payload_received(device, id, false));
            Err(Failure::Socket)
        }
    }
}

fn receive_read_reply(
    resource: &Arc<Resource>,
    reader: &mut Reader<'_>,
    device: DeviceIndex,
    id: Id,
    sum: &Sum<'_>,
) -> Result<(), Failure> {
    let waiting = resource.peek(|guarded| guarded.take_bio(device, id));
    let Some(mut waiting) = waiting else {
        return Err(Failure::Peer);
    };
    let mut target = waiting.bio.vecs_mut();
    let result = reader.read_pages(&mut target);
    let whole = result.is_ok() && sum.fits(target.as_shared());
    let (old, corrupt) = resource.guarded(|guarded| {
        let old = guarded.keep_bio(device, id, waiting);
        let engine = &mut guarded.engine;
        if result.is_ok() && !whole {
            return (old, Some(engine.read_reply_corrupt(device, id)));
        }
        engine.read_reply_received(device, id, whole);
        (old, None)
    });
    drop(old);
    match corrupt {
        Some(error) => Err(error.into()),
        None => Ok(result?),
    }
}

/// Reads the meta socket until it ends.
fn receive_acks(resource: &Arc<Resource>, link: &Arc<Link>, stop: &StopFlag) {
    let _noio = NoIo::enter();
    let Link::Open { meta, .. } = &**link else {
        return;
    };
    let Ok(mut reader) = Reader::new(meta, META_BUFFER) else {
        return link_failed(resource, ConnectionState::NetworkFailure);
    };
    // The peer may be ahead of us: what it says here is understood once the first words were exchanged.
    resource.operations.wait_event(|| {
        stop.should_stop() || resource.peek(|guarded| guarded.engine.is_introduced())
    });
    while !stop.should_stop() {
        let result = reader.fill().map_err(Failure::from);
        let state = match result.and_then(|()| take_acks(resource, &mut reader)) {
            Ok(()) => continue,
            Err(Failure::Socket) => ConnectionState::NetworkFailure,
            Err(Failure::Peer) => ConnectionState::ProtocolError,
        };
        return link_failed(resource, state);
    }
}

/// Gives all whole packets that were read to the engine, under one lock. Requests that have ended by them end here; block
/// I/O that was waiting for that is no matter of this thread, which alone knows that the peer lives.
fn take_acks(resource: &Arc<Resource>, reader: &mut Reader<'_>) -> Result<(), Failure> {
    let used = resource.engine_in_irq(|guarded| {
        let engine = &mut guarded.engine;
        let mut rest = reader.waiting();
        let whole = rest.len();
        // The first words go over the data socket: the size of a header is settled before anything comes here.
        while let Some((header, behind)) = rest.split_at_checked(engine.header_size()) {
            let head = engine.meta_head(header)?;
            let Some((fixed, behind)) = behind.split_at_checked(head.fixed) else {
                break;
            };
            engine.receive_meta(head, fixed)?;
            rest = behind;
        }
        Ok::<usize, ReceiveError>(whole - rest.len())
    })?;
    reader.used(used);
    Ok(())
}
