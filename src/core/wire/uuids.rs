// SPDX-License-Identifier: GPL-2.0-only

//! Generation UUIDs.
//!
//! C header: `struct p_uuids`, `p_rs_uuid` in `drbd_protocol.h`; `enum drbd_uuid_index` in `uapi/linux/drbd.h`.

use super::{
    flags::bit_flags,
    WireValue, //
};
use crate::bytes::{
    Reader,
    Truncated,
    Writer, //
};

bit_flags! {
    /// What else the sender tells with its UUIDs.
    UuidFlags: u64 {
        /// The sender gives up its changes, should the nodes have diverged.
        DISCARD_MY_DATA = 1;
        /// The sender was primary when it crashed.
        CRASHED_PRIMARY = 2;
        /// The disk of the sender is, or is about to become, Inconsistent.
        INCONSISTENT = 4;
        /// The new current UUID needs no initial resync. Since protocol 90.
        SKIP_INITIAL_SYNC = 8;
    }
}

/// `P_UUIDS`: the generations of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uuids {
    /// Current, bitmap, two of history, then the number of dirty bits and the flags.
    pub uuid: [u64; 6],
}

impl Uuids {
    /// The packet with these generations, dirty bits and flags.
    pub const fn new(
        current: u64,
        bitmap: u64,
        history: [u64; 2],
        dirty_bits: u64,
        flags: UuidFlags,
    ) -> Self {
        let [start, end] = history;
        Self {
            uuid: [current, bitmap, start, end, dirty_bits, flags.bits()],
        }
    }

    /// The generation of the data now.
    pub const fn current(&self) -> u64 {
        let [current, ..] = self.uuid;
        current
    }

    /// The generation that the bitmap counts from, 0 where it counts from none.
    pub const fn bitmap(&self) -> u64 {
        let [_, bitmap, ..] = self.uuid;
        bitmap
    }

    /// Older generations, the newer one first.
    pub const fn history(&self) -> [u64; 2] {
        let [_, _, start, end, ..] = self.uuid;
        [start, end]
    }

    /// The number of bits that are set in the bitmap.
    pub const fn dirty_bits(&self) -> u64 {
        let [.., dirty_bits, _] = self.uuid;
        dirty_bits
    }

    /// What else the sender tells.
    pub const fn flags(&self) -> UuidFlags {
        let [.., flags] = self.uuid;
        UuidFlags::from_bits(flags)
    }
}

impl WireValue for Uuids {
    const SIZE: usize = 48;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        let mut uuid = [0; 6];
        for value in &mut uuid {
            *value = reader.u64()?;
        }
        Ok(Self { uuid })
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        self.uuid.iter().try_for_each(|&value| writer.u64(value))
    }
}

/// `P_SYNC_UUID`: the current UUID of the sync target from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncUuid {
    /// The UUID.
    pub uuid: u64,
}

impl WireValue for SyncUuid {
    const SIZE: usize = 8;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        Ok(Self {
            uuid: reader.u64()?,
        })
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u64(self.uuid)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_round_trip;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_order_of_the_fields() {
        let flags = UuidFlags::CRASHED_PRIMARY | UuidFlags::SKIP_INITIAL_SYNC;
        let uuids = Uuids::new(1, 2, [3, 4], 5, flags);
        assert_eq!(uuids.uuid, [1, 2, 3, 4, 5, 10]);
        assert_eq!((uuids.current(), uuids.bitmap()), (1, 2));
        assert_eq!((uuids.history(), uuids.dirty_bits()), ([3, 4], 5));
        assert_eq!(uuids.flags(), flags);
    }

    proptest! {
        #[test]
        fn round_trips(uuid: [u64; 6]) {
            check_round_trip(&Uuids { uuid });
            check_round_trip(&SyncUuid { uuid: uuid[0] });
        }
    }
}
