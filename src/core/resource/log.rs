// SPDX-License-Identifier: GPL-2.0-only

//! What the engine has to say to an administrator, in the words that 8.4 uses where monitoring looks for them.

use core::fmt;

use super::algorithms::Name;
use super::authenticate::AuthNote;
use crate::config::policy::WriteOrdering;
use crate::config::text::Text;
use crate::size_text::SizeText;
use crate::state::{ConnectionState, DiskState, StateCode, Warning};
use crate::uuid::compare::Rule;
use crate::uuid::handshake::{Level as NoteLevel, Note};
use crate::wire::FeatureFlags;

/// What a bit of the bitmap stands for.
const KIB_PER_BIT: u64 = 4;

/// How grave a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For information.
    Info,
    /// Something to look at.
    Warning,
    /// Something went wrong.
    Error,
    /// Data may be lost: look now.
    Alert,
}

/// A line for the kernel log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogMessage {
    /// The first packets were exchanged.
    Agreed {
        /// The protocol version.
        protocol: u32,
    },
    /// The features of both nodes.
    Features(FeatureFlags),
    /// The peer speaks no protocol version that this node speaks.
    IncompatibleDialects {
        /// The oldest that the peer speaks.
        minimum: u32,
        /// The newest.
        maximum: u32,
    },
    /// The peer proves who it is, or does not.
    Authentication(AuthNote),
    /// The peer's data begins with this digest from now on, and ours with another.
    PeerIntegrity(Text<63>),
    /// The peer's data would begin with a digest that the kernel does not have.
    UnknownPeerIntegrity(Text<63>),
    /// Data for the disk was damaged on the way.
    DigestMismatch {
        /// Where.
        sector: u64,
        /// Bytes.
        size: u32,
    },
    /// Data for an application was damaged on the way.
    ReadDigestMismatch,
    /// Data changed while it was sent.
    BufferChanged {
        /// Where.
        sector: u64,
        /// Bytes.
        size: u32,
    },
    /// A setting of the connection differs from the peer's.
    IncompatibleSetting(&'static str),
    /// The digests of both nodes differ.
    DifferentAlgorithms {
        /// The option that names it.
        option: &'static str,
        /// What is configured here.
        own: Name,
        /// What is configured at the peer.
        peer: Name,
    },
    /// The peer uses a digest that this machine does not have.
    NoSuchAlgorithm {
        /// The option that names it.
        option: &'static str,
        /// Its name.
        name: Name,
    },
    /// The peer was configured to use another digest, and this node follows.
    UsingAlgorithm {
        /// The option that names it.
        option: &'static str,
        /// Its name.
        name: Name,
    },
    /// A packet came that has no place here.
    UnexpectedPacket {
        /// Its name.
        name: &'static str,
        /// Its length.
        length: u32,
    },
    /// A packet does not say what it should.
    BadPacket {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// A header does not begin as a header does.
    BadMagic,
    /// A volume that is not configured here.
    UnknownVolume(u16),
    /// The receiver ends: there is no connection any more.
    ReceiverTerminated,
    /// Nothing can come of this connection: it is given up before it stands.
    DiscardingNetwork,
    /// The sockets are closed.
    ConnectionClosed,
    /// The peer did not answer a ping.
    PingTimedOut,
    /// The peer did not answer a request.
    RequestTimedOut {
        /// `ko-count` in force.
        ko_count: u32,
        /// `timeout` in force, in tenths of a second.
        timeout: u32,
    },
    /// The peer did not acknowledge a barrier.
    BarrierTimedOut {
        /// `ko-count` in force.
        ko_count: u32,
        /// `timeout` in force, in tenths of a second.
        timeout: u32,
    },
    /// A wished state change is refused.
    StateChangeFailed(StateCode),
    /// A state change is not exactly the wished one.
    StateWarning(Warning),
    /// The generation UUIDs are now these.
    Uuids {
        /// What brought them about.
        why: &'static str,
        /// Current, bitmap, history.
        uuids: [u64; 4],
    },
    /// The peer's generation UUIDs.
    PeerUuids {
        /// Current, bitmap, history.
        uuids: [u64; 4],
        /// Out-of-sync blocks at the peer.
        bits: u64,
        /// Its flags.
        flags: u64,
    },
    /// How the UUIDs of both nodes compare.
    UuidCompare {
        /// The verdict as 8.4 numbers it.
        verdict: i32,
        /// The rule that decided: its number is logged, the simulator counts which were ever reached.
        rule: Rule,
    },
    /// A step of the comparison of both histories.
    Handshake(Note),
    /// Why the handshake of the data ends in a refusal.
    HandshakeRefused(&'static str),
    /// A resync begins.
    ResyncBegan {
        /// The side of this node.
        side: ConnectionState,
        /// Blocks.
        blocks: u64,
    },
    /// A resync ended.
    ResyncDone {
        /// Seconds without pauses.
        seconds: u64,
        /// Seconds of pauses.
        paused: u64,
        /// KiB in a second.
        rate: u64,
    },
    /// What a resync by checksums has spared.
    EqualChecksums {
        /// Blocks that were equal.
        equal: u64,
        /// Blocks that it began with.
        total: u64,
    },
    /// A verify begins at this sector.
    VerifyStarts(u64),
    /// The peer's verify begins at this sector.
    VerifyStartSector(u64),
    /// A verify ends before the end of the device, at this sector.
    VerifyReached(u64),
    /// A verify has found a difference.
    OutOfSync {
        /// The first sector.
        sector: u64,
        /// Sectors.
        sectors: u64,
    },
    /// A verify ended.
    VerifyDone {
        /// Seconds.
        seconds: u64,
        /// KiB in a second.
        rate: u64,
    },
    /// Blocks that are out of sync after a verify.
    VerifyFound(u64),
    /// Blocks that could not be resynchronised.
    ResyncFailedBlocks(u64),
    /// Blocks that had failed are in sync now: the source may have ended for them.
    ResyncOfFailedBlocks,
    /// What is left of a resync was asked for by the one before, and the source does not answer.
    ResyncAnswersLost,
    /// A bitmap was sent in part, and another one is to follow.
    BitmapBrokenOff,
    /// A pause of the resync begins.
    ResyncSuspended,
    /// A pause of the resync ends.
    ResyncContinues,
    /// All blocks are taken as different.
    FullSyncRequired,
    /// The disk of the peer is smaller than the data.
    PeerDiskTooSmall {
        /// Sectors that would be left.
        new: u64,
        /// Sectors in use.
        current: u64,
    },
    /// The peer wants another size while both disks are in use.
    OnlineResize {
        /// Sectors that it wants.
        new: u64,
        /// Sectors in use.
        current: u64,
    },
    /// The device got another size.
    SizeChanged {
        /// Sectors.
        sectors: u64,
    },
    /// How writes before a barrier are kept before those after it, from now on.
    WriteOrdering(WriteOrdering),
    /// How much the bitmap of a disk that is being attached marks.
    MarkedByBitmap {
        /// Bits of the bitmap.
        bits: u64,
    },
    /// The peer's data is not the data that this diskless primary used.
    WrongDataGeneration(u64),
    /// The backing disk failed to do something.
    LocalIoError {
        /// Where; meaningless for metadata.
        sector: u64,
        /// It was metadata.
        metadata: bool,
    },
    /// Neither disk can do what an application asks for.
    NoDataAccess {
        /// Where.
        sector: u64,
        /// Sectors.
        sectors: u64,
    },
    /// `--force` made the data UpToDate.
    ForcedUpToDate,
    /// The peer does not know what a dry run is.
    NoDryRun,
    /// The peer knows one volume, and there are others here.
    KnowsOneVolume {
        /// The protocol version.
        protocol: u32,
    },
    /// The peer cannot be sent a request: too long, or of a kind that it does not know.
    TooMuchForPeer {
        /// The first sector.
        sector: u64,
        /// So many.
        sectors: u64,
    },
    /// The peer could not read or write a block.
    NegativeAnswer {
        /// What was asked for.
        name: &'static str,
        /// Where.
        sector: u64,
    },
    /// A helper refused.
    HelperRefused {
        /// Which one.
        name: &'static str,
        /// Its exit code.
        code: u8,
    },
    /// The initial resync is skipped by agreement.
    SkipInitialSync,
    /// The disk works on something for longer than `disk-timeout`.
    DiskTimedOut {
        /// On a request of an application.
        request: bool,
    },
    /// Why this node no longer waits for its peer.
    Congested(&'static str),
    /// The disk of a peer that attaches.
    RealPeerDisk(DiskState),
}

impl LogMessage {
    /// How grave it is.
    pub const fn level(&self) -> Level {
        match self {
            Self::IncompatibleDialects { .. }
            | Self::UnknownPeerIntegrity(_)
            | Self::DigestMismatch { .. }
            | Self::ReadDigestMismatch
            | Self::IncompatibleSetting(_)
            | Self::DifferentAlgorithms { .. }
            | Self::NoSuchAlgorithm { .. }
            | Self::UnexpectedPacket { .. }
            | Self::BadPacket { .. }
            | Self::BadMagic
            | Self::UnknownVolume(_)
            | Self::PingTimedOut
            | Self::RequestTimedOut { .. }
            | Self::BarrierTimedOut { .. }
            | Self::StateChangeFailed(_)
            | Self::HandshakeRefused(_)
            | Self::PeerDiskTooSmall { .. }
            | Self::OnlineResize { .. }
            | Self::WrongDataGeneration(_)
            | Self::LocalIoError { .. }
            | Self::NoDataAccess { .. }
            | Self::OutOfSync { .. }
            | Self::NoDryRun
            | Self::KnowsOneVolume { .. }
            | Self::NegativeAnswer { .. } => Level::Error,
            Self::Authentication(note) => note.level(),
            Self::DiscardingNetwork | Self::BufferChanged { .. } | Self::TooMuchForPeer { .. } => {
                Level::Warning
            }
            Self::VerifyFound(_) => Level::Alert,
            Self::Handshake(note) => match note.level() {
                NoteLevel::Info => Level::Info,
                NoteLevel::Warning => Level::Warning,
                NoteLevel::Error => Level::Error,
                NoteLevel::Alert => Level::Alert,
            },
            Self::StateWarning(_) | Self::ForcedUpToDate | Self::HelperRefused { .. } => {
                Level::Warning
            }
            _ => Level::Info,
        }
    }
}

impl fmt::Display for LogMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agreed { protocol } => write!(
                f,
                "Handshake successful: Agreed network protocol version {protocol}"
            ),
            Self::Features(flags) => {
                write!(f, "Feature flags enabled on protocol level: {flags}")
            }
            Self::IncompatibleDialects { minimum, maximum } => write!(
                f,
                "incompatible DRBD dialects: I support 86-101, peer supports {minimum}-{maximum}"
            ),
            Self::PeerIntegrity(name) if name.is_empty() => {
                write!(f, "peer data-integrity-alg: (none)")
            }
            Self::PeerIntegrity(name) => write!(f, "peer data-integrity-alg: {name}"),
            Self::UnknownPeerIntegrity(name) => {
                write!(f, "peer data-integrity-alg {name} not supported")
            }
            Self::DigestMismatch { sector, size } => {
                write!(f, "Digest integrity check FAILED: {sector}s +{size}")
            }
            Self::ReadDigestMismatch => {
                write!(f, "Digest integrity check FAILED. Broken NICs?")
            }
            Self::BufferChanged { sector, size } => write!(
                f,
                "Digest mismatch, buffer modified by upper layers during write: {sector}s +{size}"
            ),
            Self::Authentication(note) => write!(f, "{note}"),
            Self::IncompatibleSetting(name) => write!(f, "incompatible {name} settings"),
            Self::DifferentAlgorithms { option, own, peer } => write!(
                f,
                "Different {option} settings. me=\"{own}\" peer=\"{peer}\""
            ),
            Self::NoSuchAlgorithm { option, name } => {
                write!(f, "Can not allocate \"{name}\" as {option}")
            }
            Self::UsingAlgorithm { option, name } => write!(f, "using {option}: \"{name}\""),
            Self::UnexpectedPacket { name, length } => {
                write!(f, "Unexpected data packet {name} (length {length})")
            }
            Self::BadPacket { name, why } => write!(f, "error receiving {name}: {why}"),
            Self::BadMagic => write!(f, "Wrong magic value in a packet header"),
            Self::UnknownVolume(volume) => {
                write!(f, "The peer speaks of volume {volume}, which is not configured locally")
            }
            Self::ReceiverTerminated => write!(f, "receiver terminated"),
            Self::DiscardingNetwork => write!(f, "Discarding network configuration."),
            Self::ConnectionClosed => write!(f, "Connection closed"),
            Self::PingTimedOut => write!(f, "PingAck did not arrive in time."),
            Self::RequestTimedOut { ko_count, timeout } => write!(
                f,
                "Remote failed to finish a request within {}ms > ko-count ({ko_count}) * timeout ({timeout} * 0.1s)",
                u64::from(*ko_count).saturating_mul(u64::from(*timeout)).saturating_mul(100)
            ),
            Self::BarrierTimedOut { ko_count, timeout } => write!(
                f,
                "Remote failed to answer a P_BARRIER within {}ms > ko-count ({ko_count}) * timeout ({timeout} * 0.1s)",
                u64::from(*ko_count).saturating_mul(u64::from(*timeout)).saturating_mul(100)
            ),
            Self::StateChangeFailed(code) => write!(f, "State change failed: {}", code.text()),
            Self::StateWarning(warning) => write!(f, "{}", warning.text()),
            Self::Uuids { why, uuids } => write!(f, "{why} {}", UuidSet(uuids)),
            Self::PeerUuids { uuids, bits, flags } => {
                write!(f, "peer {} bits:{bits} flags:{flags}", UuidSet(uuids))
            }
            Self::UuidCompare { verdict, rule } => {
                write!(f, "uuid_compare()={verdict} by rule {}", rule.number())
            }
            Self::Handshake(note) => write!(f, "{note}"),
            Self::HandshakeRefused(why) => write!(f, "{why}"),
            Self::ResyncBegan { side, blocks } => write!(
                f,
                "Began resync as {} (will sync {} KB [{blocks} bits set]).",
                side.name(),
                blocks.saturating_mul(4)
            ),
            Self::ResyncDone { seconds, paused, rate } => write!(
                f,
                "Resync done (total {} sec; paused {paused} sec; {rate} K/sec)",
                seconds.saturating_add(*paused)
            ),
            Self::EqualChecksums { equal, total } => write!(
                f,
                "{} % had equal checksums, eliminated: {}K; transferred {}K total {}K",
                percentage(*equal, *total),
                equal.saturating_mul(4),
                total.saturating_sub(*equal).saturating_mul(4),
                total.saturating_mul(4)
            ),
            Self::VerifyStarts(sector) => {
                write!(f, "Starting Online Verify from sector {sector}")
            }
            Self::VerifyStartSector(sector) => {
                write!(f, "Online Verify start sector: {sector}")
            }
            Self::VerifyReached(sector) => write!(f, "Online Verify reached sector {sector}"),
            Self::OutOfSync { sector, sectors } => {
                write!(f, "Out of sync: start={sector}, size={sectors} (sectors)")
            }
            Self::VerifyDone { seconds, rate } => write!(
                f,
                "Online verify done (total {seconds} sec; paused 0 sec; {rate} K/sec)"
            ),
            Self::VerifyFound(blocks) => {
                write!(f, "Online verify found {blocks} 4k block out of sync!")
            }
            Self::ResyncFailedBlocks(blocks) => write!(f, "            {blocks} failed blocks"),
            Self::ResyncOfFailedBlocks => write!(
                f,
                "Blocks that had failed are in sync now, which the peer may not know: connecting anew."
            ),
            Self::ResyncAnswersLost => write!(
                f,
                "The peer does not send blocks that a resync before has asked for: connecting anew."
            ),
            Self::BitmapBrokenOff => write!(
                f,
                "A bitmap was broken off, and the peer may take the next one for the rest of it: connecting anew."
            ),
            Self::ResyncSuspended => write!(f, "Resync suspended"),
            Self::ResyncContinues => write!(f, "Syncer continues."),
            Self::FullSyncRequired => write!(f, "Writing the whole bitmap, full sync required."),
            Self::PeerDiskTooSmall { new, current } => write!(
                f,
                "The peer's disk size is too small! ({new} < {current} sectors)"
            ),
            Self::OnlineResize { new, current } => write!(
                f,
                "The peer resizes the device ({current} to {new} sectors), which is not supported yet: disconnecting"
            ),
            Self::SizeChanged { sectors } => {
                let kib = sectors / 2;
                write!(f, "size = {} ({kib} KB)", SizeText { kib })
            }
            Self::WriteOrdering(method) => {
                write!(f, "Method to ensure write ordering: {}", method.name())
            }
            Self::MarkedByBitmap { bits } => {
                let size = SizeText {
                    kib: bits.saturating_mul(KIB_PER_BIT),
                };
                write!(
                    f,
                    "{size} ({bits} bits) marked out-of-sync by on disk bit-map."
                )
            }
            Self::WrongDataGeneration(uuid) => {
                write!(f, "Can only connect to data with current UUID={uuid:016X}")
            }
            Self::LocalIoError { metadata: true, .. } => {
                write!(f, "disk error: meta data IO failed. Detaching...")
            }
            Self::LocalIoError { sector, .. } => {
                write!(f, "disk error: local IO failed at sector {sector}")
            }
            Self::NoDataAccess { sector, sectors } => {
                write!(f, "IO ERROR: neither local nor remote data, sector {sector}+{sectors}")
            }
            Self::ForcedUpToDate => write!(f, "Forced to consider local data as UpToDate!"),
            Self::NoDryRun => write!(f, "--dry-run is not supported by peer"),
            Self::KnowsOneVolume { protocol } => write!(
                f,
                "The peer speaks protocol {protocol}, which knows volume 0 only: connect a resource with other volumes to DRBD 8.4 or newer"
            ),
            Self::TooMuchForPeer { sector, sectors } => write!(
                f,
                "The peer's protocol has no room for a request at sector {sector}+{sectors} from before it connected"
            ),
            Self::NegativeAnswer { name, sector } => {
                write!(f, "Got {name} packet, sector {sector}: the peer is in trouble")
            }
            Self::HelperRefused { name, code } => write!(
                f,
                "{name} handler returned {code}, dropping connection."
            ),
            Self::SkipInitialSync => {
                write!(f, "Accepted new current UUID, preparing to skip initial sync")
            }
            Self::DiskTimedOut { request: true } => {
                write!(f, "Local backing device failed to meet the disk-timeout")
            }
            Self::DiskTimedOut { .. } => {
                write!(f, "Local backing device failed to meet the disk-timeout: nothing ends any more")
            }
            Self::Congested(why) => write!(f, "{why}"),
            Self::RealPeerDisk(state) => write!(f, "real peer disk state = {}", state.name()),
        }
    }
}

/// `part` of `whole` in percent.
fn percentage(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0)
}

struct UuidSet<'a>(&'a [u64; 4]);

impl fmt::Display for UuidSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [current, bitmap, first, second] = self.0;
        write!(f, "{current:016X}:{bitmap:016X}:{first:016X}:{second:016X}")
    }
}
