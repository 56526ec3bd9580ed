// SPDX-License-Identifier: GPL-2.0-only

//! The three packet headers.
//!
//! | format | since | bytes | layout                                                               |
//! |--------|-------|-------|----------------------------------------------------------------------|
//! | H80    | 80    | 8     | magic `0x83740267` (32), command (16), length (16)                   |
//! | H95    | 95    | 8     | magic `0x835a` (16), command (16), length (32)                       |
//! | H100   | 100   | 16    | magic `0x8620ec20` (32), volume (16), command (16), length (32), zero (32) |
//!
//! The length counts the bytes after the header. Only H100 names a volume: older versions know volume 0 alone.
//!
//! C headers: `struct p_header80`, `p_header95`, `p_header100` in `drbd_protocol.h`; the magics in `uapi/linux/drbd.h`.

use super::EncodeError;
use crate::bytes::{
    Reader,
    Truncated,
    Writer, //
};

const MAGIC_H80: u32 = 0x8374_0267;
const MAGIC_H95: u16 = 0x835a;
const MAGIC_H100: u32 = 0x8620_ec20;

/// Payloads above this many bytes need H95 (`DRBD_MAX_SIZE_H80_PACKET`).
pub const MAX_LENGTH_H80: u32 = 1 << 15;

/// The layout of a packet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFormat {
    /// 16-bit length, no volume.
    H80,
    /// 32-bit length, no volume.
    H95,
    /// 32-bit length and volume.
    H100,
}

impl HeaderFormat {
    /// What a receiver expects: H100 since protocol 100. Before that H80 stands for both H80 and H95, which have the same
    /// size and are told apart by their magic.
    pub const fn for_protocol(agreed: u32) -> Self {
        if agreed >= 100 {
            Self::H100
        } else {
            Self::H80
        }
    }

    /// What a sender uses for a packet with `length` bytes after its header.
    pub const fn to_send(agreed: u32, length: u32) -> Self {
        if agreed >= 100 {
            Self::H100
        } else if agreed >= 95 && length > MAX_LENGTH_H80 {
            Self::H95
        } else {
            Self::H80
        }
    }

    /// Bytes of the header on the wire.
    pub const fn size(self) -> usize {
        match self {
            Self::H80 | Self::H95 => 8,
            Self::H100 => 16,
        }
    }
}

/// What every packet begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The volume that the packet is about; 0 for packets about the connection, and before protocol 100.
    pub volume: u16,
    /// The command number, not yet known to be one ([`super::Command`]).
    pub command: u16,
    /// Bytes after the header: fixed part and payload.
    pub length: u32,
}

/// Why bytes are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Fewer bytes than the header of the agreed protocol version has.
    Truncated,
    /// The first four bytes are no magic of the agreed protocol version.
    WrongMagic(u32),
    /// The padding of H100 is not zero.
    Padding,
}

impl From<Truncated> for HeaderError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

impl Header {
    /// Decodes the header at the front of `bytes`, in the format that protocol version `agreed` expects.
    ///
    /// The header takes `HeaderFormat::for_protocol(agreed).size()` bytes; what follows is not looked at.
    pub fn decode(bytes: &[u8], agreed: u32) -> Result<Self, HeaderError> {
        let format = HeaderFormat::for_protocol(agreed);
        let mut reader = Reader::new(bytes.get(..format.size()).ok_or(HeaderError::Truncated)?);
        let magic = reader.u32()?;
        match format {
            HeaderFormat::H100 if magic == MAGIC_H100 => {
                let header = Self {
                    volume: reader.u16()?,
                    command: reader.u16()?,
                    length: reader.u32()?,
                };
                match reader.u32()? {
                    0 => Ok(header),
                    _ => Err(HeaderError::Padding),
                }
            }
            HeaderFormat::H80 | HeaderFormat::H95 => Self::decode_short(bytes, magic),
            HeaderFormat::H100 => Err(HeaderError::WrongMagic(magic)),
        }
    }

    /// Decodes H80 or H95, whichever the magic says.
    fn decode_short(bytes: &[u8], magic: u32) -> Result<Self, HeaderError> {
        let mut reader = Reader::new(bytes);
        if reader.u16()? == MAGIC_H95 {
            Ok(Self {
                volume: 0,
                command: reader.u16()?,
                length: reader.u32()?,
            })
        } else if magic == MAGIC_H80 {
            reader.u16()?;
            Ok(Self {
                volume: 0,
                command: reader.u16()?,
                length: u32::from(reader.u16()?),
            })
        } else {
            Err(HeaderError::WrongMagic(magic))
        }
    }

    /// Appends the header in `format`. What the format cannot express is refused, not cut off.
    pub fn encode(&self, format: HeaderFormat, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        if format != HeaderFormat::H100 && self.volume != 0 {
            return Err(EncodeError::Volume);
        }
        match format {
            HeaderFormat::H80 => {
                let length = u16::try_from(self.length).map_err(|_| EncodeError::TooLong)?;
                writer.u32(MAGIC_H80)?;
                writer.u16(self.command)?;
                writer.u16(length)?;
            }
            HeaderFormat::H95 => {
                writer.u16(MAGIC_H95)?;
                writer.u16(self.command)?;
                writer.u32(self.length)?;
            }
            HeaderFormat::H100 => {
                writer.u32(MAGIC_H100)?;
                writer.u16(self.volume)?;
                writer.u16(self.command)?;
                writer.u32(self.length)?;
                writer.u32(0)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(header: &Header, format: HeaderFormat) -> ([u8; 16], usize) {
        let mut bytes = [0; 16];
        let mut writer = Writer::new(&mut bytes);
        header.encode(format, &mut writer).unwrap();
        let size = writer.written();
        assert_eq!(size, format.size());
        (bytes, size)
    }

    #[test]
    fn known_bytes() {
        let header = Header {
            volume: 0,
            command: 0xfffe,
            length: 80,
        };
        let (bytes, size) = encode(&header, HeaderFormat::H80);
        assert_eq!(bytes[..size], [0x83, 0x74, 0x02, 0x67, 0xff, 0xfe, 0, 80]);
        let (bytes, size) = encode(&header, HeaderFormat::H95);
        assert_eq!(bytes[..size], [0x83, 0x5a, 0xff, 0xfe, 0, 0, 0, 80]);
        let header = Header {
            volume: 0x0102,
            command: 0x0304,
            length: 0x0506_0708,
        };
        let (bytes, _) = encode(&header, HeaderFormat::H100);
        assert_eq!(
            bytes,
            [0x86, 0x20, 0xec, 0x20, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0]
        );
    }

    #[test]
    fn the_format_follows_the_protocol_version() {
        use HeaderFormat::*;
        for (agreed, length, expected) in [
            (80, 0, H80),
            (94, 40_000, H80),
            (95, 32_768, H80),
            (95, 32_769, H95),
            (99, 1 << 17, H95),
            (100, 0, H100),
            (101, 1 << 20, H100),
        ] {
            assert_eq!(HeaderFormat::to_send(agreed, length), expected);
        }
        assert_eq!(HeaderFormat::for_protocol(99), H80);
        assert_eq!(HeaderFormat::for_protocol(100), H100);
    }

    #[test]
    fn refuses_what_the_format_cannot_express() {
        let mut bytes = [0; 16];
        let mut header = Header {
            volume: 1,
            command: 0,
            length: 0,
        };
        for format in [HeaderFormat::H80, HeaderFormat::H95] {
            let result = header.encode(format, &mut Writer::new(&mut bytes));
            assert_eq!(result, Err(EncodeError::Volume));
        }
        header.volume = 0;
        header.length = 0x1_0000;
        let result = header.encode(HeaderFormat::H80, &mut Writer::new(&mut bytes));
        assert_eq!(result, Err(EncodeError::TooLong));
        let result = header.encode(HeaderFormat::H100, &mut Writer::new(&mut bytes[..15]));
        assert_eq!(result, Err(EncodeError::Truncated));
    }

    #[test]
    fn wrong_magic_padding_and_short_input() {
        let header = Header {
            volume: 0,
            command: 3,
            length: 9,
        };
        let (mut bytes, _) = encode(&header, HeaderFormat::H100);
        assert_eq!(
            Header::decode(&bytes, 99),
            Err(HeaderError::WrongMagic(0x8620_ec20))
        );
        assert_eq!(
            Header::decode(&bytes[..15], 100),
            Err(HeaderError::Truncated)
        );
        bytes[15] = 1;
        assert_eq!(Header::decode(&bytes, 100), Err(HeaderError::Padding));
        let (bytes, _) = encode(&header, HeaderFormat::H80);
        assert_eq!(
            Header::decode(&bytes, 100),
            Err(HeaderError::WrongMagic(0x8374_0267))
        );
        assert_eq!(Header::decode(&bytes[..8], 94), Ok(header));
    }

    proptest! {
        #[test]
        fn round_trip(agreed in 80_u32..103, volume: u16, command: u16, length: u32) {
            let format = HeaderFormat::to_send(agreed, length);
            let volume = if format == HeaderFormat::H100 { volume } else { 0 };
            let length = if format == HeaderFormat::H80 { length & 0xffff } else { length };
            let header = Header { volume, command, length };
            let (bytes, size) = encode(&header, format);
            prop_assert_eq!(Header::decode(&bytes[..size], agreed), Ok(header));
        }

        #[test]
        fn any_bytes_are_a_header_or_an_error(agreed in 80_u32..103, bytes: [u8; 16], size in 0_usize..17) {
            if let Ok(header) = Header::decode(&bytes[..size], agreed) {
                prop_assert!(size >= HeaderFormat::for_protocol(agreed).size());
                prop_assert!(agreed >= 100 || header.volume == 0);
            }
        }
    }
}
