// SPDX-License-Identifier: GPL-2.0-only

//! What comes out of a handshake: the outcome, and on the way there the handlers to call and the lines to log.

use super::compare::Verdict;

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
    /// The verdict that says so.
    pub const fn verdict(self, full: bool) -> Verdict {
        match (self, full) {
            (Self::Source, false) => Verdict::SourceBitmap,
            (Self::Source, true) => Verdict::SourceFull,
            (Self::Target, false) => Verdict::TargetBitmap,
            (Self::Target, true) => Verdict::TargetFull,
        }
    }

    /// What the other node does.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Source => Self::Target,
            Self::Target => Self::Source,
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
            Self::Refused(Reason::SourceInconsistent | Reason::TargetPrimary | Reason::DryRun) => {
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
    /// None yet.
    pub(super) const fn new() -> Self {
        Self {
            steps: [None; MAX_STEPS],
        }
    }

    /// Adds a step at the end.
    pub(super) fn push(&mut self, step: Step) {
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
