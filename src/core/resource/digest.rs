// SPDX-License-Identifier: GPL-2.0-only

//! Digests of blocks: a checksum-based resync and online verify compare them instead of the data.
//!
//! The shell computes them, for the data is the shell's ([`Effect::Digest`]). The engine keeps them, by the place of the
//! peer request in its table, until the packet that carries one is sent, or the digest of the other node is there.

use super::connection::DataItem;
use super::device::{Device, DeviceIndex};
use super::effect::Effect;
use super::log::LogMessage;
use super::peer_request::{Purpose, Stage};
use super::receive::ReceiveError;
use super::request::Operation;
use super::send::{Outgoing, Payload};
use super::Resource;
use crate::num::{u32_to_usize, usize_to_u64};
use crate::slab::Id;
use crate::state::ConnectionState;
use crate::wire::{BlockRequest, Command, Packet};

/// The longest digest, in bytes (`HASH_MAX_DIGESTSIZE`).
pub const MAX_DIGEST: usize = 64;

/// What a digest is for, and so which algorithm of the configuration makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `verify-alg`
    Verify,
    /// `csums-alg`
    Checksums,
}

/// A digest of up to [`MAX_DIGEST`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    length: u8,
    bytes: [u8; MAX_DIGEST],
}

impl Digest {
    /// No digest.
    pub const NONE: Self = Self {
        length: 0,
        bytes: [0; MAX_DIGEST],
    };

    /// A digest of these bytes; `None` where there are none, or too many.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut digest = Self::NONE;
        digest
            .bytes
            .get_mut(..bytes.len())
            .filter(|target| !target.is_empty())?
            .copy_from_slice(bytes);
        digest.length = u8::try_from(bytes.len()).ok()?;
        Some(digest)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }
}

impl Purpose {
    /// The algorithm of the digests that this is about.
    pub const fn algorithm(self) -> Option<Algorithm> {
        match self {
            Self::ChecksumRequest | Self::ChecksumRead => Some(Algorithm::Checksums),
            Self::VerifySource | Self::VerifyTarget => Some(Algorithm::Verify),
            Self::Write | Self::Read | Self::ResyncRead | Self::ResyncWrite => None,
        }
    }

    /// Whether the data may have to be sent once the digest is known. Otherwise its pages are of no use any more.
    pub const fn needs_data_after_digest(self) -> bool {
        matches!(self, Self::ChecksumRead)
    }
}

impl Device<'_> {
    /// The digest that is kept for a peer request.
    fn digest(&self, id: Id) -> Option<&Digest> {
        self.digests.get(u32_to_usize(id.index()))
    }

    /// Keeps a digest for a peer request.
    fn keep_digest(&mut self, id: Id, digest: Digest) {
        if let Some(place) = self.digests.get_mut(u32_to_usize(id.index())) {
            *place = digest;
        }
    }
}

impl Resource<'_> {
    /// Whether a payload can be a digest.
    pub(super) fn check_digest_size(payload: u32) -> Result<(), ReceiveError> {
        if payload == 0 || u32_to_usize(payload) > MAX_DIGEST {
            return Err(ReceiveError::Malformed("a digest of an impossible length"));
        }
        Ok(())
    }

    /// The payload that [`Received::Digest`](super::Received::Digest) spoke of: the peer's digest.
    ///
    /// Where it will never come: [`peer_payload_received`](Self::peer_payload_received).
    pub fn digest_received(&mut self, index: DeviceIndex, id: Id, bytes: &[u8]) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let Some(peer_request) = device.peer_requests.get_mut(id) else {
            return;
        };
        if peer_request.orphaned {
            self.release_peer_request(index, id);
            return;
        }
        let reads_for_resync = peer_request.purpose == Purpose::ChecksumRead;
        peer_request.stage = if reads_for_resync {
            Stage::Paced
        } else {
            Stage::Waiting
        };
        device.keep_digest(id, Digest::new(bytes).unwrap_or(Digest::NONE));
        if reads_for_resync {
            self.start_or_park(index, id);
        } else {
            self.enqueue_peer_request(index, id);
        }
    }

    /// The block is in its pages: the shell is asked for its digest.
    ///
    /// The effect takes the room that is kept for the one that releases the peer request: that comes later.
    pub(super) fn ask_for_digest(&mut self, index: DeviceIndex, id: Id) {
        if let Some(peer_request) = self.peer_request_mut(index, id) {
            peer_request.stage = Stage::Digesting;
        }
        self.effect(Effect::Digest {
            device: index,
            peer_request: id,
        });
    }

    /// The digest that [`Effect::Digest`] asked for; `None` where it could not be computed.
    pub fn digest_done(&mut self, index: DeviceIndex, id: Id, bytes: Option<&[u8]>) {
        let Some(peer_request) = self.peer_request_mut(index, id).map(|request| *request) else {
            return;
        };
        if peer_request.stage != Stage::Digesting {
            return;
        }
        if peer_request.orphaned {
            self.release_peer_request(index, id);
            return;
        }
        if self.is_cancelled(index, peer_request.purpose) {
            return self.cancel_resync_read(index, id, &peer_request);
        }
        let digest = bytes.and_then(Digest::new);
        match (peer_request.purpose, digest) {
            (Purpose::ChecksumRequest, None) => self.ask_without_digest(index, id),
            (Purpose::ChecksumRequest | Purpose::VerifyTarget, Some(digest)) => {
                if let Some(device) = self.device_mut(index) {
                    device.keep_digest(id, digest);
                }
                self.queue_reply(index, id);
            }
            (Purpose::ChecksumRead, digest) => {
                match digest.map(|digest| self.equals_received(index, id, &digest)) {
                    Some(Some(true)) => self.block_has_equal_checksum(index, id, &peer_request),
                    Some(None) => self.wrong_digest(index, id, Command::CsumResyncRequest),
                    // Without a digest of our own: the data is never wrong.
                    Some(Some(false)) | None => {
                        self.queue_reply(index, id);
                        self.unregister_peer_request(index, id);
                    }
                }
            }
            (Purpose::VerifySource, Some(digest)) => {
                match self.equals_received(index, id, &digest) {
                    Some(equal) => self.block_verified(index, id, &peer_request, equal),
                    None => self.wrong_digest(index, id, Command::OvReply),
                }
            }
            // No algorithm where one was agreed on.
            _ => {
                self.release_peer_request(index, id);
                self.connection_failed(ConnectionState::ProtocolError);
            }
        }
    }

    /// A block that the target cannot read is asked for as in any other resync.
    pub(super) fn ask_without_digest(&mut self, index: DeviceIndex, id: Id) {
        if let Some(device) = self.device_mut(index) {
            device.keep_digest(id, Digest::NONE);
        }
        self.queue_reply(index, id);
    }

    /// Whether the peer's digest is the same; `None` where it has another length, so that it was not made by the
    /// algorithm that both agreed on.
    fn equals_received(&self, index: DeviceIndex, id: Id, own: &Digest) -> Option<bool> {
        let received = self.device(index)?.digest(id)?;
        (received.length == own.length).then(|| received.as_bytes() == own.as_bytes())
    }

    fn wrong_digest(&mut self, index: DeviceIndex, id: Id, command: Command) {
        self.release_peer_request(index, id);
        self.log(
            None,
            LogMessage::BadPacket {
                name: command.name(),
                why: "a digest of another length",
            },
        );
        self.connection_failed(ConnectionState::ProtocolError);
    }

    /// The answer, or the request with a digest, waits for its turn on the data socket.
    pub(super) fn queue_reply(&mut self, index: DeviceIndex, id: Id) {
        if let Some(peer_request) = self.peer_request_mut(index, id) {
            peer_request.stage = Stage::Replying;
        }
        self.send_data(DataItem::Reply(index, id));
    }

    /// A packet that carries the digest of a block, whose turn it is.
    pub(super) fn send_digest(
        &mut self,
        index: DeviceIndex,
        id: Id,
        buffer: &mut [u8],
    ) -> Option<Outgoing> {
        let device = self.device_mut(index)?;
        let (volume, digest) = (device.volume, *device.digest(id)?);
        let waiting = device.peer_requests.get_mut(id)?;
        let peer_request = *waiting;
        if peer_request.orphaned {
            // Nobody would wait for the answer.
            self.release_peer_request(index, id);
            return None;
        }
        if peer_request.purpose == Purpose::ChecksumRequest {
            // From here on it is a request like any other: the data may come.
            waiting.purpose = Purpose::ResyncWrite;
            waiting.operation = Operation::Write;
            waiting.stage = Stage::Requested;
        } else {
            waiting.stage = Stage::Answered;
        }
        let request = BlockRequest {
            sector: peer_request.sector,
            block_id: peer_request.block_id,
            size: peer_request.size,
        };
        let bytes = digest.as_bytes();
        let packet = match peer_request.purpose {
            Purpose::ChecksumRequest if bytes.is_empty() => Packet::ResyncDataRequest(request),
            Purpose::ChecksumRequest => Packet::CsumResyncRequest(request),
            _ => Packet::OvReply(request),
        };
        let payload = u32::try_from(usize_to_u64(bytes.len())).ok()?;
        let head = self.encode(&packet, volume, payload, buffer)?;
        let end = head.checked_add(bytes.len())?;
        buffer.get_mut(head..end)?.copy_from_slice(bytes);
        Some(Outgoing {
            head: end,
            payload: Payload::None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(Digest::new(&[]), None);
        assert_eq!(Digest::new(&[1; MAX_DIGEST + 1]), None);
        for length in 1..=MAX_DIGEST {
            let bytes = &[7; MAX_DIGEST][..length];
            assert_eq!(Digest::new(bytes).unwrap().as_bytes(), bytes);
        }
        assert_ne!(Digest::new(&[0; 4]), Digest::new(&[0; 5]));
    }
}
