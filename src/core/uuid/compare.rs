// SPDX-License-Identifier: GPL-2.0-only

//! Finds out, from the generation identifiers of two disks that meet, which of them has the newer data, and how much of
//! it must be sent.
//!
//! The rules are tried one after the other; the first that fits decides. Each is a [`Rule`], so that tests and the
//! simulator can count which were ever reached; the number of a rule is the one in the log of 8.4.

use super::{same_data, without_primary_bit, Uuids, JUST_CREATED, NEW_BITMAP_OFFSET};
use crate::state::Role;

/// What one node brings to the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// Its identifiers.
    pub uuids: Uuids,
    /// The number of bits in its bitmap, as it was told to the other side.
    pub bits_set: u64,
    /// It crashed as Primary, and both nodes have not been UpToDate together since.
    pub crashed_primary: bool,
    /// It was told to discard its data (`discard-my-data`), and is not Primary.
    pub discard_my_data: bool,
    /// Its role now.
    pub role: Role,
}

/// What both nodes agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompareContext {
    /// The protocol version.
    pub agreed_protocol: u32,
    /// Whether both have the feature flag `WSAME`, which also stands for knowing [rule 41](Rule::OwnIsPrimaryNow).
    pub agreed_write_same: bool,
    /// Whether this node is the one that yields when both sides are equal in everything (`RESOLVE_CONFLICTS`). It is set
    /// on exactly one of the two.
    pub resolve_conflicts: bool,
}

/// What is to be done about the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Nothing: both have the same.
    NoSync,
    /// Send what the bitmaps mark.
    SourceBitmap,
    /// Send everything.
    SourceFull,
    /// Receive what the bitmaps mark.
    TargetBitmap,
    /// Receive everything.
    TargetFull,
    /// Split brain: both have changed since they were equal. The policies may decide.
    SplitBrainAutoCandidates,
    /// Split brain longer ago: the policies decide only if told to do so always; the bitmaps do not tell what to send.
    SplitBrain,
    /// The two disks never had the same data.
    Unrelated,
    /// A peer that speaks this protocol version is needed to find out.
    NeedsProtocol(u32),
    /// A peer that speaks this protocol version, and has these feature flags, is needed to find out.
    NeedsFeature {
        /// The version.
        protocol: u32,
        /// The flags.
        features: u32,
    },
}

/// The feature flag that peers have that know rule 41 (`DRBD_FF_WSAME`).
const FEATURE_WRITE_SAME: u32 = 4;
/// The protocol version of the first peers that know rule 41.
const PROTOCOL_OF_RULE_41: u32 = 101;
/// The protocol version from which on a side may correct what it knows of the other.
const PROTOCOL_OF_CORRECTIONS: u32 = 91;
/// The protocol version from which on the identifier of a resync is told by its distance to the bitmap identifier.
const PROTOCOL_OF_OFFSET: u32 = 96;

impl Verdict {
    /// The number in the log line `uuid_compare()=%d by rule %d`.
    pub const fn number(self) -> i64 {
        match self {
            Self::NoSync => 0,
            Self::SourceBitmap => 1,
            Self::SourceFull => 2,
            Self::TargetBitmap => -1,
            Self::TargetFull => -2,
            Self::SplitBrainAutoCandidates => 100,
            Self::SplitBrain => -100,
            Self::Unrelated => -1000,
            Self::NeedsProtocol(protocol) => (-1000_i64).saturating_sub(widen(protocol)),
            Self::NeedsFeature { protocol, features } => {
                let packed = 0x1_0000 | widen(protocol) | widen(features).saturating_mul(0x100);
                0_i64.saturating_sub(packed)
            }
        }
    }

    /// The same verdict in the view of the other side.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        match self {
            Self::SourceBitmap => Self::TargetBitmap,
            Self::SourceFull => Self::TargetFull,
            Self::TargetBitmap => Self::SourceBitmap,
            Self::TargetFull => Self::SourceFull,
            same => same,
        }
    }
}

#[expect(
    clippy::as_conversions,
    reason = "every u32 is an i64; From is not const"
)]
const fn widen(number: u32) -> i64 {
    number as i64
}

macro_rules! rules {
    ($( $(#[$attribute:meta])* $rule:ident = $number:literal, )+) => {
        /// Why a comparison came out as it did: one for each way to an answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule {
            $( $(#[$attribute])* $rule, )+
        }

        impl Rule {
            /// Every rule, in the order in which they are tried.
            pub const ALL: &'static [Self] = &[$( Self::$rule, )+];

            /// The number of the rule in the log; several rules may share one.
            pub const fn number(self) -> u8 {
                match self {
                    $( Self::$rule => $number, )+
                }
            }
        }
    };
}

rules! {
    /// Neither disk was ever used.
    BothJustCreated = 10,
    /// Only our disk was never used, or has no identifier.
    OwnJustCreated = 20,
    /// Only the peer's disk was never used, or has no identifier.
    PeerJustCreated = 30,
    /// We still count against the peer, it no longer does, and it speaks a protocol that is too old to say more.
    OwnStillCountsOldPeer = 30,
    /// We were source of a resync, and missed its end.
    OwnMissedResyncFinished = 34,
    /// We still count against the peer, which does not count: as source we never heard that the peer began.
    OwnStillCounts = 36,
    /// The peer still counts against us, we no longer do, and it speaks a protocol that is too old to say more.
    PeerStillCountsOldPeer = 30,
    /// The peer was source of a resync, and missed its end.
    PeerMissedResyncFinished = 35,
    /// The peer still counts against us, and we do not count: as target we never wrote that we began.
    PeerStillCounts = 37,
    /// Equal, and no Primary crashed: the link was away for a moment.
    Equal = 40,
    /// Equal, a Primary crashed, one is Primary now, and the peer is too old for rule 41.
    PrimaryNowOldPeer = 41,
    /// Equal, a Primary crashed, and both are Primary now: cannot be.
    BothArePrimaryNow = 41,
    /// Equal, a Primary crashed, and we are Primary now.
    OwnIsPrimaryNow = 41,
    /// Equal, a Primary crashed, and the peer is Primary now.
    PeerIsPrimaryNow = 41,
    /// Equal, and we crashed as Primary.
    OwnCrashed = 40,
    /// Equal, and the peer crashed as Primary.
    PeerCrashed = 40,
    /// Equal, and both crashed as Primary.
    BothCrashed = 40,
    /// The peer counts from our data.
    PeerCountsFromOwn = 50,
    /// The peer started a resync that we never heard of; it speaks a protocol that is too old to correct it.
    PeerSyncUuidLostOldPeer = 51,
    /// The peer started a resync as source, but its `P_SYNC_UUID` never came.
    PeerSyncUuidLost = 51,
    /// Our data is in the past of the peer, of before its bitmap began to count.
    OwnInPeerHistory = 60,
    /// We count from the peer's data.
    OwnCountsFromPeer = 70,
    /// We started a resync that the peer never heard of; it speaks a protocol that is too old to correct it.
    OwnSyncUuidLostOldPeer = 71,
    /// We started a resync as source, but our `P_SYNC_UUID` never came through.
    OwnSyncUuidLost = 71,
    /// The peer's data is in our past, of before our bitmap began to count.
    PeerInOwnHistory = 80,
    /// Both count from the same data.
    SameBitmap = 90,
    /// Both have a piece of the past in common. An empty place in both counts as such, as in 8.4: two disks with little
    /// past are called a split brain rather than unrelated.
    CommonHistory = 100,
    /// Nothing in common.
    NothingInCommon = 100,
}

impl Rule {
    /// What the log says about the correction that the rule makes, or about the accident that it found.
    pub const fn note(self) -> Option<&'static str> {
        match self {
            Self::OwnMissedResyncFinished => {
                Some("was SyncSource, missed the resync finished event, corrected myself:")
            }
            Self::OwnStillCounts => Some("was SyncSource (peer failed to write sync_uuid)"),
            Self::PeerMissedResyncFinished => {
                Some("was SyncTarget, peer missed the resync finished event, corrected peer:")
            }
            Self::PeerStillCounts => Some("was SyncTarget (failed to write sync_uuid)"),
            Self::PrimaryNowOldPeer => {
                Some("Equivalent unrotated UUIDs, but current primary present.")
            }
            Self::BothArePrimaryNow => {
                Some("Equivalent unrotated UUIDs, but both are primary. Can not resolve this.")
            }
            Self::PeerSyncUuidLost => Some("Lost last syncUUID packet, corrected:"),
            Self::OwnSyncUuidLost => Some("Last syncUUID did not get through, corrected:"),
            _ => None,
        }
    }
}

/// What the comparison found to be wrong with the identifiers of one side: the caller replaces them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// Our own are to be these; written to the metadata.
    Own(Uuids),
    /// What we know of the peer's is to be this.
    Peer(Uuids),
}

/// The outcome of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Why.
    pub rule: Rule,
    /// What is to be done.
    pub verdict: Verdict,
    /// What is to be corrected.
    pub correction: Option<Correction>,
}

const fn found(rule: Rule, verdict: Verdict) -> Comparison {
    Comparison {
        rule,
        verdict,
        correction: None,
    }
}

/// Compares what two nodes have.
pub fn compare(own: &Side, peer: &Side, context: &CompareContext) -> Comparison {
    never_used(own, peer)
        .or_else(|| equal_current(own, peer, context))
        .or_else(|| peer_is_newer(&own.uuids, &peer.uuids, context))
        .or_else(|| own_is_newer(&own.uuids, &peer.uuids, context))
        .unwrap_or_else(|| diverged(&own.uuids, &peer.uuids))
}

/// Rules 10 to 30: a disk that was never used.
fn never_used(own: &Side, peer: &Side) -> Option<Comparison> {
    let own = without_primary_bit(own.uuids.current);
    let peer = without_primary_bit(peer.uuids.current);
    let fresh = |uuid| uuid == JUST_CREATED || uuid == 0;
    if own == JUST_CREATED && peer == JUST_CREATED {
        Some(found(Rule::BothJustCreated, Verdict::NoSync))
    } else if fresh(own) && peer != JUST_CREATED {
        Some(found(Rule::OwnJustCreated, Verdict::TargetFull))
    } else if own != JUST_CREATED && fresh(peer) {
        Some(found(Rule::PeerJustCreated, Verdict::SourceFull))
    } else {
        None
    }
}

/// Rules 34 to 41: the current identifiers are equal. The data is, too, unless a resync did not come to its end, or a
/// Primary crashed with writes that reached only one side.
fn equal_current(own: &Side, peer: &Side, context: &CompareContext) -> Option<Comparison> {
    if !same_data(own.uuids.current, peer.uuids.current) {
        return None;
    }
    let old_peer = context.agreed_protocol < PROTOCOL_OF_CORRECTIONS;
    let too_old = Verdict::NeedsProtocol(PROTOCOL_OF_CORRECTIONS);
    Some(match (own.uuids.bitmap, peer.uuids.bitmap) {
        (1.., 0) if old_peer => found(Rule::OwnStillCountsOldPeer, too_old),
        (1.., 0) => match end_of_resync(&own.uuids, &peer.uuids) {
            Some(corrected) => Comparison {
                rule: Rule::OwnMissedResyncFinished,
                verdict: Verdict::SourceBitmap,
                correction: Some(Correction::Own(corrected)),
            },
            None => found(Rule::OwnStillCounts, Verdict::SourceBitmap),
        },
        (0, 1..) if old_peer => found(Rule::PeerStillCountsOldPeer, too_old),
        (0, 1..) => match end_of_resync(&peer.uuids, &own.uuids) {
            Some(corrected) => Comparison {
                rule: Rule::PeerMissedResyncFinished,
                verdict: Verdict::TargetBitmap,
                correction: Some(Correction::Peer(corrected)),
            },
            None => found(Rule::PeerStillCounts, Verdict::TargetBitmap),
        },
        _ => after_common_crash(own, peer, context),
    })
}

/// If `target` finished a resync that `source` believes to be running: the identifiers of `source` after its end.
fn end_of_resync(source: &Uuids, target: &Uuids) -> Option<Uuids> {
    let mut finished = *source;
    finished.move_history(source.bitmap);
    finished.bitmap = 0;
    let [ours, theirs] =
        [finished.history, target.history].map(|history| history.map(without_primary_bit));
    (ours == theirs).then_some(finished)
}

/// Rules 40 and 41: equal in everything. If a Primary crashed, writes that it had under way may be on one side only.
fn after_common_crash(own: &Side, peer: &Side, context: &CompareContext) -> Comparison {
    if !own.crashed_primary && !peer.crashed_primary {
        return found(Rule::Equal, Verdict::NoSync);
    }
    match (own.role == Role::Primary, peer.role == Role::Primary) {
        (false, false) => {}
        _ if !context.agreed_write_same => {
            return found(
                Rule::PrimaryNowOldPeer,
                Verdict::NeedsFeature {
                    protocol: PROTOCOL_OF_RULE_41,
                    features: FEATURE_WRITE_SAME,
                },
            )
        }
        (true, true) => return found(Rule::BothArePrimaryNow, Verdict::SplitBrain),
        (true, false) => return found(Rule::OwnIsPrimaryNow, Verdict::SourceBitmap),
        (false, true) => return found(Rule::PeerIsPrimaryNow, Verdict::TargetBitmap),
    }
    match (own.crashed_primary, peer.crashed_primary) {
        (_, false) => found(Rule::OwnCrashed, Verdict::SourceBitmap),
        (false, true) => found(Rule::PeerCrashed, Verdict::TargetBitmap),
        (true, true) if context.resolve_conflicts => {
            found(Rule::BothCrashed, Verdict::TargetBitmap)
        }
        (true, true) => found(Rule::BothCrashed, Verdict::SourceBitmap),
    }
}

/// Rules 50 to 60: our data is the peer's past.
fn peer_is_newer(own: &Uuids, peer: &Uuids, context: &CompareContext) -> Option<Comparison> {
    if same_data(own.current, peer.bitmap) {
        return Some(found(Rule::PeerCountsFromOwn, Verdict::TargetBitmap));
    }
    if let Some(corrected) = start_of_resync_lost(peer, own, context) {
        return Some(if context.agreed_protocol < PROTOCOL_OF_CORRECTIONS {
            found(
                Rule::PeerSyncUuidLostOldPeer,
                Verdict::NeedsProtocol(PROTOCOL_OF_CORRECTIONS),
            )
        } else {
            Comparison {
                rule: Rule::PeerSyncUuidLost,
                verdict: Verdict::TargetBitmap,
                correction: Some(Correction::Peer(corrected)),
            }
        });
    }
    let past = peer
        .history
        .iter()
        .any(|uuid| same_data(own.current, *uuid));
    past.then_some(found(Rule::OwnInPeerHistory, Verdict::TargetFull))
}

/// Rules 70 to 80: the peer's data is our past.
fn own_is_newer(own: &Uuids, peer: &Uuids, context: &CompareContext) -> Option<Comparison> {
    if same_data(own.bitmap, peer.current) {
        return Some(found(Rule::OwnCountsFromPeer, Verdict::SourceBitmap));
    }
    if let Some(corrected) = start_of_resync_lost(own, peer, context) {
        return Some(if context.agreed_protocol < PROTOCOL_OF_CORRECTIONS {
            found(
                Rule::OwnSyncUuidLostOldPeer,
                Verdict::NeedsProtocol(PROTOCOL_OF_CORRECTIONS),
            )
        } else {
            Comparison {
                rule: Rule::OwnSyncUuidLost,
                verdict: Verdict::SourceBitmap,
                correction: Some(Correction::Own(corrected)),
            }
        });
    }
    let past = own
        .history
        .iter()
        .any(|uuid| same_data(peer.current, *uuid));
    past.then_some(found(Rule::PeerInOwnHistory, Verdict::SourceFull))
}

/// If `source` started a resync, but `target` never learned the identifier of it: the identifiers of `source` as if it
/// had not started.
fn start_of_resync_lost(source: &Uuids, target: &Uuids, context: &CompareContext) -> Option<Uuids> {
    let [youngest, oldest] = source.history;
    let [target_youngest, _] = target.history;
    let counted_from_target = same_data(youngest, target.current);
    let was_a_resync = if context.agreed_protocol < PROTOCOL_OF_OFFSET {
        same_data(oldest, target_youngest)
    } else {
        same_data(
            without_primary_bit(youngest).wrapping_add(NEW_BITMAP_OFFSET),
            source.bitmap,
        )
    };
    (counted_from_target && was_a_resync).then_some(Uuids {
        bitmap: youngest,
        history: [oldest, oldest],
        ..*source
    })
}

/// Rules 90 and 100: neither is the other's past.
fn diverged(own: &Uuids, peer: &Uuids) -> Comparison {
    if same_data(own.bitmap, peer.bitmap) && without_primary_bit(own.bitmap) != 0 {
        return found(Rule::SameBitmap, Verdict::SplitBrainAutoCandidates);
    }
    let common = own
        .history
        .iter()
        .any(|ours| peer.history.iter().any(|theirs| same_data(*ours, *theirs)));
    if common {
        found(Rule::CommonHistory, Verdict::SplitBrain)
    } else {
        found(Rule::NothingInCommon, Verdict::Unrelated)
    }
}

#[cfg(test)]
mod tests;
