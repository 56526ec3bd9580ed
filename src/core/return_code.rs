// SPDX-License-Identifier: GPL-2.0-only

//! How a command ended, in the numbers that user space reads.
//!
//! A reply carries either one of these (101 to 170) or the result of a state change (4 and below), which is a plain
//! `i32` with the numbers of `enum drbd_state_rv`.
//!
//! C header: [`include/uapi/linux/drbd.h`](srctree/include/uapi/linux/drbd.h)

macro_rules! return_codes {
    ($( $(#[$doc:meta])* $name:ident = $number:literal, )+) => {
        /// The result of a command (`enum drbd_ret_code`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ReturnCode {
            $( $(#[$doc])* $name, )+
        }

        impl ReturnCode {
            /// All results, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The number for user space.
            pub const fn number(self) -> i32 {
                match self {
                    $( Self::$name => $number, )+
                }
            }

            /// The result with this number.
            pub const fn from_number(number: i32) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$name), )+
                    _ => None,
                }
            }
        }
    };
}

return_codes! {
    /// Done. (`NO_ERROR`)
    NoError = 101,
    /// Another connection uses the local address. (`ERR_LOCAL_ADDR`)
    LocalAddr = 102,
    /// Another connection uses the address of the peer. (`ERR_PEER_ADDR`)
    PeerAddr = 103,
    /// The backing device cannot be opened. (`ERR_OPEN_DISK`)
    OpenDisk = 104,
    /// The metadata device cannot be opened. (`ERR_OPEN_MD_DISK`)
    OpenMdDisk = 105,
    /// The backing device is not a block device. (`ERR_DISK_NOT_BDEV`)
    DiskNotBdev = 107,
    /// The metadata device is not a block device. (`ERR_MD_NOT_BDEV`)
    MdNotBdev = 108,
    /// The backing device is too small. (`ERR_DISK_TOO_SMALL`)
    DiskTooSmall = 111,
    /// The metadata device is too small. (`ERR_MD_DISK_TOO_SMALL`)
    MdDiskTooSmall = 112,
    /// The backing device is in use. (`ERR_BDCLAIM_DISK`)
    BdclaimDisk = 114,
    /// The metadata device is in use. (`ERR_BDCLAIM_MD_DISK`)
    BdclaimMdDisk = 115,
    /// The metadata cannot be at that place. (`ERR_MD_IDX_INVALID`)
    MdIdxInvalid = 116,
    /// The metadata device failed. (`ERR_IO_MD_DISK`)
    IoMdDisk = 118,
    /// There is no valid metadata. (`ERR_MD_INVALID`)
    MdInvalid = 119,
    /// The kernel does not know the digest for authentication. (`ERR_AUTH_ALG`)
    AuthAlg = 120,
    /// The algorithm for authentication is not a digest. (`ERR_AUTH_ALG_ND`)
    AuthAlgNd = 121,
    /// Out of memory. (`ERR_NOMEM`)
    NoMemory = 122,
    /// A Primary cannot discard its data. (`ERR_DISCARD_IMPOSSIBLE`)
    DiscardImpossible = 123,
    /// The device has a disk already. (`ERR_DISK_CONFIGURED`)
    DiskConfigured = 124,
    /// The connection is in use. (`ERR_NET_CONFIGURED`)
    NetConfigured = 125,
    /// An attribute is missing, wrong or cannot change. (`ERR_MANDATORY_TAG`)
    MandatoryTag = 126,
    /// There is no such minor. (`ERR_MINOR_INVALID`)
    MinorInvalid = 127,
    /// A signal interrupted the command. (`ERR_INTR`)
    Interrupted = 129,
    /// Not while a resync is running. (`ERR_RESIZE_RESYNC`)
    ResizeResync = 130,
    /// One node must be Primary. (`ERR_NO_PRIMARY`)
    NoPrimary = 131,
    /// The minor to resync after does not make sense. (`ERR_RESYNC_AFTER`)
    ResyncAfter = 132,
    /// The resync order would go in a circle. (`ERR_RESYNC_AFTER_CYCLE`)
    ResyncAfterCycle = 133,
    /// Resync is paused already. (`ERR_PAUSE_IS_SET`)
    PauseIsSet = 134,
    /// Resync is not paused. (`ERR_PAUSE_IS_CLEAR`)
    PauseIsClear = 135,
    /// There is no such command. (`ERR_PACKET_NR`)
    PacketNr = 137,
    /// The device has no disk. (`ERR_NO_DISK`)
    NoDisk = 138,
    /// Two Primaries need protocol C. (`ERR_NOT_PROTO_C`)
    NotProtoC = 139,
    /// Out of memory for the bitmap. (`ERR_NOMEM_BITMAP`)
    NoMemoryBitmap = 140,
    /// The kernel does not know the digest for data integrity. (`ERR_INTEGRITY_ALG`)
    IntegrityAlg = 141,
    /// The algorithm for data integrity is not a digest. (`ERR_INTEGRITY_ALG_ND`)
    IntegrityAlgNd = 142,
    /// The CPU mask cannot be read. (`ERR_CPU_MASK_PARSE`)
    CpuMaskParse = 143,
    /// The kernel does not know the digest for checksum-based resync. (`ERR_CSUMS_ALG`)
    CsumsAlg = 144,
    /// The algorithm for checksum-based resync is not a digest. (`ERR_CSUMS_ALG_ND`)
    CsumsAlgNd = 145,
    /// The kernel does not know the digest for online verify. (`ERR_VERIFY_ALG`)
    VerifyAlg = 146,
    /// The algorithm for online verify is not a digest. (`ERR_VERIFY_ALG_ND`)
    VerifyAlgNd = 147,
    /// The digest cannot change while a resync uses it. (`ERR_CSUMS_RESYNC_RUNNING`)
    CsumsResyncRunning = 148,
    /// The digest cannot change while online verify uses it. (`ERR_VERIFY_RUNNING`)
    VerifyRunning = 149,
    /// The disk holds older data than the device has shown. (`ERR_DATA_NOT_CURRENT`)
    DataNotCurrent = 150,
    /// Only without connection, or before the first sync. (`ERR_CONNECTED`)
    Connected = 151,
    /// Not permitted. (`ERR_PERM`)
    Perm = 152,
    /// The peer must speak protocol 93. (`ERR_NEED_APV_93`)
    NeedApv93 = 153,
    /// Fencing `resource-and-stonith` does not go with protocol A. (`ERR_STONITH_AND_PROT_A`)
    StonithAndProtA = 154,
    /// A congestion policy needs protocol A. (`ERR_CONG_NOT_PROTO_A`)
    CongNotProtoA = 155,
    /// Still paused: the resync order imposes it. (`ERR_PIC_AFTER_DEP`)
    PicAfterDep = 156,
    /// Still paused: the peer imposes it. (`ERR_PIC_PEER_DEP`)
    PicPeerDep = 157,
    /// There is no such resource. (`ERR_RES_NOT_KNOWN`)
    ResNotKnown = 158,
    /// The resource has devices. (`ERR_RES_IN_USE`)
    ResInUse = 159,
    /// The device is in use. (`ERR_MINOR_CONFIGURED`)
    MinorConfigured = 160,
    /// The minor or the volume exists already. (`ERR_MINOR_OR_VOLUME_EXISTS`)
    MinorOrVolumeExists = 161,
    /// The request does not make sense. (`ERR_INVALID_REQUEST`)
    InvalidRequest = 162,
    /// The peer must speak protocol 100. (`ERR_NEED_APV_100`)
    NeedApv100 = 163,
    /// Both nodes are Primary. (`ERR_NEED_ALLOW_TWO_PRI`)
    NeedAllowTwoPri = 164,
    /// The metadata is marked unclean. (`ERR_MD_UNCLEAN`)
    MdUnclean = 165,
    /// The activity log can only move with a connection, or by force. (`ERR_MD_LAYOUT_CONNECTED`)
    MdLayoutConnected = 166,
    /// The activity log would be too big. (`ERR_MD_LAYOUT_TOO_BIG`)
    MdLayoutTooBig = 167,
    /// The activity log would be too small. (`ERR_MD_LAYOUT_TOO_SMALL`)
    MdLayoutTooSmall = 168,
    /// The metadata would not fit. (`ERR_MD_LAYOUT_NO_FIT`)
    MdLayoutNoFit = 169,
    /// The device would become smaller without being told. (`ERR_IMPLICIT_SHRINK`)
    ImplicitShrink = 170,
}

impl From<ReturnCode> for i32 {
    fn from(code: ReturnCode) -> i32 {
        code.number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_user_space() {
        assert_eq!(ReturnCode::NoError.number(), 101);
        assert_eq!(ReturnCode::MandatoryTag.number(), 126);
        assert_eq!(ReturnCode::InvalidRequest.number(), 162);
        assert_eq!(ReturnCode::ImplicitShrink.number(), 170);
        assert_eq!(ReturnCode::ALL.len(), 63);
        for number in 0..256 {
            if let Some(code) = ReturnCode::from_number(number) {
                assert_eq!(code.number(), number);
            }
        }
        for unused in [100, 106, 109, 110, 113, 117, 128, 136, 171] {
            assert_eq!(ReturnCode::from_number(unused), None);
        }
    }
}
