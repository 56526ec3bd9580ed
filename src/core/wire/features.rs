// SPDX-License-Identifier: GPL-2.0-only

//! Which protocol version and which features two nodes agree on.
//!
//! C header: `struct p_connection_features` and `DRBD_FF_*` in `drbd_protocol.h`.

use super::{
    flags::bit_flags,
    WireValue,
    PROTOCOL_VERSION_MAX,
    PROTOCOL_VERSION_MIN, //
};
use crate::bytes::{
    Reader,
    Truncated,
    Writer, //
};

bit_flags! {
    /// Optional abilities of the protocol (`DRBD_FF_*`). In use is what both sides announce.
    FeatureFlags: u32 {
        /// Discards travel as `P_TRIM`.
        TRIM = 1;
        /// A resync source may answer that a block holds zeroes only.
        THIN_RESYNC = 2;
        /// Write-same. The operation is gone; the flag still says that `P_SIZES` carries the queue limits, and that
        /// discards of up to 128 MiB are accepted.
        WSAME = 4;
        /// Zeroing travels as `P_ZEROES`, and so is told apart from discarding.
        WZEROES = 8;
    }
}

impl FeatureFlags {
    /// What this driver announces (`PRO_FEATURES`).
    pub const SUPPORTED: Self = Self::TRIM
        .union(Self::THIN_RESYNC)
        .union(Self::WSAME)
        .union(Self::WZEROES);

    /// What is in use with a peer that announces `peer`.
    #[must_use]
    pub const fn agree(peer: Self) -> Self {
        Self::SUPPORTED.intersection(peer)
    }
}

/// As the log line of the handshake has it: `0x3 TRIM THIN_RESYNC`, or `0x0 none`.
impl core::fmt::Display for FeatureFlags {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "0x{:x}", self.bits())?;
        for (flag, name) in [
            (Self::TRIM, " TRIM"),
            (Self::THIN_RESYNC, " THIN_RESYNC"),
            (Self::WSAME, " WRITE_SAME"),
            (Self::WZEROES, " WRITE_ZEROES"),
        ] {
            if self.contains(flag) {
                formatter.write_str(name)?;
            }
        }
        if self.is_empty() {
            formatter.write_str(" none")?;
        }
        Ok(())
    }
}

/// What two nodes have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The protocol version.
    pub protocol: u32,
    /// The features in use.
    pub features: FeatureFlags,
}

/// `P_CONNECTION_FEATURES`: what a node speaks. Its layout is fixed for all versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionFeatures {
    /// The oldest protocol version.
    pub protocol_min: u32,
    /// The optional abilities.
    pub feature_flags: FeatureFlags,
    /// The newest protocol version; 0 means the same as the oldest.
    pub protocol_max: u32,
}

impl ConnectionFeatures {
    /// What this driver announces.
    pub const fn ours() -> Self {
        Self {
            protocol_min: PROTOCOL_VERSION_MIN,
            feature_flags: FeatureFlags::SUPPORTED,
            protocol_max: PROTOCOL_VERSION_MAX,
        }
    }

    /// What this driver and the peer that sent `self` use; `None` where they have no version in common.
    pub fn agree(&self) -> Option<Agreement> {
        let newest = match self.protocol_max {
            0 => self.protocol_min,
            newest => newest,
        };
        if self.protocol_min > PROTOCOL_VERSION_MAX || newest < PROTOCOL_VERSION_MIN {
            return None;
        }
        Some(Agreement {
            protocol: newest.min(PROTOCOL_VERSION_MAX),
            features: FeatureFlags::agree(self.feature_flags),
        })
    }
}

/// Reserved bytes at the end of the packet: sent as zero, ignored when received.
const RESERVED: usize = 60;

impl WireValue for ConnectionFeatures {
    const SIZE: usize = 72;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        let features = Self {
            protocol_min: reader.u32()?,
            feature_flags: FeatureFlags::from_bits(reader.u32()?),
            protocol_max: reader.u32()?,
        };
        reader.bytes(RESERVED)?;
        Ok(features)
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u32(self.protocol_min)?;
        writer.u32(self.feature_flags.bits())?;
        writer.u32(self.protocol_max)?;
        writer.zeroes(RESERVED)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_round_trip;
    use super::*;
    use std::string::ToString;

    fn peer(protocol_min: u32, protocol_max: u32, flags: u32) -> ConnectionFeatures {
        ConnectionFeatures {
            protocol_min,
            feature_flags: FeatureFlags::from_bits(flags),
            protocol_max,
        }
    }

    #[test]
    fn known_bytes() {
        let mut bytes = [0xff; 72];
        ConnectionFeatures::ours()
            .encode(&mut Writer::new(&mut bytes))
            .unwrap();
        assert_eq!(bytes[..12], [0, 0, 0, 86, 0, 0, 0, 15, 0, 0, 0, 101]);
        assert_eq!(bytes[12..], [0; 60]);
        check_round_trip(&ConnectionFeatures::ours());
        check_round_trip(&peer(1, u32::MAX, 0xdead_beef));
    }

    #[test]
    fn versions_meet_or_do_not() {
        let version = |min, max| peer(min, max, 0).agree().map(|agreed| agreed.protocol);
        assert_eq!(version(86, 101), Some(101));
        assert_eq!(version(86, 96), Some(96));
        assert_eq!(version(80, 86), Some(86));
        assert_eq!(version(90, 0), Some(90));
        assert_eq!(version(101, 122), Some(101));
        assert_eq!(version(86, u32::MAX), Some(101));
        assert_eq!(version(102, 122), None);
        assert_eq!(version(80, 85), None);
        assert_eq!(version(0, 0), None);
    }

    #[test]
    fn features_are_what_both_have() {
        let agreed = peer(86, 101, 0xff03).agree().unwrap().features;
        assert_eq!(agreed, FeatureFlags::TRIM | FeatureFlags::THIN_RESYNC);
        assert_eq!(agreed.to_string(), "0x3 TRIM THIN_RESYNC");
        assert_eq!(
            FeatureFlags::SUPPORTED.to_string(),
            "0xf TRIM THIN_RESYNC WRITE_SAME WRITE_ZEROES"
        );
        assert_eq!(FeatureFlags::NONE.to_string(), "0x0 none");
    }
}
