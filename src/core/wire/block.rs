// SPDX-License-Identifier: GPL-2.0-only

//! Packets that name a block and do not carry it.
//!
//! C header: `struct p_block_req`, `p_block_desc` in `drbd_protocol.h`; `ID_*` in `drbd_int.h`.

use super::WireValue;
use crate::bytes::{
    Reader,
    Truncated,
    Writer, //
};

/// The block identifier of resync and verify: the sector is all that names the request.
pub const ID_SYNCER: u64 = u64::MAX;
/// In the place of a block identifier in `P_OV_RESULT`: both nodes have the same data.
pub const ID_IN_SYNC: u64 = 4711;
/// In the place of a block identifier in `P_OV_RESULT`: the data differ.
pub const ID_OUT_OF_SYNC: u64 = 4712;

/// Asks for something about a block: `P_DATA_REQUEST`, `P_RS_DATA_REQUEST`, `P_RS_THIN_REQ`, `P_OV_REQUEST`, and, with a
/// digest as payload, `P_CSUM_RS_REQUEST`, `P_OV_REPLY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRequest {
    /// The first sector.
    pub sector: u64,
    /// The token of the request, or [`ID_SYNCER`].
    pub block_id: u64,
    /// Bytes. A peer may claim anything: check against 0, alignment, the largest bio and the size of the device.
    pub size: u32,
}

impl WireValue for BlockRequest {
    const SIZE: usize = 24;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        let request = Self {
            sector: reader.u64()?,
            block_id: reader.u64()?,
            size: reader.u32()?,
        };
        reader.u32()?;
        Ok(request)
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u64(self.sector)?;
        writer.u64(self.block_id)?;
        writer.u32(self.size)?;
        writer.u32(0)
    }
}

/// Tells something about a block: `P_OUT_OF_SYNC`, `P_RS_DEALLOCATED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockDescriptor {
    /// The first sector.
    pub sector: u64,
    /// Bytes. A peer may claim anything: check against the size of the device.
    pub size: u32,
}

impl WireValue for BlockDescriptor {
    const SIZE: usize = 16;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        let descriptor = Self {
            sector: reader.u64()?,
            size: reader.u32()?,
        };
        reader.u32()?;
        Ok(descriptor)
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u64(self.sector)?;
        writer.u32(self.size)?;
        writer.u32(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_round_trip;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_bytes() {
        let mut bytes = [0xff; 16];
        BlockDescriptor {
            sector: 0x0102,
            size: 0x8000,
        }
        .encode(&mut Writer::new(&mut bytes))
        .unwrap();
        assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0x80, 0, 0, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn round_trips(sector: u64, block_id: u64, size: u32) {
            check_round_trip(&BlockRequest { sector, block_id, size });
            check_round_trip(&BlockDescriptor { sector, size });
        }
    }
}
