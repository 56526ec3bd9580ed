// SPDX-License-Identifier: GPL-2.0-only

//! A measurement that old versions sent on both sockets. It is read and ignored, and never sent.
//!
//! C header: `struct p_delay_probe93` in `drbd_protocol.h`.

use super::WireValue;
use crate::bytes::{
    Reader,
    Truncated,
    Writer, //
};

/// `P_DELAY_PROBE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayProbe {
    /// Names the pair of probes, one on each socket.
    pub seq_num: u32,
    /// Microseconds between the reference time and the sending of this probe.
    pub offset: u32,
}

impl WireValue for DelayProbe {
    const SIZE: usize = 8;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        Ok(Self {
            seq_num: reader.u32()?,
            offset: reader.u32()?,
        })
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u32(self.seq_num)?;
        writer.u32(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_round_trip;
    use super::*;

    #[test]
    fn round_trip() {
        check_round_trip(&DelayProbe {
            seq_num: 1,
            offset: 2,
        });
    }
}
