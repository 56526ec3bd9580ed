// SPDX-License-Identifier: GPL-2.0-only

//! The options that choose one of several behaviours.
//!
//! Numbers are those of user space and of the wire, names those of the configuration file.
//!
//! C header: [`include/uapi/linux/drbd.h`](srctree/include/uapi/linux/drbd.h)

use super::option::{
    Form,
    OptionSpec,
    OptionType,
    OptionValue, //
};
use crate::netlink::attribute::{
    Attribute,
    AttributeWriter,
    NoSpace, //
};

macro_rules! policy {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $( $(#[$variant_doc:meta])* $variant:ident = $number:literal, $word:literal; )+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $( $(#[$variant_doc])* $variant, )+
        }

        impl $name {
            /// All choices, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number for user space and for the wire.
            pub const fn number(self) -> u32 {
                match self {
                    $( Self::$variant => $number, )+
                }
            }

            /// The choice with this number.
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$variant), )+
                    _ => None,
                }
            }

            /// The word of the configuration file.
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }
        }

        impl OptionType for $name {
            const FORM: Form = Form::Number32;

            fn parse(attribute: &Attribute<'_>, _: &OptionSpec) -> Option<Self> {
                Self::from_number(attribute.u32().ok()?)
            }

            fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
                writer.u32(number, self.number())
            }

            fn value(&self) -> OptionValue<'_> {
                OptionValue::Choice(self.number(), self.name())
            }
        }
    };
}

policy! {
    /// Which moment of replication completes a write (`DRBD_PROT_*`).
    pub enum Protocol {
        /// In the send buffer of this node.
        A = 1, "A";
        /// In the memory of the peer.
        B = 2, "B";
        /// On the disk of the peer.
        C = 3, "C";
    }
}

policy! {
    /// What happens when the local disk reports an error (`drbd_io_error_p`).
    pub enum OnIoError {
        /// Report it to the application when the peer cannot help, and keep the disk.
        PassOn = 0, "pass_on";
        /// Run the `local-io-error` helper.
        CallHelper = 1, "call-local-io-error";
        /// Drop the disk and go on with that of the peer.
        Detach = 2, "detach";
    }
}

policy! {
    /// What a Primary does about a peer that it lost (`drbd_fencing_p`). Ordered by strictness.
    pub enum Fencing {
        /// Nothing.
        DontCare = 0, "dont-care";
        /// Run the `fence-peer` helper.
        Resource = 1, "resource-only";
        /// Suspend I/O, run the `fence-peer` helper, resume when the peer is fenced.
        Stonith = 2, "resource-and-stonith";
    }
}

policy! {
    /// From which node application reads are served (`drbd_read_balancing`).
    pub enum ReadBalancing {
        /// The local disk while it is up to date.
        PreferLocal = 0, "prefer-local";
        /// The peer.
        PreferRemote = 1, "prefer-remote";
        /// Both in turn.
        RoundRobin = 2, "round-robin";
        /// The one with fewer requests in flight.
        LeastPending = 3, "least-pending";
        /// The peer while the local disk is congested.
        CongestedRemote = 4, "when-congested-remote";
        /// Stripes of 32 KiB.
        Striping32K = 5, "32K-striping";
        /// Stripes of 64 KiB.
        Striping64K = 6, "64K-striping";
        /// Stripes of 128 KiB.
        Striping128K = 7, "128K-striping";
        /// Stripes of 256 KiB.
        Striping256K = 8, "256K-striping";
        /// Stripes of 512 KiB.
        Striping512K = 9, "512K-striping";
        /// Stripes of 1 MiB.
        Striping1M = 10, "1M-striping";
    }
}

impl ReadBalancing {
    /// For striping: how far to shift a sector number right to get the number of its stripe.
    pub const fn stripe_shift(self) -> Option<u32> {
        match self {
            Self::Striping32K => Some(6),
            Self::Striping64K => Some(7),
            Self::Striping128K => Some(8),
            Self::Striping256K => Some(9),
            Self::Striping512K => Some(10),
            Self::Striping1M => Some(11),
            _ => None,
        }
    }
}

policy! {
    /// What happens to I/O when no node has usable data (`drbd_on_no_data`).
    pub enum OnNoData {
        /// It fails.
        IoError = 0, "io-error";
        /// It waits.
        SuspendIo = 1, "suspend-io";
    }
}

policy! {
    /// What happens when the send queue of a protocol A connection is full (`drbd_on_congestion`).
    pub enum OnCongestion {
        /// Writes wait.
        Block = 0, "block";
        /// Stop mirroring, go Ahead, and resynchronize later.
        PullAhead = 1, "pull-ahead";
        /// Drop the connection.
        Disconnect = 2, "disconnect";
    }
}

policy! {
    /// Who gives up its changes after split brain when neither node is Primary (`drbd_after_sb_p`).
    pub enum AfterSplitBrain0p {
        /// Nobody: disconnect.
        Disconnect = 0, "disconnect";
        /// The node that became Primary last.
        DiscardYoungerPrimary = 1, "discard-younger-primary";
        /// The node that became Primary first.
        DiscardOlderPrimary = 2, "discard-older-primary";
        /// The node without changes, if there is one.
        DiscardZeroChanges = 3, "discard-zero-changes";
        /// The node with fewer changed blocks.
        DiscardLeastChanges = 4, "discard-least-changes";
        /// This node.
        DiscardLocal = 5, "discard-local";
        /// The peer.
        DiscardRemote = 6, "discard-remote";
    }
}

policy! {
    /// Who gives up its changes after split brain when one node is Primary (`drbd_after_sb_p`).
    pub enum AfterSplitBrain1p {
        /// Nobody: disconnect.
        Disconnect = 0, "disconnect";
        /// The Secondary, if [`AfterSplitBrain0p`] chooses it too.
        Consensus = 7, "consensus";
        /// The Secondary.
        DiscardSecondary = 8, "discard-secondary";
        /// As [`AfterSplitBrain0p`] chooses; a Primary that loses runs the `pri-lost-after-sb` helper.
        CallHelper = 9, "call-pri-lost-after-sb";
        /// As [`AfterSplitBrain0p`] chooses, whatever the Primary is doing.
        Violently = 10, "violently-as0p";
    }
}

policy! {
    /// Who gives up its changes after split brain when both nodes are Primary (`drbd_after_sb_p`).
    pub enum AfterSplitBrain2p {
        /// Nobody: disconnect.
        Disconnect = 0, "disconnect";
        /// As [`AfterSplitBrain0p`] chooses; a Primary that loses runs the `pri-lost-after-sb` helper.
        CallHelper = 9, "call-pri-lost-after-sb";
        /// As [`AfterSplitBrain0p`] chooses, whatever the Primary is doing.
        Violently = 10, "violently-as0p";
    }
}

policy! {
    /// What happens when the resync decision would change the data under a Primary (`drbd_after_sb_p`).
    pub enum RoleConflict {
        /// Disconnect.
        Disconnect = 0, "disconnect";
        /// Run the `pri-lost` helper.
        CallHelper = 9, "call-pri-lost";
        /// Resynchronize under the application.
        Violently = 10, "violently";
    }
}

policy! {
    /// How writes before a barrier are kept before those after it (`write_ordering_e`): no option by itself, but what
    /// follows from the options and from what the disks can do.
    pub enum WriteOrdering {
        /// Not at all.
        None = 0, "none";
        /// Wait for them.
        Drain = 1, "drain";
        /// Wait for them, and flush the disk.
        Flush = 2, "flush";
    }
}

impl From<Fencing> for crate::state::Fencing {
    fn from(policy: Fencing) -> Self {
        match policy {
            Fencing::DontCare => Self::DontCare,
            Fencing::Resource => Self::ResourceOnly,
            Fencing::Stonith => Self::ResourceAndStonith,
        }
    }
}

impl From<OnNoData> for crate::state::OnNoData {
    fn from(policy: OnNoData) -> Self {
        match policy {
            OnNoData::IoError => Self::IoError,
            OnNoData::SuspendIo => Self::SuspendIo,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back() {
        for choice in ReadBalancing::ALL {
            assert_eq!(ReadBalancing::from_number(choice.number()), Some(*choice));
        }
        for choice in AfterSplitBrain1p::ALL {
            assert_eq!(
                AfterSplitBrain1p::from_number(choice.number()),
                Some(*choice)
            );
        }
        assert_eq!(AfterSplitBrain1p::from_number(1), None);
        assert_eq!(Protocol::from_number(0), None);
        assert_eq!(Protocol::C.number(), 3);
        assert_eq!(RoleConflict::Violently.number(), 10);
        assert_eq!(ReadBalancing::Striping1M.stripe_shift(), Some(11));
        assert!(Fencing::Stonith > Fencing::DontCare);
    }
}
