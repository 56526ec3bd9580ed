// SPDX-License-Identifier: GPL-2.0-only

//! Settings of resync and verify, which grew with the protocol.
//!
//! | protocol   | after the header                                                     | bytes    |
//! |------------|----------------------------------------------------------------------|----------|
//! | up to 87   | rate                                                                 | 4        |
//! | 88         | rate, verify algorithm with its zero                                 | 5 to 68  |
//! | 89 to 94   | rate, verify and checksum algorithm in 64 bytes each                 | 132      |
//! | from 95    | the same, and the four settings of the controlled resync rate        | 148      |
//!
//! C header: `struct p_rs_param`, `p_rs_param_89`, `p_rs_param_95` in `drbd_protocol.h`.

use super::{
    AlgorithmName,
    Command,
    PacketError, //
};
use crate::bytes::{
    Reader,
    Truncated,
    Writer, //
};

/// `P_SYNC_PARAM` and `P_SYNC_PARAM89`.
///
/// What the agreed protocol version does not carry is empty or 0 after decoding, and means "not told", not "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncParam {
    /// The fixed resync rate, KiB for each second.
    pub resync_rate: u32,
    /// The digest of online verify. Since protocol 88.
    pub verify_alg: AlgorithmName,
    /// The digest of a checksum-based resync. Since protocol 89.
    pub csums_alg: AlgorithmName,
    /// How far the rate controller plans, tenths of a second. Since protocol 95.
    pub c_plan_ahead: u32,
    /// The delay that it aims at, tenths of a second. Since protocol 95.
    pub c_delay_target: u32,
    /// The data in flight that it aims at, sectors. Since protocol 95.
    pub c_fill_target: u32,
    /// The rate that it may reach, KiB for each second. Since protocol 95.
    pub c_max_rate: u32,
}

impl SyncParam {
    /// The command that a sender uses with protocol version `agreed`.
    pub const fn command(agreed: u32) -> Command {
        if agreed >= 89 {
            Command::SyncParam89
        } else {
            Command::SyncParam
        }
    }

    /// The fewest and the most bytes after the header, with protocol version `agreed`.
    pub const fn size_range(agreed: u32) -> (usize, usize) {
        match agreed {
            0..=87 => (4, 4),
            88 => (5, 68),
            89..=94 => (132, 132),
            _ => (148, 148),
        }
    }

    /// Decodes everything after the header.
    pub fn decode(bytes: &[u8], agreed: u32) -> Result<Self, PacketError> {
        let (fewest, most) = Self::size_range(agreed);
        if bytes.len() > most {
            return Err(PacketError::TooLong { expected: most });
        }
        let too_short = PacketError::TooShort { expected: fewest };
        if bytes.len() < fewest {
            return Err(too_short);
        }
        Self::read(&mut Reader::new(bytes), agreed).map_err(|Truncated| too_short)
    }

    fn read(reader: &mut Reader<'_>, agreed: u32) -> Result<Self, Truncated> {
        let mut param = Self {
            resync_rate: reader.u32()?,
            verify_alg: AlgorithmName::NONE,
            csums_alg: AlgorithmName::NONE,
            c_plan_ahead: 0,
            c_delay_target: 0,
            c_fill_target: 0,
            c_max_rate: 0,
        };
        if agreed == 88 {
            param.verify_alg = AlgorithmName::from_field(reader.take_rest());
        }
        if agreed >= 89 {
            param.verify_alg = AlgorithmName::read_field(reader)?;
            param.csums_alg = AlgorithmName::read_field(reader)?;
        }
        if agreed >= 95 {
            param.c_plan_ahead = reader.u32()?;
            param.c_delay_target = reader.u32()?;
            param.c_fill_target = reader.u32()?;
            param.c_max_rate = reader.u32()?;
        }
        Ok(param)
    }

    /// Appends the packet as protocol version `agreed` has it.
    pub fn encode(&self, agreed: u32, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u32(self.resync_rate)?;
        if agreed == 88 {
            self.verify_alg.encode_text(writer)?;
        }
        if agreed >= 89 {
            self.verify_alg.encode_field(writer)?;
            self.csums_alg.encode_field(writer)?;
        }
        if agreed >= 95 {
            writer.u32(self.c_plan_ahead)?;
            writer.u32(self.c_delay_target)?;
            writer.u32(self.c_fill_target)?;
            writer.u32(self.c_max_rate)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::setup::tests::algorithm_name;
    use super::*;
    use proptest::prelude::*;

    fn encode(param: &SyncParam, agreed: u32) -> ([u8; 160], usize) {
        let mut bytes = [0xff; 160];
        let mut writer = Writer::new(&mut bytes);
        param.encode(agreed, &mut writer).unwrap();
        let size = writer.written();
        (bytes, size)
    }

    #[test]
    fn sizes_and_places() {
        let param = SyncParam {
            resync_rate: 250,
            verify_alg: AlgorithmName::new(b"crc32c").unwrap(),
            csums_alg: AlgorithmName::new(b"md5").unwrap(),
            c_plan_ahead: 20,
            c_delay_target: 10,
            c_fill_target: 100,
            c_max_rate: 102_400,
        };
        assert_eq!(
            [86, 88, 89, 95, 101].map(|agreed| encode(&param, agreed).1),
            [4, 11, 132, 148, 148]
        );
        let (bytes, _) = encode(&param, 101);
        assert_eq!(bytes[..11], *b"\0\0\0\xfacrc32c\0");
        assert_eq!(bytes[68..72], *b"md5\0");
        assert_eq!(
            bytes[132..148],
            [0, 0, 0, 20, 0, 0, 0, 10, 0, 0, 0, 100, 0, 1, 0x90, 0]
        );
        assert_eq!(SyncParam::command(88), Command::SyncParam);
        assert_eq!(SyncParam::command(89), Command::SyncParam89);
    }

    #[test]
    fn no_other_length_is_accepted() {
        let bytes = [0; 200];
        for agreed in 86..=101 {
            let (fewest, most) = SyncParam::size_range(agreed);
            for size in 0..bytes.len() {
                let result = SyncParam::decode(&bytes[..size], agreed);
                if size < fewest {
                    assert_eq!(result, Err(PacketError::TooShort { expected: fewest }));
                } else if size > most {
                    assert_eq!(result, Err(PacketError::TooLong { expected: most }));
                } else {
                    assert!(result.is_ok());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn round_trip(
            agreed in 86_u32..102, numbers: [u32; 5], verify in algorithm_name(), csums in algorithm_name(),
        ) {
            let [resync_rate, controller @ ..] = numbers;
            let [c_plan_ahead, c_delay_target, c_fill_target, c_max_rate] =
                if agreed >= 95 { controller } else { [0; 4] };
            let verify_alg = if agreed >= 88 { verify } else { AlgorithmName::NONE };
            let csums_alg = if agreed >= 89 { csums } else { AlgorithmName::NONE };
            let param = SyncParam {
                resync_rate, verify_alg, csums_alg, c_plan_ahead, c_delay_target, c_fill_target, c_max_rate,
            };
            let (bytes, size) = encode(&param, agreed);
            prop_assert_eq!(SyncParam::decode(&bytes[..size], agreed), Ok(param));
        }
    }
}
