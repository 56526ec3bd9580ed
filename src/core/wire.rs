// SPDX-License-Identifier: GPL-2.0-only

//! The wire protocol, versions 86 to 101: bytes to values and back.
//!
//! Everything on the two sockets of a connection is a packet: a header ([`Header`]) with a command number ([`Command`]),
//! then the fixed part that the command defines ([`Packet`]), then, for some commands, payload (data, digests, bitmap),
//! which never becomes a value here. A receiver decodes the header, asks [`Packet::fixed_size`] how many of the
//! following bytes are the fixed part, decodes it, and treats the rest as payload. A sender calls [`encode_packet`].
//!
//! All numbers are big-endian. Block identifiers and barrier numbers are tokens of the node that made them up: the peer
//! only echoes them (the C driver sends them in its native byte order, and it does not matter).
//!
//! C header: `drivers/block/drbd/drbd_protocol.h`.

use crate::bytes::{
    Reader,
    Truncated,
    Writer, //
};

mod flags;

pub mod ack;
pub mod barrier;
pub mod bitmap_code;
pub mod block;
pub mod command;
pub mod compressed_bitmap;
pub mod data;
pub mod delay_probe;
pub mod features;
pub mod header;
pub mod packet;
pub mod setup;
pub mod sizes;
pub mod state;
pub mod sync_param;
pub mod uuids;

pub use ack::{
    BarrierAck,
    BlockAck, //
};
pub use barrier::Barrier;
pub use block::{
    BlockDescriptor,
    BlockRequest, //
};
pub use command::{
    Command,
    Socket,
    UnknownCommand, //
};
pub use compressed_bitmap::{
    BitmapEncoding,
    CodeError,
    Run,
    Runs, //
};
pub use data::{
    Data,
    DataFlags,
    Trim,
    Zeroes, //
};
pub use features::{
    Agreement,
    ConnectionFeatures,
    FeatureFlags, //
};
pub use header::{
    Header,
    HeaderError,
    HeaderFormat, //
};
pub use packet::{
    encode_packet,
    Packet, //
};
pub use setup::{
    AlgorithmName,
    ConnectionFlags,
    Protocol, //
};
pub use sizes::{
    QueueLimits,
    ResizeFlags,
    Sizes, //
};
pub use state::{
    RequestState,
    RequestStateReply,
    State, //
};
pub use sync_param::SyncParam;
pub use uuids::{
    SyncUuid,
    UuidFlags,
    Uuids, //
};

/// The oldest protocol version that this driver speaks (`PRO_VERSION_MIN`).
pub const PROTOCOL_VERSION_MIN: u32 = 86;
/// The newest protocol version that this driver speaks (`PRO_VERSION_MAX`).
pub const PROTOCOL_VERSION_MAX: u32 = 101;
/// What both sides assume before they have agreed on a version: packets travel with the oldest header.
pub const PROTOCOL_VERSION_FIRST_CONTACT: u32 = 80;

/// Bytes that a bitmap packet may have at most, its header included (`DRBD_SOCKET_BUFFER_SIZE`).
pub const BITMAP_PACKET_SIZE: usize = 4096;

/// Bytes after the header that a bitmap packet may have at most, with protocol version `agreed`. A plain bitmap packet
/// has exactly that many, or what is left of the bitmap, in whole words of 64 bits.
pub const fn max_bitmap_length(agreed: u32) -> usize {
    BITMAP_PACKET_SIZE.saturating_sub(HeaderFormat::for_protocol(agreed).size())
}

/// Room for the header and the fixed part of any packet that this driver sends.
pub const MAX_PACKET_HEAD: usize = 168;

/// Why a packet cannot be decoded. Each of these ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketError {
    /// No receiver handles this command.
    Unexpected,
    /// Fewer bytes than the command needs.
    TooShort {
        /// Bytes that the command needs at least.
        expected: usize,
    },
    /// More bytes than the command allows.
    TooLong {
        /// Bytes that the command allows at most.
        expected: usize,
    },
}

/// Why a packet cannot be encoded. Nothing of it may be sent then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The buffer is too small.
    Truncated,
    /// The header of the agreed protocol version cannot express the length.
    TooLong,
    /// The header of the agreed protocol version carries no volume number, and it is not 0.
    Volume,
    /// The command has no payload.
    Payload,
}

impl From<Truncated> for EncodeError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

/// A fixed part whose layout depends on nothing but the command.
pub trait WireValue: Sized {
    /// Bytes on the wire.
    const SIZE: usize;

    /// Takes the value from the front of `reader`; takes exactly [`Self::SIZE`] bytes.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated>;

    /// Appends the value to `writer`; appends exactly [`Self::SIZE`] bytes.
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated>;

    /// Decodes `bytes`, which must be the value and nothing else.
    fn decode(bytes: &[u8]) -> Result<Self, PacketError> {
        let expected = Self::SIZE;
        if bytes.len() > expected {
            return Err(PacketError::TooLong { expected });
        }
        Self::read(&mut Reader::new(bytes)).map_err(|Truncated| PacketError::TooShort { expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    /// Writes `value`, checks its size, reads it back, and checks that no other length is accepted.
    pub(super) fn check_round_trip<T: WireValue + PartialEq + Debug>(value: &T) {
        let mut buffer = [0xa5; MAX_PACKET_HEAD];
        let mut writer = Writer::new(&mut buffer);
        value.encode(&mut writer).unwrap();
        assert_eq!(writer.written(), T::SIZE);
        assert_eq!(T::decode(&buffer[..T::SIZE]).as_ref(), Ok(value));
        let expected = T::SIZE;
        assert_eq!(
            T::decode(&buffer[..expected - 1]),
            Err(PacketError::TooShort { expected })
        );
        assert_eq!(
            T::decode(&buffer[..expected + 1]),
            Err(PacketError::TooLong { expected })
        );
        assert_eq!(
            value.encode(&mut Writer::new(&mut buffer[..expected - 1])),
            Err(Truncated)
        );
    }
}
