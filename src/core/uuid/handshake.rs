// SPDX-License-Identifier: GPL-2.0-only

//! What two nodes do about their data when they meet: the comparison of their generation identifiers, the states of
//! their disks, and, after a split brain, the policies of the administrator.
//!
//! Nothing is done here. The [`Handshake`] tells the outcome and all that the caller has to do for it, in order.

use super::compare::{compare, CompareContext, Comparison, Side, Verdict};
use crate::state::{numbered, DiskState, Role};

numbered! {
    /// What to do after a split brain (`after-sb-0pri`, `-1pri`, `-2pri`; `enum drbd_after_sb_p`).
    pub enum AfterSplitBrain {
        /// Disconnect.
        Disconnect = 0 "disconnect",
        /// The node that was Primary last loses its changes.
        DiscardYoungerPrimary = 1 "discard-younger-primary",
        /// The node that was Primary first loses its changes.
        DiscardOlderPrimary = 2 "discard-older-primary",
        /// If one node has no changes, it takes over those of the other.
        DiscardZeroChanges = 3 "discard-zero-changes",
        /// The node with fewer changes loses them.
        DiscardLeastChanges = 4 "discard-least-changes",
        /// This node loses its changes.
        DiscardLocal = 5 "discard-local",
        /// The peer loses its changes.
        DiscardRemote = 6 "discard-remote",
        /// As without a Primary, if that would discard the changes of the Secondary; else disconnect.
        Consensus = 7 "consensus",
        /// The Secondary loses its changes.
        DiscardSecondary = 8 "discard-secondary",
        /// As without a Primary; a Primary that would lose its changes steps down, or has a handler called.
        CallHelper = 9 "call-pri-lost-after-sb",
        /// As without a Primary, even if a Primary loses its changes.
        Violently = 10 "violently-as0p",
    }
}

numbered! {
    /// What a Primary does that would have to become target of a resync (`rr-conflict`).
    pub enum RoleConflict {
        /// Disconnects.
        Disconnect = 0 "disconnect",
        /// Calls the `pri-lost` handler, and disconnects.
        CallHelper = 9 "call-pri-lost",
        /// Becomes target: the data changes under the application.
        Violently = 10 "violently",
    }
}

impl AfterSplitBrain {
    /// The policy that the peer must have for both to decide alike.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        match self {
            Self::DiscardLocal => Self::DiscardRemote,
            Self::DiscardRemote => Self::DiscardLocal,
            same => same,
        }
    }
}

/// The policies of the network configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// After a split brain without a Primary.
    pub after_split_brain_0: AfterSplitBrain,
    /// After a split brain with one Primary.
    pub after_split_brain_1: AfterSplitBrain,
    /// After a split brain with two Primaries.
    pub after_split_brain_2: AfterSplitBrain,
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
            after_split_brain_0: AfterSplitBrain::Disconnect,
            after_split_brain_1: AfterSplitBrain::Disconnect,
            after_split_brain_2: AfterSplitBrain::Disconnect,
            always: false,
            role_conflict: RoleConflict::Disconnect,
            dry_run: false,
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

/// A handler of the administrator's, called with the minor or the resource (`drbdadm` handlers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Helper {
    /// There is a split brain; the policies have not been looked at.
    InitialSplitBrain,
    /// There is a split brain that no policy resolves.
    SplitBrain,
    /// A Primary would become target of a resync.
    PrimaryLost,
    /// A Primary loses its changes after a split brain, but cannot step down.
    PrimaryLostAfterSplitBrain,
}

impl Helper {
    /// The name that the handler is called by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InitialSplitBrain => "initial-split-brain",
            Self::SplitBrain => "split-brain",
            Self::PrimaryLost => "pri-lost",
            Self::PrimaryLostAfterSplitBrain => "pri-lost-after-sb",
        }
    }
}

/// The direction of a resync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// This node sends.
    Source,
    /// This node receives.
    Target,
}

impl Direction {
    const fn verdict(self, full: bool) -> Verdict {
        match (self, full) {
            (Self::Source, false) => Verdict::SourceBitmap,
            (Self::Source, true) => Verdict::SourceFull,
            (Self::Target, false) => Verdict::TargetBitmap,
            (Self::Target, true) => Verdict::TargetFull,
        }
    }

    /// The node that has the data, for the log.
    const fn name_of_origin(self) -> &'static str {
        match self {
            Self::Source => "this",
            Self::Target => "peer",
        }
    }
}

/// Why the nodes do not get together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The disks never had the same data.
    Unrelated,
    /// The peer speaks too old a protocol.
    NeedsProtocol(u32),
    /// The peer lacks a feature.
    NeedsFeature {
        /// The protocol version of peers that have it.
        protocol: u32,
        /// The feature flags of peers that have it.
        features: u32,
    },
    /// A split brain that nothing resolves.
    SplitBrain,
    /// This node should send, but its own data is of no use.
    SourceInconsistent,
    /// This node should receive, but is Primary.
    TargetPrimary,
    /// It was a dry run.
    DryRun,
}

/// What two nodes do about their data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing: they are equal. Connected.
    NoSync,
    /// This node sends. WFBitMapS.
    BecomeSource {
        /// All of it: first mark every block and write the bitmap.
        full: bool,
    },
    /// This node receives. WFBitMapT.
    BecomeTarget {
        /// All of it: first mark every block and write the bitmap.
        full: bool,
    },
    /// Nothing can be done. The connection is taken down, or, where one side was attaching, its disk is let go.
    Disconnect(Reason),
}

/// How urgent a line in the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `KERN_INFO`
    Info,
    /// `KERN_WARNING`
    Warning,
    /// `KERN_ERR`
    Error,
    /// `KERN_ALERT`
    Alert,
}

/// A line for the log. Its text is that of 8.4, by [`Display`](core::fmt::Display).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Note {
    /// The states of the disks decided.
    ByDiskStates(Direction),
    /// A policy that cannot be where it is.
    ConfigurationError,
    /// The policy did not come to a decision.
    FallBackToLeastChanges,
    /// This node is no longer Primary.
    GaveUpPrimary,
    /// A policy resolved a split brain.
    SolvedByPolicy {
        /// The number of Primaries.
        primaries: u8,
        /// The outcome.
        direction: Direction,
    },
    /// ... but everything must be sent.
    FullSyncForAmbiguity,
    /// The administrator resolved a split brain (`discard-my-data`).
    SolvedByAdministrator(Direction),
    /// A Primary becomes target.
    TargetThoughPrimary,
    /// What a dry run found.
    WouldBecome {
        /// The direction, if data differs.
        direction: Option<Direction>,
        /// Whether everything would be sent.
        full: bool,
    },
    /// The whole bitmap is about to be written.
    FullSync,
    /// The nodes do not get together.
    Refused(Reason),
}

impl Note {
    /// How urgent the line is.
    pub const fn level(self) -> Level {
        match self {
            Self::ByDiskStates(_) | Self::WouldBecome { .. } | Self::FullSync => Level::Info,
            Self::FallBackToLeastChanges
            | Self::GaveUpPrimary
            | Self::SolvedByPolicy { .. }
            | Self::FullSyncForAmbiguity
            | Self::SolvedByAdministrator(_)
            | Self::TargetThoughPrimary => Level::Warning,
            Self::ConfigurationError
            | Self::Refused(Reason::SourceInconsistent | Reason::TargetPrimary | Reason::DryRun) => {
                Level::Error
            }
            Self::Refused(_) => Level::Alert,
        }
    }
}

impl core::fmt::Display for Note {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::ByDiskStates(direction) => write!(
                f,
                "Becoming sync {} due to disk states.",
                match direction {
                    Direction::Source => "source",
                    Direction::Target => "target",
                }
            ),
            Self::ConfigurationError => f.write_str("Configuration error."),
            Self::FallBackToLeastChanges => f.write_str(
                "Discard younger/older primary did not find a decision\nUsing discard-least-changes instead",
            ),
            Self::GaveUpPrimary => f.write_str("Successfully gave up primary role."),
            Self::SolvedByPolicy { primaries, direction } => write!(
                f,
                "Split-Brain detected, {primaries} primaries, automatically solved. Sync from {} node",
                direction.name_of_origin()
            ),
            Self::FullSyncForAmbiguity => f.write_str("Doing a full sync, since UUIDs where ambiguous."),
            Self::SolvedByAdministrator(direction) => write!(
                f,
                "Split-Brain detected, manually solved. Sync from {} node",
                direction.name_of_origin()
            ),
            Self::TargetThoughPrimary => {
                f.write_str("Becoming SyncTarget, violating the stable-dataassumption")
            }
            Self::WouldBecome { direction: None, .. } => {
                f.write_str("dry-run connect: No resync, would become Connected immediately.")
            }
            Self::WouldBecome { direction: Some(direction), full } => write!(
                f,
                "dry-run connect: Would become {}, doing a {} resync.",
                match direction {
                    Direction::Source => "SyncSource",
                    Direction::Target => "SyncTarget",
                },
                if full { "full" } else { "bit-map based" }
            ),
            Self::FullSync => {
                f.write_str("Writing the whole bitmap, full sync required after drbd_sync_handshake.")
            }
            Self::Refused(reason) => reason.fmt(f),
        }
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::Unrelated => f.write_str("Unrelated data, aborting!"),
            Self::NeedsProtocol(protocol) => {
                write!(f, "To resolve this both sides have to support at least protocol {protocol}")
            }
            Self::NeedsFeature { protocol, features } => write!(
                f,
                "To resolve this both sides have to support at least protocol {protocol} and feature flags {features:#x}"
            ),
            Self::SplitBrain => f.write_str("Split-Brain detected but unresolved, dropping connection!"),
            Self::SourceInconsistent => f.write_str("I shall become SyncSource, but I am inconsistent!"),
            Self::TargetPrimary => f.write_str("I shall become SyncTarget, but I am primary!"),
            Self::DryRun => f.write_str("dry-run connect: done"),
        }
    }
}

/// What comes up on the way to the outcome: a helper to call, or a line to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Call this handler. The connection waits for it.
    Call(Helper),
    /// Log this line.
    Log(Note),
}

/// The most steps that one handshake has.
const MAX_STEPS: usize = 12;

/// The steps on the way to the outcome, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    steps: [Option<Step>; MAX_STEPS],
}

impl Steps {
    fn push(&mut self, step: Step) {
        if let Some(free) = self.steps.iter_mut().find(|place| place.is_none()) {
            *free = Some(step);
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Step> + '_ {
        self.steps.iter().copied().flatten()
    }

    /// The handlers to call, in order.
    pub fn helpers(&self) -> impl Iterator<Item = Helper> + '_ {
        self.iter().filter_map(|step| match step {
            Step::Call(helper) => Some(helper),
            Step::Log(_) => None,
        })
    }

    /// The lines to log, in order.
    pub fn notes(&self) -> impl Iterator<Item = Note> + '_ {
        self.iter().filter_map(|step| match step {
            Step::Log(note) => Some(note),
            Step::Call(_) => None,
        })
    }
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
        steps: Steps {
            steps: [None; MAX_STEPS],
        },
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
        use AfterSplitBrain as P;
        match self.meeting.policies.after_split_brain_0 {
            P::Disconnect => None,
            P::DiscardYoungerPrimary => match self.older_primary() {
                Some(older) => Some(older),
                None => Some(self.fall_back()),
            },
            P::DiscardOlderPrimary => match self.older_primary() {
                Some(Direction::Source) => Some(Direction::Target),
                Some(Direction::Target) => Some(Direction::Source),
                None => Some(self.fall_back()),
            },
            P::DiscardZeroChanges => self.by_zero_changes(),
            P::DiscardLeastChanges => Some(self.by_changes()),
            P::DiscardLocal => Some(Direction::Target),
            P::DiscardRemote => Some(Direction::Source),
            P::Consensus | P::DiscardSecondary | P::CallHelper | P::Violently => {
                self.configuration_error()
            }
        }
    }

    /// Which of the two has the data, by `after-sb-1pri`.
    fn with_one_primary(&mut self) -> Option<Direction> {
        use AfterSplitBrain as P;
        let by_role = if self.role == Role::Primary {
            Direction::Source
        } else {
            Direction::Target
        };
        match self.meeting.policies.after_split_brain_1 {
            P::Disconnect => None,
            P::Consensus => self
                .without_primary()
                .filter(|direction| *direction == by_role),
            P::Violently => self.without_primary(),
            P::DiscardSecondary => Some(by_role),
            P::CallHelper => {
                let direction = self.without_primary();
                self.step_down_for(direction)
            }
            P::DiscardYoungerPrimary
            | P::DiscardOlderPrimary
            | P::DiscardZeroChanges
            | P::DiscardLeastChanges
            | P::DiscardLocal
            | P::DiscardRemote => self.configuration_error(),
        }
    }

    /// Which of the two has the data, by `after-sb-2pri`.
    fn with_two_primaries(&mut self) -> Option<Direction> {
        use AfterSplitBrain as P;
        match self.meeting.policies.after_split_brain_2 {
            P::Disconnect => None,
            P::Violently => self.without_primary(),
            P::CallHelper => {
                let direction = self.without_primary();
                self.step_down_for(direction)
            }
            P::Consensus
            | P::DiscardSecondary
            | P::DiscardYoungerPrimary
            | P::DiscardOlderPrimary
            | P::DiscardZeroChanges
            | P::DiscardLeastChanges
            | P::DiscardLocal
            | P::DiscardRemote => self.configuration_error(),
        }
    }

    fn configuration_error(&mut self) -> Option<Direction> {
        self.log(Note::ConfigurationError);
        None
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
