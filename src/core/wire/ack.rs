// SPDX-License-Identifier: GPL-2.0-only

//! Acknowledgements on the meta socket.
//!
//! C header: `struct p_block_ack`, `p_barrier_ack` in `drbd_protocol.h`.

use super::WireValue;
use crate::bytes::{
    Reader,
    Truncated,
    Writer, //
};

/// What became of a block. The command says what: `P_RECV_ACK`, `P_WRITE_ACK`, `P_RS_WRITE_ACK`, `P_SUPERSEDED`,
/// `P_RETRY_WRITE`, `P_NEG_ACK`, `P_NEG_DREPLY`, `P_NEG_RS_DREPLY`, `P_RS_CANCEL`, `P_RS_IS_IN_SYNC`, `P_OV_RESULT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockAck {
    /// The first sector.
    pub sector: u64,
    /// The token of the request that this answers, [`super::block::ID_SYNCER`] for resync, or, in `P_OV_RESULT`,
    /// [`super::block::ID_IN_SYNC`] or [`super::block::ID_OUT_OF_SYNC`].
    pub block_id: u64,
    /// Bytes.
    pub size: u32,
    /// The place of this packet among all numbered packets of the volume from this sender.
    pub seq_num: u32,
}

impl WireValue for BlockAck {
    const SIZE: usize = 24;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        Ok(Self {
            sector: reader.u64()?,
            block_id: reader.u64()?,
            size: reader.u32()?,
            seq_num: reader.u32()?,
        })
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u64(self.sector)?;
        writer.u64(self.block_id)?;
        writer.u32(self.size)?;
        writer.u32(self.seq_num)
    }
}

/// `P_BARRIER_ACK`: every write of an epoch is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierAck {
    /// The token of the barrier that closed the epoch.
    pub barrier: u32,
    /// The number of writes in the epoch.
    pub set_size: u32,
}

impl WireValue for BarrierAck {
    const SIZE: usize = 8;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        Ok(Self {
            barrier: reader.u32()?,
            set_size: reader.u32()?,
        })
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u32(self.barrier)?;
        writer.u32(self.set_size)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_round_trip;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_bytes() {
        let bytes = [
            0, 0, 0, 0, 0, 0, 1, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x10, 0,
            0, 0, 0, 7,
        ];
        let ack = BlockAck {
            sector: 0x102,
            block_id: u64::MAX,
            size: 4096,
            seq_num: 7,
        };
        assert_eq!(BlockAck::decode(&bytes), Ok(ack));
    }

    proptest! {
        #[test]
        fn round_trips(sector: u64, block_id: u64, size: u32, seq_num: u32) {
            check_round_trip(&BlockAck { sector, block_id, size, seq_num });
            check_round_trip(&BarrierAck { barrier: size, set_size: seq_num });
        }
    }
}
