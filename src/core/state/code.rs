// SPDX-License-Identifier: GPL-2.0-only

//! What became of a wish to change the state (`enum drbd_state_rv`): numbers for the wire and the tools, words for logs.

macro_rules! codes {
    ($( $(#[$attribute:meta])* $variant:ident = $number:literal $text:literal, )+) => {
        /// The answer to a wished state change. Above 0 it was granted, below 0 refused.
        ///
        /// The numbers go over the wire (`P_STATE_CHG_REPLY`) and to the tools.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum StateCode {
            $( $(#[$attribute])* $variant = $number, )+
        }

        impl StateCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )+];

            /// The number of the code.
            pub const fn number(self) -> i32 {
                match self {
                    $( Self::$variant => $number, )+
                }
            }

            /// The words for a refusal that logs and tools show. A code that refuses nothing has words of its own
            /// here, where the C driver answers `TOO_LARGE`.
            pub const fn text(self) -> &'static str {
                match self {
                    $( Self::$variant => $text, )+
                }
            }

            /// The code with this number.
            pub const fn from_number(number: i32) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$variant), )+
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// The peer need not be asked (any more).
    ClusterWideNoNeed = 4 "No agreement of the peer needed",
    /// The peer agreed.
    ClusterWideSuccess = 3 "The peer agreed",
    /// The state is what was asked for already.
    NothingToDo = 2 "Nothing to do",
    /// The change was made.
    Success = 1 "Success",
    /// Not decided yet.
    UnknownError = 0 "Unknown error",
    /// Both nodes would be Primary, which the configuration does not allow.
    TwoPrimaries = -1 "Multiple primaries not allowed by config",
    /// A Primary, or a resync, needs UpToDate data on one side.
    NoUpToDateDisk = -2 "Need access to UpToDate data",
    /// A resync needs a disk here.
    NoLocalDisk = -4 "Can not resync without local disk",
    /// A resync needs a disk at the peer.
    NoRemoteDisk = -5 "Can not resync without remote disk",
    /// A connected node cannot be Outdated.
    ConnectedOutdates = -6 "Refusing to be Outdated while Connected",
    /// With fencing, a node becomes Primary alone only when the peer is known to be Outdated.
    PrimaryNoPeer = -7 "Refusing to be Primary while peer is not outdated",
    /// A resync or a verify runs already.
    ResyncRunning = -8 "Can not start OV/resync since it is already active",
    /// There is no connection to take down.
    AlreadyStandAlone = -9 "Can not disconnect a StandAlone device",
    /// The peer refused.
    RefusedByPeer = -10 "State change was refused by peer node",
    /// The change needs a disk.
    IsDiskless = -11 "Device is diskless, the requested operation requires a disk",
    /// An application has the device open.
    DeviceInUse = -12 "Device is held open by someone",
    /// No network configuration.
    NoNetConfig = -13 "Have no net/connection configuration",
    /// No `verify-alg` is configured.
    NoVerifyAlgorithm = -14 "Need a verify algorithm to start online verify",
    /// The change needs a connected peer.
    NeedConnection = -15 "Need a connection to start verify or resync",
    /// The disk is worse than Outdated already.
    LowerThanOutdated = -16 "Disk state is lower than outdated",
    /// The peer speaks a protocol that is too old for this.
    NotSupported = -17 "Peer does not support protocol",
    /// Something else is under way: try again after the next state change.
    InTransientState = -18 "In transient state, retry after next state change",
    /// Both nodes asked each other for a change at once, and this one yields.
    ConcurrentChange = -19 "Concurrent state changes detected and aborted",
    /// The peer is Primary on another volume of the same connection.
    OtherVolumePeerPrimary = -20 "Other vol primary on peer not allowed by config",
    /// The peer cannot be outdated over a connection that is not there.
    OutdateWithoutConnection = -21 "Need a connection for a graceful disconnect/outdate peer",
}

impl StateCode {
    /// Whether the wish was granted, or had nothing to change.
    pub const fn is_success(self) -> bool {
        self.number() > 0
    }
}

impl core::fmt::Display for StateCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_one_to_one() {
        for number in -40..40 {
            let code = StateCode::from_number(number);
            // -3 was never given out.
            assert_eq!(code.is_some(), (-21..=4).contains(&number) && number != -3);
            assert!(code.is_none_or(|code| code.number() == number));
        }
        assert_eq!(StateCode::ALL.len(), 25);
        assert!(StateCode::NothingToDo.is_success() && !StateCode::UnknownError.is_success());
    }
}
