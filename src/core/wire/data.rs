// SPDX-License-Identifier: GPL-2.0-only

//! Writes, and blocks that answer reads.
//!
//! C header: `struct p_data`, `p_trim`, `DP_*` in `drbd_protocol.h`; the limits in `drbd_int.h`.

use super::{
    flags::bit_flags,
    WireValue, //
};
use crate::bytes::{
    Reader,
    Truncated,
    Writer, //
};

/// Bytes of data in one packet at most (`DRBD_MAX_BIO_SIZE`).
pub const MAX_BIO_SIZE: u32 = 1 << 20;
/// The same with protocols 95 to 99 (`DRBD_MAX_BIO_SIZE_P95`).
pub const MAX_BIO_SIZE_P95: u32 = 1 << 17;
/// The same with protocols up to 94 (`DRBD_MAX_SIZE_H80_PACKET`).
pub const MAX_BIO_SIZE_H80: u32 = 1 << 15;
/// Bytes that one [`Trim`] or [`Zeroes`] covers at most (`DRBD_MAX_BATCH_BIO_SIZE`).
pub const MAX_BATCH_BIO_SIZE: u32 = 128 << 20;

/// Bytes of data in one packet at most, with protocol version `agreed`.
pub const fn max_bio_size(agreed: u32) -> u32 {
    match agreed {
        0..=94 => MAX_BIO_SIZE_H80,
        95..=99 => MAX_BIO_SIZE_P95,
        _ => MAX_BIO_SIZE,
    }
}

/// Bytes of data in one packet of the peer that are put up with: what was under way there when it heard of our limit may be
/// longer than that. Before protocol 95 an answer must fit into a length of 16 bits, with its digest.
pub const fn max_bio_size_of_peer(agreed: u32) -> u32 {
    match agreed {
        0..=94 => 0xfe00,
        _ => MAX_BIO_SIZE,
    }
}

bit_flags! {
    /// How a write is to be done (`DP_*`). Before protocol 95 only [`Self::RW_SYNC`] and [`Self::MAY_SET_IN_SYNC`] are sent.
    DataFlags: u32 {
        /// Not used any more.
        HARDBARRIER = 1;
        /// Someone waits for the write (`REQ_SYNC`).
        RW_SYNC = 2;
        /// A resync is running: the write may bring the block in sync.
        MAY_SET_IN_SYNC = 4;
        /// Not used any more.
        UNPLUG = 8;
        /// The write must be on stable storage when it is done (`REQ_FUA`).
        FUA = 16;
        /// The disk cache is flushed before the write (`REQ_PREFLUSH`).
        FLUSH = 32;
        /// A discard, or, with [`Self::ZEROES`], zeroing that may deallocate.
        DISCARD = 64;
        /// Send `P_RECV_ACK`, protocol B. Since protocol 100.
        SEND_RECEIVE_ACK = 128;
        /// Send `P_WRITE_ACK`, protocol C. Since protocol 100.
        SEND_WRITE_ACK = 256;
        /// Not used any more.
        WSAME = 512;
        /// Zeroing (`REQ_OP_WRITE_ZEROES`).
        ZEROES = 1024;
    }
}

/// What stands before the data: `P_DATA`, `P_DATA_REPLY`, `P_RS_DATA_REPLY`.
///
/// The payload is the digest of the data, where an integrity algorithm is in use, and then the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    /// The first sector.
    pub sector: u64,
    /// The token of the request, or [`super::block::ID_SYNCER`] for resync.
    pub block_id: u64,
    /// The place of this packet among all numbered packets of the volume from this sender; 0 in replies.
    pub seq_num: u32,
    /// How the write is to be done; none in replies. Unknown bits survive.
    pub flags: DataFlags,
}

impl WireValue for Data {
    const SIZE: usize = 24;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        Ok(Self {
            sector: reader.u64()?,
            block_id: reader.u64()?,
            seq_num: reader.u32()?,
            flags: DataFlags::from_bits(reader.u32()?),
        })
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u64(self.sector)?;
        writer.u64(self.block_id)?;
        writer.u32(self.seq_num)?;
        writer.u32(self.flags.bits())
    }
}

/// Declares a write that carries a size in the place of data.
macro_rules! write_without_data {
    ( $( $(#[$attribute:meta])* $name:ident; )* ) => { $(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            /// The first sector.
            pub sector: u64,
            /// The token of the request.
            pub block_id: u64,
            /// The place of this packet among all numbered packets of the volume from this sender.
            pub seq_num: u32,
            /// How the write is to be done. Unknown bits survive.
            pub flags: DataFlags,
            /// Bytes. A peer may claim anything: check against alignment, [`MAX_BATCH_BIO_SIZE`] and the device.
            pub size: u32,
        }

        impl WireValue for $name {
            const SIZE: usize = 28;

            fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
                let Data {
                    sector,
                    block_id,
                    seq_num,
                    flags,
                } = Data::read(reader)?;
                Ok(Self {
                    sector,
                    block_id,
                    seq_num,
                    flags,
                    size: reader.u32()?,
                })
            }

            fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
                Data {
                    sector: self.sector,
                    block_id: self.block_id,
                    seq_num: self.seq_num,
                    flags: self.flags,
                }
                .encode(writer)?;
                writer.u32(self.size)
            }
        }
    )* };
}

write_without_data! {
    /// `P_TRIM`: a discard. Older peers mean zeroing by it: see [`super::FeatureFlags::WZEROES`].
    Trim;
    /// `P_ZEROES`: zeroing.
    Zeroes;
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_round_trip;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_bytes() {
        let bytes = [
            0, 0, 0, 0, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9, 0, 0, 0x05, 0x40, 0, 0x10,
            0, 0,
        ];
        let zeroes = Zeroes {
            sector: 8,
            block_id: 0x0102_0304_0506_0708,
            seq_num: 9,
            flags: DataFlags::ZEROES | DataFlags::DISCARD | DataFlags::SEND_WRITE_ACK,
            size: 1 << 20,
        };
        assert_eq!(Zeroes::decode(&bytes), Ok(zeroes));
    }

    #[test]
    fn the_largest_bio_grows_with_the_protocol() {
        let sizes = [86, 94, 95, 99, 100, 101].map(max_bio_size);
        assert_eq!(
            sizes,
            [32768, 32768, 131_072, 131_072, 1_048_576, 1_048_576]
        );
    }

    #[test]
    fn a_peer_may_send_what_it_was_told_and_more() {
        for agreed in 86..=101 {
            assert!(max_bio_size_of_peer(agreed) >= max_bio_size(agreed));
        }
        let answer = max_bio_size_of_peer(94) as usize + Data::SIZE + 64;
        assert!(answer <= usize::from(u16::MAX));
    }

    proptest! {
        #[test]
        fn round_trips(sector: u64, block_id: u64, seq_num: u32, bits: u32, size: u32) {
            let flags = DataFlags::from_bits(bits);
            check_round_trip(&Data { sector, block_id, seq_num, flags });
            check_round_trip(&Trim { sector, block_id, seq_num, flags, size });
            check_round_trip(&Zeroes { sector, block_id, seq_num, flags, size });
        }
    }
}
