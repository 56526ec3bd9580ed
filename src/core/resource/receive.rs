// SPDX-License-Identifier: GPL-2.0-only

//! What comes in on the data socket.
//!
//! The shell reads a header ([`header_size`](Resource::header_size) bytes), asks [`data_head`](Resource::data_head) what
//! follows, reads the fixed part, and gives both to [`receive`](Resource::receive). The answer says what to do with the
//! payload.

use super::connection::Phase;
use super::device::DeviceIndex;
use super::log::LogMessage;
use super::peer_received::PeerWrite;
use super::peer_request::Purpose;
use super::request::Operation;
use super::Resource;
use crate::num::{u32_to_usize, usize_to_u64};
use crate::slab::Id;
use crate::state::ConnectionState;
use crate::wire::{
    Command, FeatureFlags, Header, HeaderFormat, Packet, Socket, BITMAP_PACKET_SIZE,
    PROTOCOL_VERSION_FIRST_CONTACT,
};

/// A header that makes sense, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which packet.
    pub command: Command,
    /// Which volume; 0 where it is about the connection.
    pub volume: u16,
    /// Bytes of its fixed part.
    pub fixed: usize,
    /// Bytes after that.
    pub payload: u32,
}

/// What is to be done with the payload of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// There is none, or it was taken: read the next header.
    Done,
    /// There is no room. Wait for [`Wishes::room`](super::Wishes::room), and give the same packet again.
    Wait,
    /// Read the payload and forget it.
    Skip,
    /// Read the payload into new pages for the peer request, then call
    /// [`peer_payload_received`](Resource::peer_payload_received).
    PeerPayload {
        /// The device.
        device: DeviceIndex,
        /// The peer request.
        peer_request: Id,
        /// Bytes.
        size: u32,
        /// Bytes of the digest that the payload begins with. Where it is not that of the data, call
        /// [`peer_payload_corrupt`](Resource::peer_payload_corrupt) instead.
        digest: u32,
    },
    /// Read the payload, a digest of at most [`MAX_DIGEST`](super::digest::MAX_DIGEST) bytes, then call
    /// [`digest_received`](Resource::digest_received); where it cannot be read,
    /// [`peer_payload_received`](Resource::peer_payload_received).
    Digest {
        /// The device.
        device: DeviceIndex,
        /// The peer request.
        peer_request: Id,
        /// Bytes.
        size: u32,
    },
    /// Read the payload into the bio of the request, then call
    /// [`read_reply_received`](Resource::read_reply_received).
    ReadReply {
        /// The device.
        device: DeviceIndex,
        /// The request.
        request: Id,
        /// Bytes.
        size: u32,
        /// Bytes of the digest that the payload begins with. Where it is not that of the data, call
        /// [`read_reply_corrupt`](Resource::read_reply_corrupt) instead.
        digest: u32,
    },
    /// Look for the digest that [`peer_integrity`](Resource::peer_integrity) names, and tell
    /// [`peer_algorithm`](Resource::peer_algorithm).
    PeerAlgorithm,
    /// Read the payload, at most [`PEER_CHALLENGE_MAX`](super::PEER_CHALLENGE_MAX) bytes, and sign what
    /// [`to_sign`](Resource::to_sign) says.
    AuthBytes,
    /// There is no payload. Look for the algorithms of [`wanted_algorithms`](Resource::wanted_algorithms), then call
    /// [`algorithms_found`](Resource::algorithms_found).
    Algorithms {
        /// The device.
        device: DeviceIndex,
    },
    /// Read the payload, at most 4096 bytes, and give it to
    /// [`receive_bitmap_bytes`](Resource::receive_bitmap_bytes).
    BitmapBytes {
        /// The device.
        device: DeviceIndex,
    },
}

/// Why a packet cannot be accepted: the connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// The header does not begin as a header does, or has an impossible length.
    BadHeader,
    /// No such packet, or not now.
    Unexpected,
    /// The packet's parts do not make sense.
    Malformed(&'static str),
    /// It is about a volume that is not configured here.
    UnknownVolume,
    /// Both nodes cannot work together: no use in trying again.
    Incompatible,
    /// The data is not what the peer sent, by its digest.
    Corrupt,
    /// The peer could not prove who it is, perhaps by accident.
    NotAuthenticated,
    /// The connection is going down already.
    GoingDown,
}

impl Resource<'_> {
    /// The bytes of a header, on both sockets.
    pub fn header_size(&self) -> usize {
        HeaderFormat::for_protocol(self.header_protocol()).size()
    }

    fn header_protocol(&self) -> u32 {
        if self.connection.phase == Phase::Features {
            PROTOCOL_VERSION_FIRST_CONTACT
        } else {
            self.connection.agreed_protocol
        }
    }

    /// What follows the header `bytes` on the data socket.
    pub fn data_head(&mut self, bytes: &[u8]) -> Result<Head, ReceiveError> {
        self.head(bytes, Socket::Data)
    }

    /// What follows the header `bytes` on the meta socket.
    pub fn meta_head(&mut self, bytes: &[u8]) -> Result<Head, ReceiveError> {
        self.head(bytes, Socket::Meta)
    }

    fn head(&mut self, bytes: &[u8], socket: Socket) -> Result<Head, ReceiveError> {
        self.connection.last_received = self.now;
        let agreed = self.header_protocol();
        let Ok(header) = Header::decode(bytes, agreed) else {
            self.log(None, LogMessage::BadMagic);
            return Err(ReceiveError::BadHeader);
        };
        let unexpected = LogMessage::UnexpectedPacket {
            name: crate::wire::command::name_of(header.command),
            length: header.length,
        };
        let command = match Command::try_from(header.command) {
            Ok(command) if self.is_expected(command, socket) => command,
            _ => {
                if let Some(awaited) = self.awaited_of_stranger() {
                    let received = crate::wire::command::name_of(header.command);
                    return Err(self.unexpected_while_authenticating(
                        awaited.name(),
                        received,
                        header.command,
                    ));
                }
                self.log(None, unexpected);
                return Err(ReceiveError::Unexpected);
            }
        };
        let fixed = Packet::fixed_size(command, header.length, agreed, self.connection.features);
        let Ok(fixed) = fixed else {
            self.log(
                None,
                LogMessage::BadPacket {
                    name: command.name(),
                    why: "wrong length",
                },
            );
            return Err(ReceiveError::BadHeader);
        };
        let payload = u32::try_from(usize_to_u64(fixed))
            .ok()
            .and_then(|fixed| header.length.checked_sub(fixed))
            .ok_or(ReceiveError::BadHeader)?;
        Ok(Head {
            command,
            volume: header.volume,
            fixed,
            payload,
        })
    }

    /// The one packet that is read from a peer that has not proven yet who it is.
    fn awaited_of_stranger(&self) -> Option<Command> {
        match self.connection.phase {
            Phase::Challenge => Some(Command::AuthChallenge),
            Phase::Response => Some(Command::AuthResponse),
            _ => None,
        }
    }

    fn is_expected(&self, command: Command, socket: Socket) -> bool {
        match self.connection.phase {
            Phase::Down => false,
            Phase::Features => command == Command::ConnectionFeatures && socket == Socket::Data,
            Phase::Challenge | Phase::Response => {
                self.awaited_of_stranger() == Some(command) && socket == Socket::Data
            }
            // What the peer says on the meta socket may overtake what it says on the data socket.
            Phase::Protocol => {
                command.accepted_on(socket)
                    && (command == Command::Protocol || socket == Socket::Meta)
            }
            Phase::Open => command.accepted_on(socket),
        }
    }

    /// Takes the fixed part of a packet from the data socket.
    pub fn receive(&mut self, head: Head, fixed: &[u8]) -> Result<Received, ReceiveError> {
        if self.connection.state <= ConnectionState::TearDown
            && self.connection.state != ConnectionState::Disconnecting
        {
            return Err(ReceiveError::GoingDown);
        }
        if self.is_behind_with_events() {
            self.room_wanted = true;
            return Ok(Received::Wait);
        }
        let (agreed, features) = if self.connection.phase == Phase::Features {
            (PROTOCOL_VERSION_FIRST_CONTACT, FeatureFlags::NONE)
        } else {
            (self.connection.agreed_protocol, self.connection.features)
        };
        let packet = Packet::decode(head.command, fixed, agreed, features);
        let result = match packet {
            Ok(packet) => self.dispatch(head, packet),
            Err(_) => Err(ReceiveError::Malformed("cannot be decoded")),
        };
        self.room_wanted |= result == Ok(Received::Wait);
        match result {
            Err(ReceiveError::Malformed(why)) => {
                self.log(
                    None,
                    LogMessage::BadPacket {
                        name: head.command.name(),
                        why,
                    },
                );
            }
            Err(ReceiveError::UnknownVolume) => {
                self.log(None, LogMessage::UnknownVolume(head.volume));
            }
            Err(ReceiveError::Unexpected) => self.log(
                None,
                LogMessage::UnexpectedPacket {
                    name: head.command.name(),
                    length: head.payload,
                },
            ),
            _ => {}
        }
        result
    }

    fn dispatch(&mut self, head: Head, packet: Packet) -> Result<Received, ReceiveError> {
        match packet {
            Packet::ConnectionFeatures(features) => self.receive_features(features),
            Packet::AuthChallenge | Packet::AuthResponse => self.receive_authentication(head),
            Packet::Protocol(protocol) => self.receive_protocol(protocol),
            Packet::ProtocolUpdate(protocol) => self.receive_protocol_update(protocol),
            Packet::Barrier(barrier) => self.receive_barrier(barrier.barrier),
            Packet::UnplugRemote | Packet::DelayProbe(_) => Ok(skip(head)),
            Packet::ConnStateChangeRequest(request) => {
                self.receive_connection_state_request(request)
            }
            packet => {
                let index = match self.device_of_volume(head.volume) {
                    Some(index) => index,
                    // 8.4 lets a peer configure more volumes than this node has.
                    None if is_introduction(&packet) => {
                        self.log(None, LogMessage::UnknownVolume(head.volume));
                        return Ok(skip(head));
                    }
                    None => return Err(ReceiveError::UnknownVolume),
                };
                self.peer_may_be_known(index);
                self.dispatch_to_device(head, index, packet)
            }
        }
    }

    fn dispatch_to_device(
        &mut self,
        head: Head,
        index: DeviceIndex,
        packet: Packet,
    ) -> Result<Received, ReceiveError> {
        match packet {
            Packet::Data(data) => {
                let size = self.data_size(head.payload)?;
                if size > crate::wire::data::MAX_BIO_SIZE {
                    return Err(ReceiveError::Malformed("more data than a request may have"));
                }
                let write = PeerWrite {
                    operation: Operation::Write,
                    sector: data.sector,
                    size,
                    block_id: data.block_id,
                    sequence: data.seq_num,
                    flags: data.flags,
                };
                self.receive_write(index, write)
            }
            Packet::Trim(trim) => {
                // A peer without `P_ZEROES` may mean zeroes by it.
                let operation = if self.connection.features.contains(FeatureFlags::WZEROES) {
                    Operation::Discard
                } else {
                    Operation::WriteZeroes
                };
                let write = PeerWrite {
                    operation,
                    sector: trim.sector,
                    size: trim.size,
                    block_id: trim.block_id,
                    sequence: trim.seq_num,
                    flags: trim.flags,
                };
                self.receive_trim(index, write)
            }
            Packet::Zeroes(zeroes) => {
                let write = PeerWrite {
                    operation: Operation::WriteZeroes,
                    sector: zeroes.sector,
                    size: zeroes.size,
                    block_id: zeroes.block_id,
                    sequence: zeroes.seq_num,
                    flags: zeroes.flags,
                };
                self.receive_trim(index, write)
            }
            Packet::DataReply(data) => {
                self.receive_read_reply(index, data, self.data_size(head.payload)?)
            }
            Packet::ResyncDataReply(data) => {
                self.receive_resync_reply(index, data, self.data_size(head.payload)?)
            }
            Packet::DataRequest(read) => self.receive_read(index, read, Purpose::Read, false, 0),
            Packet::ResyncDataRequest(read) => {
                self.receive_read(index, read, Purpose::ResyncRead, false, 0)
            }
            Packet::ResyncThinRequest(read) => {
                self.receive_read(index, read, Purpose::ResyncRead, true, 0)
            }
            Packet::ResyncDeallocated(block) => self.receive_deallocated(index, block),
            Packet::CsumResyncRequest(read) => {
                self.receive_checksum_request(index, read, head.payload)
            }
            Packet::OvRequest(read) => self.receive_verify_request(index, read),
            Packet::OvReply(reply) => self.receive_verify_reply(index, reply, head.payload),
            Packet::SyncParam(param) | Packet::SyncParam89(param) => {
                self.receive_sync_param(index, &param)
            }
            Packet::Sizes(sizes) => self.receive_sizes(index, &sizes),
            Packet::Uuids(uuids) => self.receive_uuids(index, uuids.uuid),
            Packet::State(state) => self.receive_state(index, state.state),
            Packet::StateChangeRequest(request) => self.receive_state_request(index, request),
            Packet::SyncUuid(uuid) => self.receive_sync_uuid(index, uuid.uuid),
            Packet::Bitmap | Packet::CompressedBitmap(_) => {
                if u32_to_usize(head.payload) > BITMAP_PACKET_SIZE {
                    return Err(ReceiveError::Malformed("too long"));
                }
                Ok(Received::BitmapBytes { device: index })
            }
            Packet::OutOfSync(block) => self.receive_out_of_sync(index, block),
            _ => Err(ReceiveError::Unexpected),
        }
    }

    fn receive_trim(
        &mut self,
        index: DeviceIndex,
        write: PeerWrite,
    ) -> Result<Received, ReceiveError> {
        if write.size > crate::wire::data::MAX_BATCH_BIO_SIZE || write.size == 0 {
            return Err(ReceiveError::Malformed("a range longer than allowed"));
        }
        self.receive_write(index, write)
    }
}

fn skip(head: Head) -> Received {
    if head.payload > 0 {
        Received::Skip
    } else {
        Received::Done
    }
}

fn is_introduction(packet: &Packet) -> bool {
    matches!(
        packet,
        Packet::SyncParam(_)
            | Packet::SyncParam89(_)
            | Packet::Sizes(_)
            | Packet::Uuids(_)
            | Packet::State(_)
    )
}
