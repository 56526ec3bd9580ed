// SPDX-License-Identifier: GPL-2.0-only

//! The packet numbers, and what the receivers know about each.
//!
//! C header: `enum drbd_packet` in `drbd_protocol.h`; the names are those of `cmdname()`, which appear in log lines.

use super::{
    Barrier,
    BarrierAck,
    BlockAck,
    BlockDescriptor,
    BlockRequest,
    ConnectionFeatures,
    Data,
    Protocol,
    RequestState,
    RequestStateReply,
    Sizes,
    State,
    SyncUuid,
    Trim,
    Uuids,
    WireValue,
    Zeroes, //
};

/// The two TCP connections of one DRBD connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// Data, resync and state; read by the receiver.
    Data,
    /// Pings and acknowledgements; read by the acknowledgement receiver.
    Meta,
}

/// A number that is no packet of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCommand(pub u16);

/// Declares the command numbers once, for the enumeration, the way back from a number, and the names.
macro_rules! commands {
    ( $( $(#[$attribute:meta])* $command:ident = $number:literal, $name:literal; )* ) => {
        /// What a packet asks for or tells.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Command {
            $( $(#[$attribute])* $command = $number, )*
        }

        impl Command {
            /// Every command, in the order of the numbers.
            pub const ALL: &'static [Self] = &[ $( Self::$command, )* ];

            /// The number on the wire.
            pub const fn number(self) -> u16 {
                match self {
                    $( Self::$command => $number, )*
                }
            }

            /// The name in log lines.
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$command => $name, )*
                }
            }
        }

        impl TryFrom<u16> for Command {
            type Error = UnknownCommand;

            fn try_from(number: u16) -> Result<Self, UnknownCommand> {
                match number {
                    $( $number => Ok(Self::$command), )*
                    _ => Err(UnknownCommand(number)),
                }
            }
        }
    };
}

commands! {
    /// A write of the application (data).
    Data = 0x00, "Data";
    /// The answer to [`Self::DataRequest`] (data).
    DataReply = 0x01, "DataReply";
    /// The answer to [`Self::ResyncDataRequest`] (data).
    ResyncDataReply = 0x02, "RSDataReply";
    /// The end of an epoch: later writes depend on the earlier ones (data).
    Barrier = 0x03, "Barrier";
    /// A piece of the bitmap, bit by bit (data).
    Bitmap = 0x04, "ReportBitMap";
    /// Reserved; nobody handles it.
    BecomeSyncTarget = 0x05, "BecomeSyncTarget";
    /// Reserved; nobody handles it.
    BecomeSyncSource = 0x06, "BecomeSyncSource";
    /// A hint to hand queued requests to the disk now (data).
    UnplugRemote = 0x07, "UnplugRemote";
    /// Asks for a block that the application reads (data).
    DataRequest = 0x08, "DataRequest";
    /// Asks for a block that a resync needs (data).
    ResyncDataRequest = 0x09, "RSDataRequest";
    /// Settings of the resync, before protocol 89 (data).
    SyncParam = 0x0a, "SyncParam";
    /// Settings that both sides must share (data).
    Protocol = 0x0b, "ReportProtocol";
    /// The generation UUIDs (data).
    Uuids = 0x0c, "ReportUUIDs";
    /// Sizes and limits of the device (data).
    Sizes = 0x0d, "ReportSizes";
    /// Roles, connection and disk states (data).
    State = 0x0e, "ReportState";
    /// The UUID that a resync starts with (data).
    SyncUuid = 0x0f, "ReportSyncUUID";
    /// A random challenge of the handshake (data).
    AuthChallenge = 0x10, "AuthChallenge";
    /// The keyed hash of the peer's challenge (data).
    AuthResponse = 0x11, "AuthResponse";
    /// Asks to agree to a state change of a volume (data).
    StateChangeRequest = 0x12, "StateChgRequest";
    /// Asks for a sign of life (meta).
    Ping = 0x13, "Ping";
    /// The answer to [`Self::Ping`] (meta).
    PingAck = 0x14, "PingAck";
    /// A write has arrived, protocol B (meta).
    RecvAck = 0x15, "RecvAck";
    /// A write is on stable storage, protocol C (meta).
    WriteAck = 0x16, "WriteAck";
    /// As [`Self::WriteAck`], and the block is in sync now (meta).
    ResyncWriteAck = 0x17, "RSWriteAck";
    /// A write lost against a concurrent one of the peer and is not done (meta).
    Superseded = 0x18, "Superseded";
    /// A write failed, or there is no disk (meta).
    NegAck = 0x19, "NegAck";
    /// A read failed, or there is no disk (meta).
    NegDataReply = 0x1a, "NegDReply";
    /// A resync read failed, or there is no disk (meta).
    NegResyncDataReply = 0x1b, "NegRSDReply";
    /// All writes of an epoch are done (meta).
    BarrierAck = 0x1c, "BarrierAck";
    /// The answer to [`Self::StateChangeRequest`] (meta).
    StateChangeReply = 0x1d, "StateChgReply";
    /// Asks for the digest of a block, online verify (data).
    OvRequest = 0x1e, "OVRequest";
    /// The digest of a block, online verify (data).
    OvReply = 0x1f, "OVReply";
    /// Whether the digests were equal, online verify (meta).
    OvResult = 0x20, "OVResult";
    /// Asks for a block unless its digest is as told (data).
    CsumResyncRequest = 0x21, "CsumRSRequest";
    /// The digests are equal: no need to send the block (meta).
    ResyncIsInSync = 0x22, "CsumRSIsInSync";
    /// Settings of the resync since protocol 89 (data).
    SyncParam89 = 0x23, "SyncParam89";
    /// A piece of the bitmap as run lengths (data).
    CompressedBitmap = 0x24, "CBitmap";
    /// A measurement of old versions; skipped (both).
    DelayProbe = 0x27, "DelayProbe";
    /// A write was done here and not sent: mark the block (data).
    OutOfSync = 0x28, "OutOfSync";
    /// A resync request will not be answered now (meta).
    ResyncCancel = 0x29, "RSCancel";
    /// Asks to agree to a state change of the connection (data).
    ConnStateChangeRequest = 0x2a, "conn_st_chg_req";
    /// The answer to [`Self::ConnStateChangeRequest`] (meta).
    ConnStateChangeReply = 0x2b, "conn_st_chg_reply";
    /// A write conflicts with one in progress: send it again (meta). The C driver has no name for it and logs `(null)`.
    RetryWrite = 0x2c, "RetryWrite";
    /// Changed settings of an established connection (data).
    ProtocolUpdate = 0x2d, "protocol_update";
    /// A discard of the application (data).
    Trim = 0x31, "Trim";
    /// Asks for a block that a resync needs; may be answered by [`Self::ResyncDeallocated`] (data).
    ResyncThinRequest = 0x32, "rs_thin_req";
    /// The requested block holds zeroes only (data).
    ResyncDeallocated = 0x33, "rs_deallocated";
    /// Write the same block many times; no kernel has this operation any more and nobody handles it.
    WriteSame = 0x34, "WriteSame";
    /// A write of zeroes of the application (data).
    Zeroes = 0x36, "Zeroes";
    /// The first packet on the meta socket.
    InitialMeta = 0xfff1, "InitialMeta";
    /// The first packet on the data socket.
    InitialData = 0xfff2, "InitialData";
    /// The protocol versions and features of the sender (data).
    ConnectionFeatures = 0xfffe, "ConnectionFeatures";
}

/// The name of a command number in log lines, `Unknown` where it has none.
pub fn name_of(number: u16) -> &'static str {
    Command::try_from(number).map_or("Unknown", Command::name)
}

impl Command {
    /// The socket that a sender uses.
    pub const fn socket(self) -> Socket {
        match self {
            Self::Ping
            | Self::PingAck
            | Self::RecvAck
            | Self::WriteAck
            | Self::ResyncWriteAck
            | Self::Superseded
            | Self::NegAck
            | Self::NegDataReply
            | Self::NegResyncDataReply
            | Self::BarrierAck
            | Self::StateChangeReply
            | Self::OvResult
            | Self::ResyncIsInSync
            | Self::ResyncCancel
            | Self::ConnStateChangeReply
            | Self::RetryWrite
            | Self::InitialMeta => Socket::Meta,
            _ => Socket::Data,
        }
    }

    /// Whether the command belongs to the first packets of a connection, each of which has its one place.
    pub const fn is_handshake(self) -> bool {
        matches!(
            self,
            Self::InitialMeta
                | Self::InitialData
                | Self::ConnectionFeatures
                | Self::AuthChallenge
                | Self::AuthResponse
        )
    }

    /// Whether the command has a number but no meaning: any receiver answers it with a protocol error.
    pub const fn is_reserved(self) -> bool {
        matches!(
            self,
            Self::BecomeSyncTarget | Self::BecomeSyncSource | Self::WriteSame
        )
    }

    /// Whether the receiver of `socket` handles the command on an established connection.
    pub const fn accepted_on(self, socket: Socket) -> bool {
        if self.is_handshake() || self.is_reserved() {
            return false;
        }
        match socket {
            Socket::Data => matches!(self.socket(), Socket::Data),
            Socket::Meta => {
                matches!(self.socket(), Socket::Meta) || matches!(self, Self::DelayProbe)
            }
        }
    }

    /// Whether bytes may follow the fixed part.
    pub const fn expect_payload(self) -> bool {
        matches!(
            self,
            Self::Data
                | Self::DataReply
                | Self::ResyncDataReply
                | Self::Bitmap
                | Self::CompressedBitmap
                | Self::OvReply
                | Self::CsumResyncRequest
                | Self::AuthChallenge
                | Self::AuthResponse
        )
    }

    /// Bytes of the fixed part at least: for [`Self::SyncParam`], [`Self::SyncParam89`], [`Self::Protocol`],
    /// [`Self::ProtocolUpdate`] and [`Self::Sizes`] more, as [`super::Packet::fixed_size`] knows.
    pub const fn minimum_size(self) -> usize {
        match self {
            Self::Data | Self::DataReply | Self::ResyncDataReply => Data::SIZE,
            Self::Barrier => Barrier::SIZE,
            Self::DataRequest
            | Self::ResyncDataRequest
            | Self::OvRequest
            | Self::OvReply
            | Self::CsumResyncRequest
            | Self::ResyncThinRequest => BlockRequest::SIZE,
            Self::SyncParam | Self::SyncParam89 => 4,
            Self::Protocol | Self::ProtocolUpdate => Protocol::MIN_SIZE,
            Self::Uuids => Uuids::SIZE,
            Self::Sizes => Sizes::MIN_SIZE,
            Self::State => State::SIZE,
            Self::SyncUuid => SyncUuid::SIZE,
            Self::StateChangeRequest | Self::ConnStateChangeRequest => RequestState::SIZE,
            Self::StateChangeReply | Self::ConnStateChangeReply => RequestStateReply::SIZE,
            Self::RecvAck
            | Self::WriteAck
            | Self::ResyncWriteAck
            | Self::Superseded
            | Self::NegAck
            | Self::NegDataReply
            | Self::NegResyncDataReply
            | Self::OvResult
            | Self::ResyncIsInSync
            | Self::ResyncCancel
            | Self::RetryWrite => BlockAck::SIZE,
            Self::BarrierAck => BarrierAck::SIZE,
            Self::CompressedBitmap => 1,
            Self::DelayProbe => 8,
            Self::OutOfSync | Self::ResyncDeallocated => BlockDescriptor::SIZE,
            Self::Trim => Trim::SIZE,
            Self::Zeroes => Zeroes::SIZE,
            Self::ConnectionFeatures => ConnectionFeatures::SIZE,
            Self::Bitmap
            | Self::BecomeSyncTarget
            | Self::BecomeSyncSource
            | Self::UnplugRemote
            | Self::AuthChallenge
            | Self::AuthResponse
            | Self::Ping
            | Self::PingAck
            | Self::WriteSame
            | Self::InitialMeta
            | Self::InitialData => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_others_are_unknown() {
        let mut known = 0;
        for number in 0..=u16::MAX {
            match Command::try_from(number) {
                Ok(command) => {
                    assert_eq!(command.number(), number);
                    assert_eq!(command as u16, number);
                    known += 1;
                }
                Err(unknown) => assert_eq!(unknown, UnknownCommand(number)),
            }
        }
        assert_eq!(known, Command::ALL.len());
        for gap in [0x25, 0x26, 0x2e, 0x30, 0x35, 0x37, 0x100, 0xfff0, 0xffff] {
            assert_eq!(Command::try_from(gap), Err(UnknownCommand(gap)));
        }
    }

    #[test]
    fn names_are_those_in_the_logs() {
        assert_eq!(Command::CsumResyncRequest.name(), "CsumRSRequest");
        assert_eq!(name_of(0x24), "CBitmap");
        assert_eq!(name_of(0x25), "Unknown");
        assert_eq!(name_of(0xfffe), "ConnectionFeatures");
    }

    /// Command numbers, payload and size as the receivers of 8.4.11 have them.
    #[test]
    fn the_tables_of_both_receivers() {
        let data: &[(u16, bool, usize)] = &[
            (0x00, true, 24),
            (0x01, true, 24),
            (0x02, true, 24),
            (0x03, false, 8),
            (0x04, true, 0),
            (0x07, false, 0),
            (0x08, false, 24),
            (0x09, false, 24),
            (0x0c, false, 48),
            (0x0d, false, 32),
            (0x0e, false, 4),
            (0x0f, false, 8),
            (0x12, false, 8),
            (0x1e, false, 24),
            (0x1f, true, 24),
            (0x21, true, 24),
            (0x24, true, 1),
            (0x27, false, 8),
            (0x28, false, 16),
            (0x2a, false, 8),
            (0x31, false, 28),
            (0x32, false, 24),
            (0x33, false, 16),
            (0x36, false, 28),
            // Text at their end, which belongs to the fixed part here.
            (0x0a, false, 4),
            (0x23, false, 4),
            (0x0b, false, 24),
            (0x2d, false, 24),
        ];
        let acknowledgement = [
            0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x20, 0x22, 0x29, 0x2c,
        ];
        let mut meta = std::vec![
            (0x13, 0),
            (0x14, 0),
            (0x1c, 8),
            (0x1d, 4),
            (0x2b, 4),
            (0x27, 8)
        ];
        meta.extend(acknowledgement.map(|number| (number, 24)));
        for &command in Command::ALL {
            let number = command.number();
            let on_data = data.iter().find(|row| row.0 == number);
            let on_meta = meta.iter().find(|row| row.0 == number);
            assert_eq!(command.accepted_on(Socket::Data), on_data.is_some());
            assert_eq!(command.accepted_on(Socket::Meta), on_meta.is_some());
            if let Some(&(_, payload, size)) = on_data {
                assert_eq!(
                    (command.expect_payload(), command.minimum_size()),
                    (payload, size)
                );
            }
            if let Some(&(_, size)) = on_meta {
                assert_eq!(
                    (command.expect_payload(), command.minimum_size()),
                    (false, size)
                );
            }
        }
    }
}
