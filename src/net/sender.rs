// SPDX-License-Identifier: GPL-2.0-only

//! The thread that sends on the data socket.
//!
//! Many small packets go into one call: heads and small payloads are copied behind each other. Larger payloads are lent to
//! the network, or copied by it, page by page.

use drbd_core::{
    resource::{
        device::DeviceIndex,
        Payload,
        SEND_BUFFER, //
    },
    slab::Id,
    state::ConnectionState, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

use super::{
    link_failed,
    Link, //
};
use crate::{
    disk::io::PageIo,
    kernel_api::{
        bio::BioPin,
        bio_vecs::BioVecs,
        digest::{
            Digest,
            MAX_DIGEST_SIZE, //
        },
        kthread::StopFlag,
        module_params,
        noio::NoIo,
        pages::PageBio,
        socket::{
            SendOptions,
            TcpSocket, //
        }, //
    },
    resource::{
        Guarded,
        Resource, //
    }, //
};

/// A payload up to this many bytes is copied into the batch.
const SMALL: u32 = 16 << 10;
/// Bytes of a batch.
const BATCH: usize = 64 << 10;
/// Payloads in a batch.
const PAYLOADS: usize = 32;

/// Where the bytes of a payload are, and what keeps them there.
enum Source {
    Bio(BioPin),
    Pages(PageBio<PageIo>),
}

impl Source {
    fn vecs(&self) -> BioVecs<'_> {
        match self {
            Self::Bio(pin) => pin.vecs(),
            Self::Pages(pages) => pages.vecs(),
        }
    }
}

/// A payload of the batch.
struct Part {
    payload: Payload,
    source: Source,
    /// The digest in front of it, and where in the batch that goes.
    digest: Option<(Arc<Digest>, usize)>,
    /// Where in the batch its bytes go; `None` for one that is sent from its pages, after all else.
    place: Option<usize>,
}

/// Packets that are sent together.
struct Batch {
    buffer: KVec<u8>,
    filled: usize,
    parts: KVec<Part>,
}

/// Sends what the engine has for the data socket.
pub(crate) fn run_data(resource: &Arc<Resource>, link: &Arc<Link>, stop: &StopFlag) {
    let _noio = NoIo::enter();
    let Link::Open { data, .. } = &**link else {
        return;
    };
    let Ok(mut batch) = Batch::new() else {
        return link_failed(resource, ConnectionState::NetworkFailure);
    };
    while resource.data_work.wait(stop) {
        while resource.guarded_in_sender(|guarded| batch.collect(guarded)) {
            let result = batch
                .copy_payloads()
                .and_then(|()| batch.send(resource, data));
            batch.sent(resource, result.is_ok());
            if result.is_err() {
                return link_failed(resource, ConnectionState::NetworkFailure);
            }
        }
    }
}

impl Batch {
    fn new() -> Result<Self> {
        Ok(Self {
            buffer: KVec::from_elem(0, BATCH, GFP_KERNEL)?,
            filled: 0,
            parts: KVec::with_capacity(PAYLOADS, GFP_KERNEL)?,
        })
    }

    /// Takes packets from the engine until the batch is full, or nothing is left; false where there was nothing.
    ///
    /// Without `tcp-cork` each packet is a batch of its own.
    fn collect(&mut self, guarded: &mut Guarded) -> bool {
        self.filled = 0;
        let corked = guarded
            .engine
            .connection()
            .conf()
            .is_none_or(|conf| conf.tcp_cork);
        while self.filled + SEND_BUFFER + SMALL as usize <= BATCH && self.parts.len() < PAYLOADS {
            let Some(rest) = self.buffer.get_mut(self.filled..) else {
                break;
            };
            let Some(outgoing) = guarded.engine.next_data_packet(rest) else {
                break;
            };
            self.filled += outgoing.head;
            let (size, digest_size, source) = match outgoing.payload {
                Payload::None if corked => continue,
                Payload::None => break,
                Payload::Request {
                    device,
                    request,
                    size,
                    digest,
                    ..
                } => (size, digest, bio_of(guarded, device, request)),
                Payload::PeerRequest {
                    device,
                    peer_request,
                    size,
                    digest,
                } => (
                    size,
                    digest,
                    guarded.take_pages(device, peer_request).map(Source::Pages),
                ),
            };
            let digest = (digest_size > 0).then(|| {
                let digest = guarded.algorithms.find(guarded.engine.integrity().name());
                digest.map(|digest| (digest, self.filled))
            });
            let source = source.filter(|_| !matches!(digest, Some(None)));
            self.filled += digest_size as usize;
            let Some(source) = source else {
                // Nothing to send where the peer expects bytes: the connection ends.
                tell_engine(guarded, outgoing.payload, false);
                guarded.engine.link_failed(ConnectionState::ProtocolError);
                return false;
            };
            let small = size <= SMALL;
            let place = small.then_some(self.filled);
            if small {
                self.filled += size as usize;
            }
            let part = Part {
                payload: outgoing.payload,
                source,
                digest: digest.flatten(),
                place,
            };
            // There is room for `PAYLOADS` of them.
            if let Err(error) = self.parts.push_within_capacity(part) {
                let _ = error;
                return false;
            }
            if !small || !corked {
                break;
            }
        }
        self.filled > 0
    }

    /// Copies small payloads to their places, and computes digests.
    fn copy_payloads(&mut self) -> Result {
        for part in self.parts.iter() {
            let vecs = part.source.vecs();
            if let Some(place) = part.place {
                let target = self
                    .buffer
                    .get_mut(place..place + vecs.len())
                    .ok_or(EINVAL)?;
                vecs.copy_out(0, target)?;
            }
            let Some((digest, at)) = &part.digest else {
                continue;
            };
            let mut sum = [0; MAX_DIGEST_SIZE];
            let sum = match part.place {
                // Of the copy: whatever becomes of the pages, the peer gets what the digest says.
                Some(place) => {
                    let copy = self.buffer.get(place..place + vecs.len()).ok_or(EINVAL)?;
                    digest.of_bytes(copy, &mut sum)?
                }
                None => digest.of_vecs(vecs, &mut sum)?,
            };
            let target = self.buffer.get_mut(*at..*at + sum.len()).ok_or(EINVAL)?;
            target.copy_from_slice(sum);
        }
        Ok(())
    }

    /// Whether the pages of a part hold something else than what its digest says.
    fn was_changed(&self, part: &Part) -> bool {
        let Some((digest, at)) = &part.digest else {
            return false;
        };
        let mut sum = [0; MAX_DIGEST_SIZE];
        let now = digest.of_vecs(part.source.vecs(), &mut sum);
        now.is_ok_and(|now| self.buffer.get(*at..*at + now.len()) != Some(now))
    }

    fn send(&self, resource: &Arc<Resource>, socket: &TcpSocket) -> Result {
        let large = self.parts.last().filter(|part| part.place.is_none());
        let bytes = self.buffer.get(..self.filled).ok_or(EINVAL)?;
        send_bytes(resource, socket, bytes, large.is_some())?;
        let Some(part) = large else {
            return Ok(());
        };
        let stays = match part.payload {
            // With a digest the pages must not change any more once it is computed, as far as that can be had.
            Payload::Request { stays, digest, .. } => stays && digest == 0,
            _ => true,
        };
        let lend = stays && !module_params::disable_sendpage();
        send_pages(resource, socket, part.source.vecs(), lend)
    }

    /// Tells the engine what became of the payloads, and lets go of them.
    fn sent(&mut self, resource: &Arc<Resource>, success: bool) {
        if !self.parts.is_empty() {
            for part in self.parts.iter().filter(|_| success) {
                if let Payload::Request {
                    device, request, ..
                } = part.payload
                {
                    if self.was_changed(part) {
                        resource.guarded_in_sender(|guarded| {
                            guarded.engine.buffer_was_changed(device, request);
                        });
                    }
                }
            }
            resource.guarded_in_sender(|guarded| {
                for part in self.parts.iter() {
                    tell_engine(guarded, part.payload, success);
                }
            });
        }
        self.parts.clear();
    }
}

fn bio_of(guarded: &mut Guarded, device: DeviceIndex, request: Id) -> Option<Source> {
    let waiting = guarded.bio(device, request)?;
    Some(Source::Bio(waiting.bio.pin()))
}

fn tell_engine(guarded: &mut Guarded, payload: Payload, success: bool) {
    match payload {
        Payload::None => {}
        Payload::Request {
            device, request, ..
        } => {
            guarded.engine.request_sent(device, request, success);
        }
        Payload::PeerRequest {
            device,
            peer_request,
            ..
        } => {
            guarded.engine.reply_sent(device, peer_request, success);
        }
    }
}

fn send_pages(
    resource: &Arc<Resource>,
    socket: &TcpSocket,
    vecs: BioVecs<'_>,
    lend: bool,
) -> Result {
    with_patience(resource, vecs.len(), |sent| {
        let options = SendOptions {
            lend,
            ..SendOptions::default()
        };
        socket.send_pages(vecs.from(sent), options)
    })
}

/// Sends `bytes`, with patience for a peer that is slow; `ETIMEDOUT` where that has an end. Sleeps.
pub(super) fn send_bytes(
    resource: &Arc<Resource>,
    socket: &TcpSocket,
    bytes: &[u8],
    more: bool,
) -> Result {
    with_patience(resource, bytes.len(), |sent| {
        let options = SendOptions {
            more,
            ..SendOptions::default()
        };
        socket.send(bytes.get(sent..).ok_or(EINVAL)?, options)
    })
}

/// Calls `send` with what was sent so far until that is `length`, and counts the times in a row that it sent nothing.
fn with_patience(
    resource: &Arc<Resource>,
    length: usize,
    mut send: impl FnMut(usize) -> Result<usize>,
) -> Result {
    let mut sent = 0;
    let mut was_stalled = false;
    while sent < length {
        match send(sent) {
            Ok(count) => {
                sent += count;
                // Not after every call: it takes the lock.
                if core::mem::take(&mut was_stalled) {
                    resource.peek(|guarded| guarded.engine.send_goes_on());
                }
            }
            Err(EAGAIN) => {
                was_stalled = true;
                stalled(resource)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The socket took nothing for a whole `timeout`.
fn stalled(resource: &Arc<Resource>) -> Result {
    if resource.engine_in_irq(|guarded| guarded.engine.send_stalled()) {
        Err(ETIMEDOUT)
    } else {
        Ok(())
    }
}
