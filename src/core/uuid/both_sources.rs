// SPDX-License-Identifier: GPL-2.0-only

//! After a split brain, two nodes each of which would send.
//!
//! `call-pri-lost-after-sb`: the policies say that a Primary loses its changes, and it cannot step down. For its peer the matter is
//! settled: that one sends. This node finds it open, and goes by the administrator, who may have told the peer to discard
//! its changes. With the C driver both become sources, and wait for a target for ever. Here the Primary refuses.

use super::handshake::{Handshake, Helper, Outcome};

/// Whether a node that came to this outcome would send to a peer that sends, too.
pub fn both_are_sources(handshake: &Handshake) -> bool {
    let lost = |helper| helper == Helper::PrimaryLostAfterSplitBrain;
    matches!(handshake.outcome, Outcome::BecomeSource { .. }) && handshake.steps.helpers().any(lost)
}
