// SPDX-License-Identifier: GPL-2.0-only

//! Sizes and limits of a device.
//!
//! C header: `struct p_sizes`, `o_qlim` in `drbd_protocol.h`; `enum dds_flags` in `drbd_int.h`.

use super::{
    flags::bit_flags,
    FeatureFlags,
    PacketError, //
};
use crate::bytes::{
    Reader,
    Truncated,
    Writer, //
};

bit_flags! {
    /// How a change of size is to be done (`DDSF_*`).
    ResizeFlags: u16 {
        /// The administrator insists.
        FORCED = 1;
        /// The new space needs no resync.
        NO_RESYNC = 2;
    }
}

/// Limits of the backing disk, which the device of a diskless peer adopts (`struct o_qlim`). Sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueLimits {
    /// The smallest write without read-modify-write.
    pub physical_block_size: u32,
    /// The smallest addressable unit.
    pub logical_block_size: u32,
    /// Bytes by which the start of the disk is off a physical block.
    pub alignment_offset: u32,
    /// The smallest efficient I/O.
    pub io_min: u32,
    /// The preferred I/O, 0 where the disk has none.
    pub io_opt: u32,
    /// Whether the disk can discard; not 0 means yes.
    pub discard_enabled: u8,
    /// Whether discarded blocks read as zeroes; not 0 means yes. This driver sends 0.
    pub discard_zeroes_data: u8,
    /// Whether the disk can write-same; not 0 means yes. This driver sends 0.
    pub write_same_capable: u8,
}

impl QueueLimits {
    const SIZE: usize = 24;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        let limits = Self {
            physical_block_size: reader.u32()?,
            logical_block_size: reader.u32()?,
            alignment_offset: reader.u32()?,
            io_min: reader.u32()?,
            io_opt: reader.u32()?,
            discard_enabled: reader.u8()?,
            discard_zeroes_data: reader.u8()?,
            write_same_capable: reader.u8()?,
        };
        reader.u8()?;
        Ok(limits)
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u32(self.physical_block_size)?;
        writer.u32(self.logical_block_size)?;
        writer.u32(self.alignment_offset)?;
        writer.u32(self.io_min)?;
        writer.u32(self.io_opt)?;
        writer.u8(self.discard_enabled)?;
        writer.u8(self.discard_zeroes_data)?;
        writer.u8(self.write_same_capable)?;
        writer.u8(0)
    }
}

/// `P_SIZES`: sizes in sectors, and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// What the backing disk could hold; 0 without a disk.
    pub d_size: u64,
    /// What the administrator asked for; 0 for all there is.
    pub u_size: u64,
    /// The size of the device now; 0 asks the peer to answer with its own sizes.
    pub c_size: u64,
    /// Bytes that one request may have.
    pub max_bio_size: u32,
    /// How the disk orders writes; nobody uses it.
    pub queue_order_type: u16,
    /// How a change of size is to be done.
    pub dds_flags: ResizeFlags,
    /// Limits of the disk: on the wire exactly where [`FeatureFlags::WSAME`] is agreed.
    pub qlim: Option<QueueLimits>,
}

impl Sizes {
    /// Bytes without the limits.
    pub const MIN_SIZE: usize = 32;

    /// Bytes on the wire, with the agreed `features`.
    pub const fn size(features: FeatureFlags) -> usize {
        if features.contains(FeatureFlags::WSAME) {
            Self::MIN_SIZE.saturating_add(QueueLimits::SIZE)
        } else {
            Self::MIN_SIZE
        }
    }

    /// Decodes everything after the header.
    pub fn decode(bytes: &[u8], features: FeatureFlags) -> Result<Self, PacketError> {
        let expected = Self::size(features);
        if bytes.len() > expected {
            return Err(PacketError::TooLong { expected });
        }
        Self::read(&mut Reader::new(bytes), features)
            .map_err(|Truncated| PacketError::TooShort { expected })
    }

    fn read(reader: &mut Reader<'_>, features: FeatureFlags) -> Result<Self, Truncated> {
        Ok(Self {
            d_size: reader.u64()?,
            u_size: reader.u64()?,
            c_size: reader.u64()?,
            max_bio_size: reader.u32()?,
            queue_order_type: reader.u16()?,
            dds_flags: ResizeFlags::from_bits(reader.u16()?),
            qlim: if features.contains(FeatureFlags::WSAME) {
                Some(QueueLimits::read(reader)?)
            } else {
                None
            },
        })
    }

    /// Appends the packet as the agreed `features` have it; missing limits travel as zeroes.
    pub fn encode(&self, features: FeatureFlags, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u64(self.d_size)?;
        writer.u64(self.u_size)?;
        writer.u64(self.c_size)?;
        writer.u32(self.max_bio_size)?;
        writer.u16(self.queue_order_type)?;
        writer.u16(self.dds_flags.bits())?;
        if features.contains(FeatureFlags::WSAME) {
            self.qlim.unwrap_or_default().encode(writer)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_bytes() {
        let sizes = Sizes {
            d_size: 1,
            u_size: 2,
            c_size: 3,
            max_bio_size: 1 << 20,
            queue_order_type: 0,
            dds_flags: ResizeFlags::NO_RESYNC,
            qlim: Some(QueueLimits {
                physical_block_size: 4096,
                logical_block_size: 512,
                alignment_offset: 0,
                io_min: 4096,
                io_opt: 0,
                discard_enabled: 1,
                discard_zeroes_data: 0,
                write_same_capable: 0,
            }),
        };
        let mut bytes = [0xff; 56];
        sizes
            .encode(FeatureFlags::SUPPORTED, &mut Writer::new(&mut bytes))
            .unwrap();
        assert_eq!(
            bytes,
            [
                0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0x10, 0,
                0, 0, 0, 0, 2, 0, 0, 0x10, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 1,
                0, 0, 0
            ]
        );
    }

    #[test]
    fn lengths_follow_the_features() {
        let bytes = [0; 64];
        let decode = |size: usize, features| Sizes::decode(&bytes[..size], features);
        let (with, without) = (FeatureFlags::WSAME, FeatureFlags::TRIM);
        assert!(decode(56, with).unwrap().qlim.is_some());
        assert!(decode(32, without).unwrap().qlim.is_none());
        assert_eq!(
            decode(32, with),
            Err(PacketError::TooShort { expected: 56 })
        );
        assert_eq!(decode(57, with), Err(PacketError::TooLong { expected: 56 }));
        assert_eq!(
            decode(56, without),
            Err(PacketError::TooLong { expected: 32 })
        );
    }

    proptest! {
        #[test]
        fn any_bytes_of_the_right_length_come_back(mut bytes in proptest::array::uniform32(0_u8..), more: [u8; 24]) {
            let sizes = Sizes::decode(&bytes, FeatureFlags::NONE).unwrap();
            let mut again = [0; 32];
            sizes.encode(FeatureFlags::NONE, &mut Writer::new(&mut again)).unwrap();
            prop_assert_eq!(bytes, again);

            bytes[31] = 3;
            let mut all = [0; 56];
            all[..32].copy_from_slice(&bytes);
            all[32..].copy_from_slice(&more);
            all[55] = 0;
            let sizes = Sizes::decode(&all, FeatureFlags::WSAME).unwrap();
            let mut again = [0; 56];
            sizes.encode(FeatureFlags::WSAME, &mut Writer::new(&mut again)).unwrap();
            prop_assert_eq!(all, again);
        }
    }
}
