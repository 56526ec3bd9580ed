// SPDX-License-Identifier: GPL-2.0-only

//! The end of an epoch.
//!
//! C header: `struct p_barrier` in `drbd_protocol.h`.

use super::WireValue;
use crate::bytes::{
    Reader,
    Truncated,
    Writer, //
};

/// `P_BARRIER`: the writes before it must be on stable storage before any write after it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// A token of the sender, which comes back in the acknowledgement.
    pub barrier: u32,
}

impl WireValue for Barrier {
    const SIZE: usize = 8;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        let barrier = reader.u32()?;
        reader.u32()?;
        Ok(Self { barrier })
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u32(self.barrier)?;
        writer.u32(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_round_trip;
    use super::*;

    #[test]
    fn the_padding_is_ignored() {
        check_round_trip(&Barrier {
            barrier: 0x0102_0304,
        });
        assert_eq!(
            Barrier::decode(&[1, 2, 3, 4, 9, 9, 9, 9]),
            Ok(Barrier {
                barrier: 0x0102_0304
            })
        );
    }
}
