// SPDX-License-Identifier: GPL-2.0-only

//! Settings that both sides of a connection must share.
//!
//! C header: `struct p_protocol`, `enum drbd_conn_flags` in `drbd_protocol.h`; `SHARED_SECRET_MAX` in `uapi/linux/drbd.h`.

use super::{
    flags::bit_flags,
    PacketError, //
};
use crate::bytes::{
    Reader,
    Truncated,
    Writer, //
};

/// Bytes of a challenge that this driver sends in `P_AUTH_CHALLENGE`, and that it demands at least.
pub const CHALLENGE_SIZE: u32 = 64;
/// Bytes of a challenge that this driver accepts at most.
pub const CHALLENGE_SIZE_MAX: u32 = 128;

/// The name of a hash algorithm, as the kernel's crypto layer knows it; empty where none is in use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AlgorithmName {
    /// The name, then zeroes. The last byte is always zero.
    bytes: [u8; Self::FIELD_SIZE],
}

impl AlgorithmName {
    /// Bytes of the name and its terminating zero at most (`SHARED_SECRET_MAX`).
    pub const FIELD_SIZE: usize = 64;

    /// No algorithm.
    pub const NONE: Self = Self {
        bytes: [0; Self::FIELD_SIZE],
    };

    /// The name in `text`; `None` where it is longer than 63 bytes or has a zero byte.
    pub fn new(text: &[u8]) -> Option<Self> {
        (text.len() < Self::FIELD_SIZE && !text.contains(&0)).then(|| Self::from_field(text))
    }

    /// The name in a field of a packet: what stands before the first zero, and 63 bytes at most.
    pub fn from_field(field: &[u8]) -> Self {
        let mut bytes = [0; Self::FIELD_SIZE];
        let (_terminator, name) = bytes.split_last_mut().unwrap_or((&mut 0, &mut []));
        let text = field.iter().take_while(|&&byte| byte != 0);
        for (target, &byte) in name.iter_mut().zip(text) {
            *target = byte;
        }
        Self { bytes }
    }

    /// The name without its terminating zero.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default()
    }

    /// The name as text; `None` where a peer sent something else.
    pub fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(self.as_bytes()).ok()
    }

    /// Whether no algorithm is named.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Appends the whole field of 64 bytes.
    pub(super) fn encode_field(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.bytes(&self.bytes)
    }

    /// Appends the name and one zero.
    pub(super) fn encode_text(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.bytes(self.as_bytes())?;
        writer.u8(0)
    }

    /// Takes a field of 64 bytes.
    pub(super) fn read_field(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        reader.bytes(Self::FIELD_SIZE).map(Self::from_field)
    }
}

impl core::fmt::Debug for AlgorithmName {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "{:?}", self.as_str())
    }
}

bit_flags! {
    /// Wishes for this connection alone (`CF_*`).
    ConnectionFlags: u32 {
        /// The sender gives up its changes, should the nodes have diverged.
        DISCARD_MY_DATA = 1;
        /// Only find out what a connection would do. Since protocol 92.
        DRY_RUN = 2;
    }
}

/// `P_PROTOCOL` and `P_PROTOCOL_UPDATE`: what both sides must have configured alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The replication protocol: 1 is A, 2 is B, 3 is C.
    pub protocol: u32,
    /// The policy after split brain with no primary (`enum drbd_after_sb_p`), as the sender sees it.
    pub after_sb_0p: u32,
    /// The policy after split brain with one primary.
    pub after_sb_1p: u32,
    /// The policy after split brain with two primaries.
    pub after_sb_2p: u32,
    /// Wishes for this connection alone.
    pub conn_flags: ConnectionFlags,
    /// 1 where both nodes may be primary at the same time.
    pub two_primaries: u32,
    /// The algorithm of the digests in data packets. Since protocol 87; before that, none.
    pub integrity_alg: AlgorithmName,
}

impl Protocol {
    /// Bytes without the name of the algorithm.
    pub const MIN_SIZE: usize = 24;

    /// Bytes at most, with protocol version `agreed`.
    pub const fn max_size(agreed: u32) -> usize {
        if agreed >= 87 {
            Self::MIN_SIZE.saturating_add(AlgorithmName::FIELD_SIZE)
        } else {
            Self::MIN_SIZE
        }
    }

    /// Decodes everything after the header.
    pub fn decode(bytes: &[u8], agreed: u32) -> Result<Self, PacketError> {
        let expected = Self::max_size(agreed);
        if bytes.len() > expected {
            return Err(PacketError::TooLong { expected });
        }
        let expected = Self::MIN_SIZE;
        Self::read(&mut Reader::new(bytes)).map_err(|Truncated| PacketError::TooShort { expected })
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        Ok(Self {
            protocol: reader.u32()?,
            after_sb_0p: reader.u32()?,
            after_sb_1p: reader.u32()?,
            after_sb_2p: reader.u32()?,
            conn_flags: ConnectionFlags::from_bits(reader.u32()?),
            two_primaries: reader.u32()?,
            integrity_alg: AlgorithmName::from_field(reader.take_rest()),
        })
    }

    /// Appends the packet as protocol version `agreed` has it.
    pub fn encode(&self, agreed: u32, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u32(self.protocol)?;
        writer.u32(self.after_sb_0p)?;
        writer.u32(self.after_sb_1p)?;
        writer.u32(self.after_sb_2p)?;
        writer.u32(self.conn_flags.bits())?;
        writer.u32(self.two_primaries)?;
        if agreed >= 87 {
            self.integrity_alg.encode_text(writer)?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Any name that fits.
    pub(in crate::wire) fn algorithm_name() -> impl Strategy<Value = AlgorithmName> {
        proptest::collection::vec(1_u8..=255, 0..64)
            .prop_map(|text: Vec<u8>| AlgorithmName::new(&text).unwrap())
    }

    #[test]
    fn names_end_at_the_first_zero() {
        assert_eq!(AlgorithmName::new(&[b'a'; 64]), None);
        assert_eq!(AlgorithmName::new(b"a\0b"), None);
        assert_eq!(AlgorithmName::new(b""), Some(AlgorithmName::NONE));
        assert!(AlgorithmName::NONE.is_empty());
        let crc = AlgorithmName::new(b"crc32c").unwrap();
        assert_eq!(AlgorithmName::from_field(b"crc32c\0garbage"), crc);
        assert_eq!(crc.as_str(), Some("crc32c"));
        assert_eq!(
            AlgorithmName::from_field(&[b'x'; 200]).as_bytes(),
            [b'x'; 63]
        );
        assert_eq!(AlgorithmName::from_field(&[0xff]).as_str(), None);
    }

    #[test]
    fn known_bytes() {
        let protocol = Protocol {
            protocol: 3,
            after_sb_0p: 3,
            after_sb_1p: 7,
            after_sb_2p: 0,
            conn_flags: ConnectionFlags::DRY_RUN,
            two_primaries: 1,
            integrity_alg: AlgorithmName::new(b"md5").unwrap(),
        };
        let mut bytes = [0xff; 64];
        let mut writer = Writer::new(&mut bytes);
        protocol.encode(101, &mut writer).unwrap();
        assert_eq!(writer.written(), 28);
        assert_eq!(
            bytes[..28],
            [
                0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, b'm', b'd',
                b'5', 0
            ]
        );
    }

    #[test]
    fn lengths_follow_the_protocol_version() {
        let bytes = [0; 128];
        let decode = |size: usize, agreed| Protocol::decode(&bytes[..size], agreed);
        assert_eq!(decode(23, 101), Err(PacketError::TooShort { expected: 24 }));
        assert_eq!(decode(25, 86), Err(PacketError::TooLong { expected: 24 }));
        assert_eq!(decode(89, 87), Err(PacketError::TooLong { expected: 88 }));
        assert!(decode(24, 86).is_ok() && decode(24, 101).is_ok() && decode(88, 87).is_ok());
    }

    proptest! {
        #[test]
        fn round_trip(
            agreed in 86_u32..102, numbers: [u32; 5], bits: u32, name in algorithm_name(),
        ) {
            let [protocol, after_sb_0p, after_sb_1p, after_sb_2p, two_primaries] = numbers;
            let integrity_alg = if agreed < 87 { AlgorithmName::NONE } else { name };
            let conn_flags = ConnectionFlags::from_bits(bits);
            let packet = Protocol {
                protocol, after_sb_0p, after_sb_1p, after_sb_2p, conn_flags, two_primaries, integrity_alg,
            };
            let mut bytes = [0; 128];
            let mut writer = Writer::new(&mut bytes);
            packet.encode(agreed, &mut writer).unwrap();
            let size = writer.written();
            prop_assert_eq!(Protocol::decode(&bytes[..size], agreed), Ok(packet));
        }
    }
}
