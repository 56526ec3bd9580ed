// SPDX-License-Identifier: GPL-2.0-only

//! Any packet: its command and its fixed part.

use super::{
    compressed_bitmap::BitmapEncoding,
    delay_probe::DelayProbe,
    max_bitmap_length,
    Barrier,
    BarrierAck,
    BlockAck,
    BlockDescriptor,
    BlockRequest,
    Command,
    ConnectionFeatures,
    Data,
    EncodeError,
    FeatureFlags,
    Header,
    HeaderFormat,
    PacketError,
    Protocol,
    RequestState,
    RequestStateReply,
    Sizes,
    State,
    SyncParam,
    SyncUuid,
    Trim,
    Uuids,
    WireValue,
    Zeroes, //
};
use crate::{
    bytes::Writer,
    num::u32_to_usize, //
};

/// Declares the packets. Each variant has the name of its command.
macro_rules! packets {
    (
        uniform { $( $value_command:ident($value:ident), )* }
        empty { $( $empty_command:ident, )* }
    ) => {
        /// A packet without its payload. Each variant stands for the [`Command`] of the same name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the commands are documented")]
        pub enum Packet {
            $( $value_command($value), )*
            $( $empty_command, )*
            Protocol(Protocol),
            ProtocolUpdate(Protocol),
            Sizes(Sizes),
            SyncParam(SyncParam),
            SyncParam89(SyncParam),
        }

        impl Packet {
            /// The command of the packet.
            pub const fn command(&self) -> Command {
                match self {
                    $( Self::$value_command(_) => Command::$value_command, )*
                    $( Self::$empty_command => Command::$empty_command, )*
                    Self::Protocol(_) => Command::Protocol,
                    Self::ProtocolUpdate(_) => Command::ProtocolUpdate,
                    Self::Sizes(_) => Command::Sizes,
                    Self::SyncParam(_) => Command::SyncParam,
                    Self::SyncParam89(_) => Command::SyncParam89,
                }
            }

            /// Decodes the fixed part of a packet: as many bytes after the header as [`Self::fixed_size`] says.
            pub fn decode(
                command: Command,
                fixed: &[u8],
                agreed: u32,
                features: FeatureFlags,
            ) -> Result<Self, PacketError> {
                match command {
                    $( Command::$value_command => $value::decode(fixed).map(Self::$value_command), )*
                    $( Command::$empty_command => nothing(fixed).map(|()| Self::$empty_command), )*
                    Command::Protocol => Protocol::decode(fixed, agreed).map(Self::Protocol),
                    Command::ProtocolUpdate => {
                        Protocol::decode(fixed, agreed).map(Self::ProtocolUpdate)
                    }
                    Command::Sizes => Sizes::decode(fixed, features).map(Self::Sizes),
                    Command::SyncParam => SyncParam::decode(fixed, agreed).map(Self::SyncParam),
                    Command::SyncParam89 => {
                        SyncParam::decode(fixed, agreed).map(Self::SyncParam89)
                    }
                    Command::BecomeSyncTarget | Command::BecomeSyncSource | Command::WriteSame => {
                        Err(PacketError::Unexpected)
                    }
                }
            }

            /// Appends the fixed part.
            fn encode_fixed(
                &self,
                agreed: u32,
                features: FeatureFlags,
                writer: &mut Writer<'_>,
            ) -> Result<(), EncodeError> {
                match self {
                    $( Self::$value_command(value) => value.encode(writer)?, )*
                    $( Self::$empty_command => {} )*
                    Self::Protocol(value) | Self::ProtocolUpdate(value) => {
                        value.encode(agreed, writer)?;
                    }
                    Self::Sizes(value) => value.encode(features, writer)?,
                    Self::SyncParam(value) | Self::SyncParam89(value) => {
                        value.encode(agreed, writer)?;
                    }
                }
                Ok(())
            }
        }
    };
}

packets! {
    uniform {
        Data(Data),
        DataReply(Data),
        ResyncDataReply(Data),
        Barrier(Barrier),
        DataRequest(BlockRequest),
        ResyncDataRequest(BlockRequest),
        Uuids(Uuids),
        State(State),
        SyncUuid(SyncUuid),
        StateChangeRequest(RequestState),
        RecvAck(BlockAck),
        WriteAck(BlockAck),
        ResyncWriteAck(BlockAck),
        Superseded(BlockAck),
        NegAck(BlockAck),
        NegDataReply(BlockAck),
        NegResyncDataReply(BlockAck),
        BarrierAck(BarrierAck),
        StateChangeReply(RequestStateReply),
        OvRequest(BlockRequest),
        OvReply(BlockRequest),
        OvResult(BlockAck),
        CsumResyncRequest(BlockRequest),
        ResyncIsInSync(BlockAck),
        CompressedBitmap(BitmapEncoding),
        DelayProbe(DelayProbe),
        OutOfSync(BlockDescriptor),
        ResyncCancel(BlockAck),
        ConnStateChangeRequest(RequestState),
        ConnStateChangeReply(RequestStateReply),
        RetryWrite(BlockAck),
        Trim(Trim),
        ResyncThinRequest(BlockRequest),
        ResyncDeallocated(BlockDescriptor),
        Zeroes(Zeroes),
        ConnectionFeatures(ConnectionFeatures),
    }
    empty {
        Bitmap,
        UnplugRemote,
        AuthChallenge,
        AuthResponse,
        Ping,
        PingAck,
        InitialMeta,
        InitialData,
    }
}

/// The fixed part of a packet that has none.
fn nothing(fixed: &[u8]) -> Result<(), PacketError> {
    if fixed.is_empty() {
        Ok(())
    } else {
        Err(PacketError::TooLong { expected: 0 })
    }
}

impl Packet {
    /// How many of the `length` bytes after the header are the fixed part; the rest is payload.
    ///
    /// Refuses what no receiver may go on to read: reserved commands, lengths below the fixed part, and bytes after it
    /// where the command has no payload. Of payload, only that of bitmaps is bounded here; the limits of the others
    /// depend on the largest bio and on the digest in use.
    pub fn fixed_size(
        command: Command,
        length: u32,
        agreed: u32,
        features: FeatureFlags,
    ) -> Result<usize, PacketError> {
        if command.is_reserved() {
            return Err(PacketError::Unexpected);
        }
        let length = u32_to_usize(length);
        if matches!(command, Command::Bitmap | Command::CompressedBitmap) {
            let expected = max_bitmap_length(agreed);
            if length > expected {
                return Err(PacketError::TooLong { expected });
            }
        }
        let (fewest, most) = Self::size_range(command, agreed, features);
        if length < fewest {
            Err(PacketError::TooShort { expected: fewest })
        } else if command == Command::CompressedBitmap && length == fewest {
            Err(PacketError::TooShort {
                expected: fewest.saturating_add(1),
            })
        } else if length <= most {
            Ok(length)
        } else if command.expect_payload() {
            Ok(most)
        } else {
            Err(PacketError::TooLong { expected: most })
        }
    }

    /// The fewest and the most bytes of the fixed part.
    const fn size_range(command: Command, agreed: u32, features: FeatureFlags) -> (usize, usize) {
        match command {
            Command::SyncParam | Command::SyncParam89 => SyncParam::size_range(agreed),
            Command::Protocol | Command::ProtocolUpdate => {
                (Protocol::MIN_SIZE, Protocol::max_size(agreed))
            }
            Command::Sizes => (Sizes::size(features), Sizes::size(features)),
            _ => (command.minimum_size(), command.minimum_size()),
        }
    }
}

/// Writes the header and the fixed part of `packet` to the front of `out`, and says how many bytes that is:
/// [`super::MAX_PACKET_HEAD`] at most.
///
/// `payload_len` is the number of payload bytes that the caller sends after them. `volume` must be 0 before protocol 100.
pub fn encode_packet(
    packet: &Packet,
    volume: u16,
    payload_len: u32,
    agreed: u32,
    features: FeatureFlags,
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    let command = packet.command();
    if payload_len != 0 && !command.expect_payload() {
        return Err(EncodeError::Payload);
    }
    let header_size = HeaderFormat::for_protocol(agreed).size();
    let (header_bytes, rest) = out
        .split_at_mut_checked(header_size)
        .ok_or(EncodeError::Truncated)?;
    let mut writer = Writer::new(rest);
    packet.encode_fixed(agreed, features, &mut writer)?;
    let fixed_size = writer.written();
    let length = u32::try_from(fixed_size)
        .ok()
        .and_then(|fixed| fixed.checked_add(payload_len))
        .ok_or(EncodeError::TooLong)?;
    let header = Header {
        volume,
        command: command.number(),
        length,
    };
    header.encode(
        HeaderFormat::to_send(agreed, length),
        &mut Writer::new(header_bytes),
    )?;
    header_size
        .checked_add(fixed_size)
        .ok_or(EncodeError::TooLong)
}

#[cfg(test)]
mod tests {
    use super::super::{
        DataFlags,
        MAX_PACKET_HEAD, //
    };
    use super::*;
    use proptest::prelude::*;

    const ALL_FEATURES: FeatureFlags = FeatureFlags::SUPPORTED;

    #[test]
    fn a_write_on_the_wire() {
        let packet = Packet::Data(Data {
            sector: 8,
            block_id: 0x1122,
            seq_num: 5,
            flags: DataFlags::RW_SYNC | DataFlags::SEND_WRITE_ACK,
        });
        let mut out = [0xff; MAX_PACKET_HEAD];
        let size = encode_packet(&packet, 2, 4096, 101, ALL_FEATURES, &mut out).unwrap();
        assert_eq!(size, 40);
        assert_eq!(
            out[..size],
            [
                0x86, 0x20, 0xec, 0x20, 0, 2, 0, 0, 0, 0, 0x10, 0x18, 0, 0, 0, 0, // header
                0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0x11, 0x22, 0, 0, 0, 5, 0, 0, 1, 2
            ]
        );
        let size = encode_packet(&packet, 0, 1 << 16, 95, ALL_FEATURES, &mut out).unwrap();
        assert_eq!(
            (size, &out[..8]),
            (32, &[0x83, 0x5a, 0, 0, 0, 1, 0, 0x18][..])
        );
    }

    #[test]
    fn what_cannot_be_sent() {
        let mut out = [0; MAX_PACKET_HEAD];
        let ping = Packet::Ping;
        assert_eq!(
            encode_packet(&ping, 0, 1, 101, ALL_FEATURES, &mut out),
            Err(EncodeError::Payload)
        );
        assert_eq!(
            encode_packet(&ping, 1, 0, 99, ALL_FEATURES, &mut out),
            Err(EncodeError::Volume)
        );
        assert_eq!(
            encode_packet(&ping, 0, 0, 101, ALL_FEATURES, &mut out[..15]),
            Err(EncodeError::Truncated)
        );
        assert_eq!(
            encode_packet(&Packet::Bitmap, 0, 1 << 16, 94, ALL_FEATURES, &mut out),
            Err(EncodeError::TooLong)
        );
        let features = Packet::ConnectionFeatures(ConnectionFeatures::ours());
        assert_eq!(
            encode_packet(&features, 0, 0, 80, FeatureFlags::NONE, &mut out),
            Ok(80)
        );
    }

    #[test]
    fn fixed_part_and_payload() {
        let size = |command, length| Packet::fixed_size(command, length, 101, ALL_FEATURES);
        assert_eq!(size(Command::Data, 4096 + 24), Ok(24));
        assert_eq!(size(Command::Data, 24), Ok(24));
        assert_eq!(
            size(Command::Data, 23),
            Err(PacketError::TooShort { expected: 24 })
        );
        assert_eq!(
            size(Command::Trim, 29),
            Err(PacketError::TooLong { expected: 28 })
        );
        assert_eq!(size(Command::Sizes, 56), Ok(56));
        assert_eq!(
            size(Command::Sizes, 32),
            Err(PacketError::TooShort { expected: 56 })
        );
        assert_eq!(size(Command::Protocol, 28), Ok(28));
        assert_eq!(
            size(Command::Protocol, 89),
            Err(PacketError::TooLong { expected: 88 })
        );
        assert_eq!(
            size(Command::Bitmap, 4081),
            Err(PacketError::TooLong { expected: 4080 })
        );
        assert_eq!(
            size(Command::CompressedBitmap, 1),
            Err(PacketError::TooShort { expected: 2 })
        );
        assert_eq!(
            size(Command::CompressedBitmap, u32::MAX),
            Err(PacketError::TooLong { expected: 4080 })
        );
        assert_eq!(size(Command::Bitmap, 4080), Ok(0));
        assert_eq!(size(Command::CompressedBitmap, 100), Ok(1));
        assert_eq!(
            size(Command::CompressedBitmap, 0),
            Err(PacketError::TooShort { expected: 1 })
        );
        assert_eq!(
            size(Command::Ping, 1),
            Err(PacketError::TooLong { expected: 0 })
        );
        assert_eq!(size(Command::WriteSame, 28), Err(PacketError::Unexpected));
        assert_eq!(
            Packet::fixed_size(Command::SyncParam89, 148, 94, ALL_FEATURES),
            Err(PacketError::TooLong { expected: 132 })
        );
    }

    proptest! {
        /// Whatever a peer sends: it is refused, or it is a packet that this driver would send in the same way.
        #[test]
        fn any_bytes_decode_to_what_encodes_again(
            command in proptest::sample::select(Command::ALL),
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            agreed in 86_u32..102,
            bits in 0_u32..16,
        ) {
            let features = FeatureFlags::from_bits(bits);
            let length = u32::try_from(bytes.len()).unwrap();
            let Ok(size) = Packet::fixed_size(command, length, agreed, features) else {
                return Ok(());
            };
            prop_assert!(size <= bytes.len());
            let packet = Packet::decode(command, &bytes[..size], agreed, features).unwrap();
            prop_assert_eq!(packet.command(), command);

            let payload = length - u32::try_from(size).unwrap();
            let mut out = [0; MAX_PACKET_HEAD];
            let written = encode_packet(&packet, 0, payload, agreed, features, &mut out).unwrap();
            let header = Header::decode(&out[..written], agreed).unwrap();
            prop_assert_eq!(header.command, command.number());
            let fixed = &out[HeaderFormat::for_protocol(agreed).size()..written];
            prop_assert_eq!(u32_to_usize(header.length), fixed.len() + u32_to_usize(payload));
            prop_assert_eq!(Packet::decode(command, fixed, agreed, features), Ok(packet));
        }

        /// A fixed part of any other length is refused by the decoder too.
        #[test]
        fn decoding_never_accepts_a_wrong_length(
            command in proptest::sample::select(Command::ALL),
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            agreed in 86_u32..102,
        ) {
            let length = u32::try_from(bytes.len()).unwrap();
            let size = Packet::fixed_size(command, length, agreed, ALL_FEATURES);
            let decoded = Packet::decode(command, &bytes, agreed, ALL_FEATURES);
            // A compressed bitmap without payload decodes, but is refused before that.
            let lone_encoding = command == Command::CompressedBitmap && bytes.len() == 1;
            prop_assert_eq!(decoded.is_ok(), lone_encoding || size == Ok(bytes.len()));
        }
    }

    /// For every command that has a packet, in every version: the decoder takes the fewest bytes that are allowed, and
    /// what comes out fits into [`MAX_PACKET_HEAD`].
    #[test]
    fn every_packet_fits() {
        let mut largest = 0;
        for &command in Command::ALL {
            for agreed in 86..=101 {
                let (_, most) = Packet::size_range(command, agreed, ALL_FEATURES);
                let bytes = [b'x'; 256];
                match Packet::decode(command, &bytes[..most], agreed, ALL_FEATURES) {
                    Ok(packet) => {
                        let mut out = [0; MAX_PACKET_HEAD];
                        let size = encode_packet(&packet, 0, 0, agreed, ALL_FEATURES, &mut out);
                        largest = largest.max(size.unwrap());
                    }
                    Err(error) => {
                        assert_eq!(error, PacketError::Unexpected);
                        assert!(command.is_reserved());
                    }
                }
            }
        }
        assert_eq!(largest, 164);
    }
}
