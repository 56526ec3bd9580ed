// SPDX-License-Identifier: GPL-2.0-only

use super::*;
use std::vec::Vec;

const A: u64 = 0xa0;
const B: u64 = 0xb0;
const C: u64 = 0xc0;
const D: u64 = 0xd0;
const E: u64 = 0xe0;

const MODERN: CompareContext = CompareContext {
    agreed_protocol: 101,
    agreed_write_same: true,
    resolve_conflicts: false,
};

fn side(uuids: [u64; 4]) -> Side {
    Side {
        uuids: Uuids::from_array(uuids),
        bits_set: 0,
        crashed_primary: false,
        discard_my_data: false,
        role: Role::Secondary,
    }
}

fn crashed(uuids: [u64; 4]) -> Side {
    Side {
        crashed_primary: true,
        ..side(uuids)
    }
}

fn primary(side: Side) -> Side {
    Side {
        role: Role::Primary,
        ..side
    }
}

/// One meeting for each rule: own, peer, what comes out.
fn meetings() -> Vec<(Side, Side, CompareContext, Rule, Verdict)> {
    use Rule as R;
    use Verdict as V;
    let old = CompareContext {
        agreed_protocol: 90,
        ..MODERN
    };
    let without_feature = CompareContext {
        agreed_write_same: false,
        ..MODERN
    };
    let new = side([JUST_CREATED, 0, 0, 0]);
    let equal = [A, 0, C, D];
    let sync = B + NEW_BITMAP_OFFSET;
    let needs_91 = V::NeedsProtocol(91);
    let needs_feature = V::NeedsFeature {
        protocol: 101,
        features: 4,
    };
    let running = side([A, B, C, D]);
    let finished = side([A, 0, B, C]);
    let not_begun = side([A, 0, C, D]);
    let started = side([A, sync, B, C]);
    let unaware = side([B, 0, C, D]);
    std::vec![
        (new, new, MODERN, R::BothJustCreated, V::NoSync),
        (new, side(equal), MODERN, R::OwnJustCreated, V::TargetFull),
        (
            side([0; 4]),
            side(equal),
            MODERN,
            R::OwnJustCreated,
            V::TargetFull
        ),
        (side(equal), new, MODERN, R::PeerJustCreated, V::SourceFull),
        (running, finished, old, R::OwnStillCountsOldPeer, needs_91),
        (
            running,
            finished,
            MODERN,
            R::OwnMissedResyncFinished,
            V::SourceBitmap
        ),
        (
            running,
            not_begun,
            MODERN,
            R::OwnStillCounts,
            V::SourceBitmap
        ),
        (finished, running, old, R::PeerStillCountsOldPeer, needs_91),
        (
            finished,
            running,
            MODERN,
            R::PeerMissedResyncFinished,
            V::TargetBitmap
        ),
        (
            not_begun,
            running,
            MODERN,
            R::PeerStillCounts,
            V::TargetBitmap
        ),
        (side(equal), side(equal), MODERN, R::Equal, V::NoSync),
        (
            primary(side(equal)),
            crashed(equal),
            without_feature,
            R::PrimaryNowOldPeer,
            needs_feature
        ),
        (
            primary(side(equal)),
            primary(crashed(equal)),
            MODERN,
            R::BothArePrimaryNow,
            V::SplitBrain
        ),
        (
            primary(side(equal)),
            crashed(equal),
            MODERN,
            R::OwnIsPrimaryNow,
            V::SourceBitmap
        ),
        (
            crashed(equal),
            primary(side(equal)),
            MODERN,
            R::PeerIsPrimaryNow,
            V::TargetBitmap
        ),
        (
            crashed(equal),
            side(equal),
            MODERN,
            R::OwnCrashed,
            V::SourceBitmap
        ),
        (
            side(equal),
            crashed(equal),
            MODERN,
            R::PeerCrashed,
            V::TargetBitmap
        ),
        (
            crashed(equal),
            crashed(equal),
            MODERN,
            R::BothCrashed,
            V::SourceBitmap
        ),
        (
            side([B, 0, C, D]),
            side([A, B, C, D]),
            MODERN,
            R::PeerCountsFromOwn,
            V::TargetBitmap
        ),
        (
            unaware,
            side([A, sync, B, C]),
            old,
            R::PeerSyncUuidLostOldPeer,
            needs_91
        ),
        (
            unaware,
            started,
            MODERN,
            R::PeerSyncUuidLost,
            V::TargetBitmap
        ),
        (
            side([C, 0, D, E]),
            side([A, B, C, D]),
            MODERN,
            R::OwnInPeerHistory,
            V::TargetFull
        ),
        (
            side([A, B, C, D]),
            side([B, 0, C, D]),
            MODERN,
            R::OwnCountsFromPeer,
            V::SourceBitmap
        ),
        (started, unaware, old, R::OwnSyncUuidLostOldPeer, needs_91),
        (
            started,
            unaware,
            MODERN,
            R::OwnSyncUuidLost,
            V::SourceBitmap
        ),
        (
            side([A, B, C, D]),
            side([C, 0, D, E]),
            MODERN,
            R::PeerInOwnHistory,
            V::SourceFull
        ),
        (
            side([A, B, C, D]),
            side([E, B, C, D]),
            MODERN,
            R::SameBitmap,
            V::SplitBrainAutoCandidates
        ),
        (
            side([A, 0, C, D]),
            side([E, 0, C, D]),
            MODERN,
            R::CommonHistory,
            V::SplitBrain
        ),
        (
            side([A, 0, C, D]),
            side([E, 0, A + 2, B]),
            MODERN,
            R::NothingInCommon,
            V::Unrelated
        ),
    ]
}

#[test]
fn each_rule() {
    let mut reached = Vec::new();
    for (own, peer, context, rule, verdict) in meetings() {
        let comparison = compare(&own, &peer, &context);
        assert_eq!((comparison.rule, comparison.verdict), (rule, verdict));
        if !reached.contains(&rule) {
            reached.push(rule);
        }
    }
    assert_eq!(reached, Rule::ALL, "every rule once, in their order");
}

#[test]
fn both_sides_come_to_the_same_end() {
    for (own, peer, context, rule, verdict) in meetings() {
        let other = CompareContext {
            resolve_conflicts: !context.resolve_conflicts,
            ..context
        };
        assert_eq!(
            compare(&peer, &own, &other).verdict,
            verdict.mirrored(),
            "{rule:?}"
        );
    }
}

#[test]
fn corrections_lead_to_a_plain_comparison() {
    for (mut own, mut peer, context, rule, verdict) in meetings() {
        match compare(&own, &peer, &context).correction {
            Some(Correction::Own(corrected)) => own.uuids = corrected,
            Some(Correction::Peer(corrected)) => peer.uuids = corrected,
            None => continue,
        }
        let again = compare(&own, &peer, &context);
        assert_eq!(again.correction, None);
        match rule {
            Rule::OwnSyncUuidLost => assert_eq!(again.rule, Rule::OwnCountsFromPeer),
            Rule::PeerSyncUuidLost => assert_eq!(again.rule, Rule::PeerCountsFromOwn),
            _ => assert_eq!(again.rule, Rule::Equal),
        }
        // The bitmaps of a finished resync are exchanged nevertheless: they say that nothing is left.
        assert!(again.verdict == verdict || again.verdict == Verdict::NoSync);
    }
}

#[test]
fn verdicts_have_the_numbers_of_the_log() {
    assert_eq!(Verdict::NeedsProtocol(91).number(), -1091);
    assert_eq!(
        Verdict::NeedsFeature {
            protocol: 101,
            features: 4
        }
        .number(),
        -(0x10000 | 101 | 0x400)
    );
}
