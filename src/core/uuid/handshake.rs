// SPDX-License-Identifier: GPL-2.0-only

//! What two nodes do about their data when they meet: the comparison of their generation identifiers, the states of
//! their disks, and, after a split brain, the policies of the administrator.
//!
//! Nothing is done here. The [`Handshake`] tells the outcome and all that the caller has to do for it, in order.

use super::compare::{compare, CompareContext, Comparison, Side, Verdict};
pub use super::report::{Direction, Helper, Level, Note, Outcome, Reason, Step, Steps};
use crate::config::{
    AfterSplitBrain0p, AfterSplitBrain1p, AfterSplitBrain2p, NetConf, RoleConflict,
};
use crate::state::{DiskState, Role};

/// The policies of the network configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// After a split brain without a Primary.
    pub after_split_brain_0: AfterSplitBrain0p,
    /// After a split brain with one Primary.
    pub after_split_brain_1: AfterSplitBrain1p,
    /// After a split brain with two Primaries.
    pub after_split_brain_2: AfterSplitBrain2p,
    /// Whether these count also where the identifiers do not tell what must be sent (`always-asbp`).
    pub always: bool,
    /// For a Primary that would become target.
    pub role_conflict: RoleConflict,
    /// Only find out what would happen (`tentative`, a dry run), then disconnect.
    pub dry_run: bool,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            after_split_brain_0: AfterSplitBrain0p::Disconnect,
            after_split_brain_1: AfterSplitBrain1p::Disconnect,
            after_split_brain_2: AfterSplitBrain2p::Disconnect,
            always: false,
            role_conflict: RoleConflict::Disconnect,
            dry_run: false,
        }
    }
}

impl From<&NetConf> for Policies {
    fn from(net: &NetConf) -> Self {
        Self {
            after_split_brain_0: net.after_sb_0p,
            after_split_brain_1: net.after_sb_1p,
            after_split_brain_2: net.after_sb_2p,
            always: net.always_asbp,
            role_conflict: net.rr_conflict,
            dry_run: net.tentative,
        }
    }
}

/// All that the decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// This node.
    pub own: Side,
    /// The peer.
    pub peer: Side,
    /// The state of our disk now.
    pub own_disk: DiskState,
    /// What our disk will be after it was Negotiating ([`Disks::own`](crate::state::Disks::own)). Looked at only then.
    pub own_disk_negotiated: DiskState,
    /// The state of the peer's disk. In the place of Negotiating stands what it will be: Inconsistent with
    /// [`FLAG_INCONSISTENT`](super::FLAG_INCONSISTENT), else Consistent.
    pub peer_disk: DiskState,
    /// Whether this node, being Primary, could become Secondary now: what [`decide`](crate::state::decide) says.
    pub can_demote: bool,
    /// What both agreed on.
    pub context: CompareContext,
    /// The policies of this node.
    pub policies: Policies,
}

/// What came out of a handshake, and what the caller has to do for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The comparison that it began with. Its correction counts whatever the outcome.
    pub comparison: Comparison,
    /// What to do about the data.
    pub outcome: Outcome,
    /// Whether this node, being Primary, is to become Secondary first. Only if [`Meeting::can_demote`].
    pub demote: bool,
    /// Handlers to call and lines to log, in order.
    pub steps: Steps,
}

/// Decides what two nodes do about their data.
pub fn handshake(meeting: &Meeting) -> Handshake {
    let comparison = compare(&meeting.own, &meeting.peer, &meeting.context);
    let mut way = Way {
        meeting,
        role: meeting.own.role,
        demote: false,
        steps: Steps::new(),
    };
    let outcome = match way.decide(comparison.verdict) {
        Ok(outcome) => outcome,
        Err(reason) => {
            if reason != Reason::DryRun {
                way.log(Note::Refused(reason));
            }
            if reason == Reason::SplitBrain {
                way.call(Helper::SplitBrain);
            }
            Outcome::Disconnect(reason)
        }
    };
    Handshake {
        comparison,
        outcome,
        demote: way.demote,
        steps: way.steps,
    }
}

/// A handshake on its way.
struct Way<'a> {
    meeting: &'a Meeting,
    /// Our role, which a policy may change.
    role: Role,
    demote: bool,
    steps: Steps,
}

impl Way<'_> {
    fn log(&mut self, note: Note) {
        self.steps.push(Step::Log(note));
    }

    fn call(&mut self, helper: Helper) {
        self.steps.push(Step::Call(helper));
    }

    fn decide(&mut self, compared: Verdict) -> Result<Outcome, Reason> {
        let verdict = self.by_disk_states(compared)?;
        let verdict = self.by_policies(verdict);
        let verdict = self.by_administrator(verdict);
        self.check_roles(verdict)
    }

    fn own_disk(&self) -> DiskState {
        match self.meeting.own_disk {
            DiskState::Negotiating => self.meeting.own_disk_negotiated,
            disk => disk,
        }
    }

    /// An Inconsistent disk has nothing to give: if only one is, it receives, whatever the identifiers say.
    fn by_disk_states(&mut self, verdict: Verdict) -> Result<Verdict, Reason> {
        match verdict {
            Verdict::Unrelated => return Err(Reason::Unrelated),
            Verdict::NeedsProtocol(protocol) => return Err(Reason::NeedsProtocol(protocol)),
            Verdict::NeedsFeature { protocol, features } => {
                return Err(Reason::NeedsFeature { protocol, features })
            }
            _ => {}
        }
        let (own, peer) = (self.own_disk(), self.meeting.peer_disk);
        let direction = if own > DiskState::Inconsistent && peer == DiskState::Inconsistent {
            Direction::Source
        } else if own == DiskState::Inconsistent && peer > DiskState::Inconsistent {
            Direction::Target
        } else {
            return Ok(verdict);
        };
        self.log(Note::ByDiskStates(direction));
        let full = matches!(
            verdict,
            Verdict::SplitBrain | Verdict::SourceFull | Verdict::TargetFull
        );
        Ok(direction.verdict(full))
    }

    fn by_policies(&mut self, verdict: Verdict) -> Verdict {
        let ambiguous = match verdict {
            Verdict::SplitBrainAutoCandidates => false,
            Verdict::SplitBrain => true,
            _ => return verdict,
        };
        self.call(Helper::InitialSplitBrain);
        if ambiguous && !self.meeting.policies.always {
            return verdict;
        }
        let primary = |role| u8::from(role == Role::Primary);
        let primaries = primary(self.role).saturating_add(primary(self.meeting.peer.role));
        let solved = match primaries {
            0 => self.without_primary(),
            1 => self.with_one_primary(),
            _ => self.with_two_primaries(),
        };
        let Some(direction) = solved else {
            return Verdict::SplitBrain;
        };
        self.log(Note::SolvedByPolicy {
            primaries,
            direction,
        });
        if ambiguous {
            self.log(Note::FullSyncForAmbiguity);
        }
        direction.verdict(ambiguous)
    }

    /// Who is target when nothing else tells the two apart: one of them knows that it yields.
    fn by_lot(&self) -> Direction {
        if self.meeting.context.resolve_conflicts {
            Direction::Target
        } else {
            Direction::Source
        }
    }

    /// Whoever has fewer changes receives.
    fn by_changes(&self) -> Direction {
        let (own, peer) = (self.meeting.own.bits_set, self.meeting.peer.bits_set);
        match own.cmp(&peer) {
            core::cmp::Ordering::Less => Direction::Target,
            core::cmp::Ordering::Greater => Direction::Source,
            core::cmp::Ordering::Equal => self.by_lot(),
        }
    }

    /// Whoever has no changes receives.
    fn by_zero_changes(&self) -> Option<Direction> {
        match (self.meeting.own.bits_set, self.meeting.peer.bits_set) {
            (0, 0) => Some(self.by_lot()),
            (_, 0) => Some(Direction::Source),
            (0, _) => Some(Direction::Target),
            _ => None,
        }
    }

    /// Tells the younger Primary from the older. The bit of the role moves to the bitmap identifier when a Primary
    /// loses its peer: whoever has it there was Primary at the moment that the two parted, and is the older one.
    fn older_primary(&self) -> Option<Direction> {
        let was_primary = |side: &Side| side.uuids.bitmap & super::PRIMARY_BIT != 0;
        match (
            was_primary(&self.meeting.own),
            was_primary(&self.meeting.peer),
        ) {
            (true, false) => Some(Direction::Source),
            (false, true) => Some(Direction::Target),
            _ => None,
        }
    }

    fn fall_back(&mut self) -> Direction {
        self.log(Note::FallBackToLeastChanges);
        match self.by_zero_changes() {
            Some(direction) => direction,
            None => self.by_changes(),
        }
    }

    /// Which of the two has the data, by `after-sb-0pri`.
    fn without_primary(&mut self) -> Option<Direction> {
        use AfterSplitBrain0p as P;
        match self.meeting.policies.after_split_brain_0 {
            P::Disconnect => None,
            P::DiscardYoungerPrimary => Some(match self.older_primary() {
                Some(older) => older,
                None => self.fall_back(),
            }),
            P::DiscardOlderPrimary => Some(match self.older_primary() {
                Some(older) => older.opposite(),
                None => self.fall_back(),
            }),
            P::DiscardZeroChanges => self.by_zero_changes(),
            P::DiscardLeastChanges => Some(self.by_changes()),
            P::DiscardLocal => Some(Direction::Target),
            P::DiscardRemote => Some(Direction::Source),
        }
    }

    /// Which of the two has the data, by `after-sb-1pri`.
    fn with_one_primary(&mut self) -> Option<Direction> {
        use AfterSplitBrain1p as P;
        let primary = if self.role == Role::Primary {
            Direction::Source
        } else {
            Direction::Target
        };
        match self.meeting.policies.after_split_brain_1 {
            P::Disconnect => None,
            P::Consensus => self
                .without_primary()
                .filter(|direction| *direction == primary),
            P::DiscardSecondary => Some(primary),
            P::CallHelper => {
                let direction = self.without_primary();
                self.step_down_for(direction)
            }
            P::Violently => self.without_primary(),
        }
    }

    /// Which of the two has the data, by `after-sb-2pri`.
    fn with_two_primaries(&mut self) -> Option<Direction> {
        use AfterSplitBrain2p as P;
        match self.meeting.policies.after_split_brain_2 {
            P::Disconnect => None,
            P::CallHelper => {
                let direction = self.without_primary();
                self.step_down_for(direction)
            }
            P::Violently => self.without_primary(),
        }
    }

    /// A Primary that is to lose its changes steps down before; if it cannot, a handler is called, and nothing solved.
    fn step_down_for(&mut self, direction: Option<Direction>) -> Option<Direction> {
        if direction != Some(Direction::Target) || self.role != Role::Primary {
            return direction;
        }
        if !self.meeting.can_demote {
            self.call(Helper::PrimaryLostAfterSplitBrain);
            return None;
        }
        self.log(Note::GaveUpPrimary);
        self.role = Role::Secondary;
        self.demote = true;
        direction
    }

    /// A split brain that is left: one of the two was told to discard its data.
    fn by_administrator(&mut self, verdict: Verdict) -> Verdict {
        let discards = (
            self.meeting.own.discard_my_data,
            self.meeting.peer.discard_my_data,
        );
        let direction = match (verdict, discards) {
            (Verdict::SplitBrain, (true, false)) => Direction::Target,
            (Verdict::SplitBrain, (false, true)) => Direction::Source,
            _ => return verdict,
        };
        self.log(Note::SolvedByAdministrator(direction));
        direction.verdict(false)
    }

    /// The data is decided about; whether this node can do its part.
    fn check_roles(&mut self, verdict: Verdict) -> Result<Outcome, Reason> {
        let (direction, full) = match verdict {
            Verdict::NoSync => (None, false),
            Verdict::SourceBitmap => (Some(Direction::Source), false),
            Verdict::SourceFull => (Some(Direction::Source), true),
            Verdict::TargetBitmap => (Some(Direction::Target), false),
            Verdict::TargetFull => (Some(Direction::Target), true),
            _ => return Err(Reason::SplitBrain),
        };
        if direction == Some(Direction::Source) && self.own_disk() <= DiskState::Inconsistent {
            return Err(Reason::SourceInconsistent);
        }
        // A disk that is being attached may be overwritten: the application does not read it yet. Hence the state that
        // it has now, not the one that it will have.
        if direction == Some(Direction::Target)
            && self.role == Role::Primary
            && self.meeting.own_disk >= DiskState::Consistent
        {
            self.target_though_primary()?;
        }
        if self.meeting.policies.dry_run {
            self.log(Note::WouldBecome { direction, full });
            return Err(Reason::DryRun);
        }
        if full {
            self.log(Note::FullSync);
        }
        Ok(match direction {
            None => Outcome::NoSync,
            Some(Direction::Source) => Outcome::BecomeSource { full },
            Some(Direction::Target) => Outcome::BecomeTarget { full },
        })
    }

    fn target_though_primary(&mut self) -> Result<(), Reason> {
        match self.meeting.policies.role_conflict {
            RoleConflict::Disconnect => Err(Reason::TargetPrimary),
            RoleConflict::CallHelper => {
                self.call(Helper::PrimaryLost);
                Err(Reason::TargetPrimary)
            }
            RoleConflict::Violently => {
                self.log(Note::TargetThoughPrimary);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Uuids;
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn side(current: u64) -> Side {
        Side {
            uuids: Uuids::from_array([current, 0xb0, 0xc0, 0xd0]),
            bits_set: 5,
            crashed_primary: false,
            discard_my_data: false,
            role: Role::Secondary,
        }
    }

    /// Two nodes that have both been written to since they parted.
    fn split_brain(policies: Policies) -> Meeting {
        Meeting {
            own: side(0xa0),
            peer: side(0xe0),
            own_disk: DiskState::UpToDate,
            own_disk_negotiated: DiskState::Diskless,
            peer_disk: DiskState::UpToDate,
            can_demote: true,
            context: CompareContext {
                agreed_protocol: 101,
                agreed_write_same: true,
                resolve_conflicts: false,
            },
            policies,
        }
    }

    fn as_primary(meeting: Meeting) -> Meeting {
        let own = Side {
            role: Role::Primary,
            ..meeting.own
        };
        Meeting { own, ..meeting }
    }

    fn helpers(handshake: &Handshake) -> Vec<&'static str> {
        handshake.steps.helpers().map(Helper::name).collect()
    }

    fn lines(handshake: &Handshake) -> Vec<String> {
        handshake
            .steps
            .notes()
            .map(|note| note.to_string())
            .collect()
    }

    #[test]
    fn unresolved() {
        let handshake = handshake(&split_brain(Policies::default()));
        assert_eq!(handshake.outcome, Outcome::Disconnect(Reason::SplitBrain));
        assert_eq!(helpers(&handshake), ["initial-split-brain", "split-brain"]);
        assert_eq!(
            lines(&handshake),
            ["Split-Brain detected but unresolved, dropping connection!"]
        );
    }

    #[test]
    fn resolved_by_the_administrator() {
        let mut meeting = split_brain(Policies::default());
        meeting.peer.discard_my_data = true;
        let handshake = handshake(&meeting);
        assert_eq!(handshake.outcome, Outcome::BecomeSource { full: false });
        assert_eq!(helpers(&handshake), ["initial-split-brain"]);
        assert_eq!(
            lines(&handshake),
            ["Split-Brain detected, manually solved. Sync from this node"]
        );
    }

    #[test]
    fn resolved_by_the_number_of_changes() {
        let policies = Policies {
            after_split_brain_0: AfterSplitBrain0p::DiscardLeastChanges,
            ..Policies::default()
        };
        for (own_bits, outcome) in [
            (1, Outcome::BecomeTarget { full: false }),
            (9, Outcome::BecomeSource { full: false }),
        ] {
            let mut meeting = split_brain(policies);
            meeting.own.bits_set = own_bits;
            assert_eq!(handshake(&meeting).outcome, outcome);
        }
    }

    #[test]
    fn ambiguous_histories_need_always_and_a_full_resync() {
        let mut policies = Policies {
            after_split_brain_0: AfterSplitBrain0p::DiscardRemote,
            ..Policies::default()
        };
        for (always, outcome) in [
            (false, Outcome::Disconnect(Reason::SplitBrain)),
            (true, Outcome::BecomeSource { full: true }),
        ] {
            policies.always = always;
            let mut meeting = split_brain(policies);
            meeting.own.uuids.bitmap = 0;
            assert_eq!(handshake(&meeting).outcome, outcome);
        }
    }

    #[test]
    fn a_primary_steps_down_or_calls_for_help() {
        let policies = Policies {
            after_split_brain_0: AfterSplitBrain0p::DiscardLocal,
            after_split_brain_1: AfterSplitBrain1p::CallHelper,
            ..Policies::default()
        };
        let meeting = as_primary(split_brain(policies));
        let willing = handshake(&meeting);
        assert!(willing.demote);
        assert_eq!(willing.outcome, Outcome::BecomeTarget { full: false });
        let in_use = handshake(&Meeting {
            can_demote: false,
            ..meeting
        });
        assert!(!in_use.demote);
        assert_eq!(in_use.outcome, Outcome::Disconnect(Reason::SplitBrain));
        assert_eq!(
            helpers(&in_use),
            ["initial-split-brain", "pri-lost-after-sb", "split-brain"]
        );
    }

    #[test]
    fn a_primary_does_not_become_target_unless_told_so() {
        let mut meeting = as_primary(split_brain(Policies::default()));
        meeting.peer.uuids.bitmap = meeting.own.uuids.current;
        for (role_conflict, outcome, called) in [
            (
                RoleConflict::Disconnect,
                Outcome::Disconnect(Reason::TargetPrimary),
                &[][..],
            ),
            (
                RoleConflict::CallHelper,
                Outcome::Disconnect(Reason::TargetPrimary),
                &["pri-lost"],
            ),
            (
                RoleConflict::Violently,
                Outcome::BecomeTarget { full: false },
                &[],
            ),
        ] {
            meeting.policies.role_conflict = role_conflict;
            let handshake = handshake(&meeting);
            assert_eq!(handshake.outcome, outcome);
            assert_eq!(helpers(&handshake), called);
        }
    }

    #[test]
    fn an_inconsistent_disk_receives_whatever_the_identifiers_say() {
        let mut meeting = split_brain(Policies::default());
        meeting.peer.uuids.bitmap = meeting.own.uuids.current;
        meeting.peer_disk = DiskState::Inconsistent;
        let handshake_of_two = handshake(&meeting);
        assert_eq!(
            handshake_of_two.outcome,
            Outcome::BecomeSource { full: false }
        );
        assert_eq!(
            lines(&handshake_of_two),
            ["Becoming sync source due to disk states."]
        );
        meeting.own_disk = DiskState::Inconsistent;
        meeting.own.uuids.bitmap = meeting.peer.uuids.current;
        meeting.peer.uuids.bitmap = 0;
        assert_eq!(
            handshake(&meeting).outcome,
            Outcome::Disconnect(Reason::SourceInconsistent)
        );
    }

    #[test]
    fn dry_run() {
        let mut meeting = split_brain(Policies {
            dry_run: true,
            ..Policies::default()
        });
        meeting.own.uuids = Uuids::NEW_DISK;
        let handshake = handshake(&meeting);
        assert_eq!(handshake.outcome, Outcome::Disconnect(Reason::DryRun));
        assert_eq!(
            lines(&handshake),
            ["dry-run connect: Would become SyncTarget, doing a full resync."]
        );
    }
}
