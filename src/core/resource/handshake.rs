// SPDX-License-Identifier: GPL-2.0-only

//! The first words of two nodes: what they speak, how they are configured, and whose data is newer.

use super::connection::{DataItem, Phase};
use super::device::{AfterBitmap, BitmapTask, Device, DeviceIndex};
use super::effect::{Event, Helper};
use super::log::LogMessage;
use super::receive::{ReceiveError, Received};
use super::send::PROTOCOL_VERSION_VOLUMES;
use super::Resource;
use crate::config::net::NetConf;
use crate::state::{Change, ConnectionState, DiskState, Role, State};
use crate::uuid::both_targets::both_are_targets;
use crate::uuid::compare::{CompareContext, Correction, Side};
use crate::uuid::handshake::{handshake, Meeting, Outcome, Policies, Reason, Step};
use crate::uuid::{FLAG_CRASHED_PRIMARY, FLAG_DISCARD_MY_DATA, FLAG_INCONSISTENT};
use crate::wire::{
    AlgorithmName, ConnectionFeatures, ConnectionFlags, FeatureFlags, Packet, Protocol, SyncParam,
};

/// Since this protocol a peer knows that a connection is only a dry run.
const PROTOCOL_VERSION_DRY_RUN: u32 = 92;

impl Resource<'_> {
    /// `P_CONNECTION_FEATURES`
    pub(super) fn receive_features(
        &mut self,
        features: ConnectionFeatures,
    ) -> Result<Received, ReceiveError> {
        let Some(agreement) = features.agree() else {
            self.log(
                None,
                LogMessage::IncompatibleDialects {
                    minimum: features.protocol_min,
                    maximum: features.protocol_max,
                },
            );
            self.give_up_connection();
            return Err(ReceiveError::Incompatible);
        };
        if let Some(reason) = self.needs_newer_peer(agreement.protocol) {
            self.log(None, reason);
            self.give_up_connection();
            return Err(ReceiveError::Incompatible);
        }
        self.connection.agreed_protocol = agreement.protocol;
        self.connection.features = agreement.features.intersection(self.connection.offered);
        self.log(
            None,
            LogMessage::Agreed {
                protocol: agreement.protocol,
            },
        );
        self.log(None, LogMessage::Features(self.connection.features));
        if self.wants_authentication() {
            self.begin_authentication();
        } else {
            self.connection.phase = Phase::Protocol;
            self.introduce();
        }
        Ok(Received::Done)
    }

    /// Why our configuration cannot work with a peer of this protocol version.
    fn needs_newer_peer(&self, protocol: u32) -> Option<LogMessage> {
        // Its headers have no place for the number of a volume.
        let several = self.present().any(|(_, device)| device.volume != 0);
        if several && protocol < PROTOCOL_VERSION_VOLUMES {
            return Some(LogMessage::KnowsOneVolume { protocol });
        }
        // It would take a dry run for the real thing.
        let tentative = self
            .connection
            .conf
            .as_ref()
            .is_some_and(|conf| conf.tentative);
        (tentative && protocol < PROTOCOL_VERSION_DRY_RUN).then_some(LogMessage::NoDryRun)
    }

    /// Tells the peer everything about us.
    pub(super) fn introduce(&mut self) {
        let discard = self
            .connection
            .conf
            .as_ref()
            .is_some_and(|conf| conf.discard_my_data);
        self.send_data(DataItem::Protocol);
        self.connection.state_sent = true;
        let wanted = Change::none().connection(ConnectionState::WFReportParams);
        if self.change_connection(wanted, false).is_err() {
            self.connection.state_sent = false;
            self.connection_failed(ConnectionState::NetworkFailure);
            return;
        }
        for index in self.indices() {
            let Some(device) = self.device_mut(index) else {
                continue;
            };
            device.discard_my_data = discard;
            device.introduced = false;
            device.uuids_compared = None;
            device.lost_writes = false;
            device.disk_told = Some(device.state.disk);
            let state = device.state;
            self.send_data(DataItem::SyncParam(index));
            self.send_data(DataItem::Sizes(index));
            self.send_data(DataItem::Uuids(index));
            self.send_state(index, &state);
        }
        // It counts for one handshake only.
        if let Some(conf) = self.connection.conf.as_mut() {
            conf.discard_my_data = false;
        }
        if self.present().next().is_none() {
            self.connection.state_sent = false;
        }
    }

    /// What has to be configured alike on both nodes.
    pub(super) fn protocol_packet(&self) -> Option<Protocol> {
        let conf = self.connection.conf.as_ref()?;
        let discard =
            self.present().any(|(_, device)| device.discard_my_data) || conf.discard_my_data;
        Some(Protocol {
            protocol: conf.wire_protocol.number(),
            after_sb_0p: conf.after_sb_0p.number(),
            after_sb_1p: conf.after_sb_1p.number(),
            after_sb_2p: conf.after_sb_2p.number(),
            conn_flags: ConnectionFlags::NONE
                .with_if(discard, ConnectionFlags::DISCARD_MY_DATA)
                .with_if(conf.tentative, ConnectionFlags::DRY_RUN),
            two_primaries: u32::from(conf.two_primaries),
            integrity_alg: AlgorithmName::new(conf.integrity_alg.as_bytes())
                .unwrap_or(AlgorithmName::NONE),
        })
    }

    /// `P_PROTOCOL`
    pub(super) fn receive_protocol(
        &mut self,
        protocol: Protocol,
    ) -> Result<Received, ReceiveError> {
        let Some(conf) = self.connection.conf.as_ref() else {
            return Err(ReceiveError::GoingDown);
        };
        let discards = self.present().any(|(_, device)| device.discard_my_data);
        if let Some(setting) = first_difference(conf, discards, &protocol) {
            self.log(None, LogMessage::IncompatibleSetting(setting));
            self.give_up_connection();
            return Err(ReceiveError::Incompatible);
        }
        if self.connection.phase == Phase::Protocol {
            self.connection.phase = Phase::Open;
        }
        Ok(self.peer_integrity_begins(&protocol.integrity_alg))
    }

    /// `P_PROTOCOL_UPDATE`: the peer was configured anew while connected.
    pub(super) fn receive_protocol_update(
        &mut self,
        protocol: Protocol,
    ) -> Result<Received, ReceiveError> {
        use crate::config::policy::{
            AfterSplitBrain0p, AfterSplitBrain1p, AfterSplitBrain2p, Protocol as WireProtocol,
        };
        if protocol.two_primaries != 0 {
            return Err(ReceiveError::Malformed(
                "allow-two-primaries is not supported yet",
            ));
        }
        let Some(conf) = self.connection.conf.as_mut() else {
            return Err(ReceiveError::GoingDown);
        };
        let (Some(wire_protocol), Some(zero), Some(one), Some(two)) = (
            WireProtocol::from_number(protocol.protocol),
            AfterSplitBrain0p::from_number(seen_from_the_other_side(protocol.after_sb_0p)),
            AfterSplitBrain1p::from_number(protocol.after_sb_1p),
            AfterSplitBrain2p::from_number(protocol.after_sb_2p),
        ) else {
            return Err(ReceiveError::Malformed("a setting that does not exist"));
        };
        conf.wire_protocol = wire_protocol;
        conf.after_sb_0p = zero;
        conf.after_sb_1p = one;
        conf.after_sb_2p = two;
        Ok(self.peer_integrity_begins(&protocol.integrity_alg))
    }

    /// Our resync settings.
    pub(super) fn sync_param_packet(&self, index: DeviceIndex) -> Option<Packet> {
        let conf = self.connection.conf.as_ref()?;
        let defaults = crate::config::disk::DiskConf::default();
        let disk = self
            .device(index)?
            .disk
            .as_ref()
            .map_or(&defaults, |disk| &disk.conf);
        let algorithm = |name: &[u8]| AlgorithmName::new(name).unwrap_or(AlgorithmName::NONE);
        let param = SyncParam {
            resync_rate: disk.resync_rate,
            verify_alg: algorithm(conf.verify_alg.as_bytes()),
            csums_alg: algorithm(conf.csums_alg.as_bytes()),
            c_plan_ahead: disk.c_plan_ahead,
            c_delay_target: disk.c_delay_target,
            c_fill_target: disk.c_fill_target,
            c_max_rate: disk.c_max_rate,
        };
        Some(if self.connection.agreed_protocol >= 89 {
            Packet::SyncParam89(param)
        } else {
            Packet::SyncParam(param)
        })
    }

    /// `P_SYNC_PARAM`, `P_SYNC_PARAM89`: while connecting, the peer's resync settings replace ours, as in 8.4.
    pub(super) fn receive_sync_param(
        &mut self,
        index: DeviceIndex,
        param: &SyncParam,
    ) -> Result<Received, ReceiveError> {
        let agreed = self.connection.agreed_protocol;
        let received = self.compare_algorithms(index, param)?;
        let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        else {
            return Ok(received);
        };
        if param.resync_rate != 0 {
            disk.conf.resync_rate = param.resync_rate;
        }
        if agreed >= 95 {
            disk.conf.c_plan_ahead = param.c_plan_ahead.min(300);
            disk.conf.c_delay_target = param.c_delay_target;
            disk.conf.c_fill_target = param.c_fill_target;
            disk.conf.c_max_rate = param.c_max_rate.max(1);
        }
        Ok(received)
    }

    /// `P_STATE`
    pub(super) fn receive_state(
        &mut self,
        index: DeviceIndex,
        state: u32,
    ) -> Result<Received, ReceiveError> {
        let peer = State::from_wire(state)
            .map_err(|_| ReceiveError::Malformed("a state that does not exist"))?;
        let Some(device) = self.device(index) else {
            return Err(ReceiveError::UnknownVolume);
        };
        let old = device.state;
        if old.connection <= ConnectionState::TearDown {
            return Err(ReceiveError::GoingDown);
        }
        let mut peer_disk = peer.disk;
        if peer.disk == DiskState::Negotiating {
            // Its UUIDs are forgotten where our own disk began to be attached just now. It will send them again.
            let flags = device.peer.uuids.map_or(0, |[.., flags]| flags);
            peer_disk = if flags & FLAG_INCONSISTENT != 0 {
                DiskState::Inconsistent
            } else {
                DiskState::Consistent
            };
            self.log(index, LogMessage::RealPeerDisk(peer_disk));
        }
        self.peer_has_disk(index, peer.disk);
        if peer.connection == ConnectionState::Ahead {
            // A source that pulls ahead while our handler runs for its resync will begin another one.
            if let Some(device) = self.device_mut(index) {
                device.sync_wanted = None;
            }
        }
        if peer.connection.is_sync_target() {
            self.target_has_begun(index);
        }
        if let Some(settled) = self.end_of_resync_word(index, &old, &peer, &mut peer_disk) {
            return settled;
        }
        self.meet(index, &old, &peer, peer_disk)
    }

    /// The peer's word about the end of a resync, which may come before or after our own insight.
    fn end_of_resync_word(
        &mut self,
        index: DeviceIndex,
        old: &State,
        peer: &State,
        peer_disk: &mut DiskState,
    ) -> Option<Result<Received, ReceiveError>> {
        use ConnectionState as C;
        let target_may_be_done = matches!(
            old.peer_disk,
            DiskState::Inconsistent | DiskState::Consistent
        ) && *peer_disk == DiskState::UpToDate
            && old.connection > C::Connected
            && old.disk == DiskState::UpToDate;
        if target_may_be_done {
            if peer.connection > C::Connected && peer.connection < C::SyncSource {
                *peer_disk = DiskState::Inconsistent;
            } else if old.connection >= C::SyncSource && peer.connection == C::Connected {
                self.target_has_begun(index);
                self.finish_resync_if_done(index);
                return Some(Ok(Received::Done));
            }
        }
        let source_stopped = old.connection == C::VerifyT
            && old.disk == DiskState::UpToDate
            && *peer_disk == DiskState::UpToDate
            && peer.connection == C::Connected;
        if source_stopped {
            self.source_has_stopped(index);
            return Some(Ok(Received::Done));
        }
        if old.peer_disk == DiskState::UpToDate
            && *peer_disk == DiskState::Inconsistent
            && old.connection == C::Connected
            && peer.connection > C::SyncSource
        {
            *peer_disk = DiskState::UpToDate;
            // So may be the UUIDs that came before this word. Should this node be the next target, it would take them for its own.
            self.peer_has_our_uuids(index);
        }
        None
    }

    /// Takes over what the peer says, and decides about a resync where that is due.
    fn meet(
        &mut self,
        index: DeviceIndex,
        old: &State,
        peer: &State,
        peer_disk: DiskState,
    ) -> Result<Received, ReceiveError> {
        use ConnectionState as C;
        let mut connection = match (old.connection, peer.connection) {
            (_, C::Ahead) => C::Behind,
            (C::WFReportParams, _) => C::Connected,
            (connection, _) => connection,
        };
        let mut peer_disk = peer_disk;
        let (knows_uuids, consider) = self.device(index).map_or((false, false), |device| {
            (device.peer.uuids.is_some(), device.consider_resync)
        });
        let both_have_disks = knows_uuids
            && peer.disk >= DiskState::Negotiating
            && old.disk >= DiskState::Negotiating;
        let due = old.connection < C::Connected
            || (old.connection == C::Connected
                && (peer.disk == DiskState::Negotiating || old.disk == DiskState::Negotiating))
            || consider
            // Both were attached at once, each while the other had no disk yet: nobody is about to refuse his any more.
            || (old.connection == C::Connected
                && old.peer_disk == DiskState::Diskless
                && peer.disk >= DiskState::Inconsistent)
            || (old.connection == C::Connected
                && peer.connection >= C::StartingSyncS
                && peer.connection <= C::WFBitMapT
                && !self.peer_does_as_asked(index, peer));
        let mut full = false;
        if both_have_disks && due {
            match self.compare_data(index, peer, peer_disk) {
                Outcome::NoSync => connection = C::Connected,
                Outcome::BecomeSource { full: all } => (connection, full) = (C::WFBitMapS, all),
                Outcome::BecomeTarget { full: all } => (connection, full) = (C::WFBitMapT, all),
                Outcome::Disconnect(_) if old.disk == DiskState::Negotiating => {
                    connection = C::Connected;
                    self.refuse_attached_disk(index);
                }
                Outcome::Disconnect(_) if peer.disk == DiskState::Negotiating => {
                    connection = C::Connected;
                    peer_disk = DiskState::Diskless;
                    self.log(
                        index,
                        LogMessage::HandshakeRefused(
                            "Disk attach process on the peer node was aborted.",
                        ),
                    );
                    // It waits for our word, and comes to the same end with it.
                    self.send_data(DataItem::Uuids(index));
                    self.send_state(index, old);
                }
                Outcome::Disconnect(_) => {
                    self.give_up_connection();
                    return Err(ReceiveError::Incompatible);
                }
            }
        }
        if let Some(device) = self.device_mut(index) {
            device.consider_resync = false;
        }
        if full {
            self.log(index, LogMessage::FullSyncRequired);
            let then = if connection == C::WFBitMapS {
                AfterBitmap::SendBitmap
            } else {
                AfterBitmap::Nothing
            };
            self.start_bitmap_task(index, BitmapTask::SetAll, then);
        }
        self.take_over(index, old, peer, connection, peer_disk)
    }

    fn take_over(
        &mut self,
        index: DeviceIndex,
        old: &State,
        peer: &State,
        connection: ConnectionState,
        peer_disk: DiskState,
    ) -> Result<Received, ReceiveError> {
        use ConnectionState as C;
        let Some(device) = self.device(index) else {
            return Err(ReceiveError::UnknownVolume);
        };
        let mut change = Change::none()
            .connection(connection)
            .peer(peer.role)
            .peer_disk(without_data_of_source(connection, peer, peer_disk))
            .peer_paused(peer.after_dependency_paused || peer.user_paused);
        if let Some(disk) = device.settled_disk(old, peer, connection) {
            change = change.disk(disk);
        }
        if change.disk == Some(DiskState::Failed) {
            let why = "The attached disk does not have the data that is in use.";
            self.log(index, LogMessage::HandshakeRefused(why));
        }
        let connecting = old.connection < C::Connected && connection >= C::Connected;
        if let Err(code) = self.change(index, change, !connecting) {
            self.log(index, LogMessage::StateChangeFailed(code));
            self.give_up_connection();
            return Err(ReceiveError::Incompatible);
        }
        self.forget_uuids_compared(index);
        self.peer_accepts_data(index, old, peer);
        let new = self.device(index).map_or(*old, |device| device.state);
        if old.connection > C::WFReportParams
            && new.connection > C::Connected
            && peer.connection <= C::Connected
            && peer.disk != DiskState::Negotiating
        {
            // We want a resync, and the peer has not thought of it yet.
            self.send_data(DataItem::Uuids(index));
            self.send_state(index, &new);
        }
        if let Some(device) = self.device_mut(index) {
            // It counts for one meeting; but the peer has to hear of it, too.
            if device.introduced {
                device.discard_my_data = false;
            }
        }
        Ok(Received::Done)
    }

    /// Compares the histories of both disks.
    fn compare_data(&mut self, index: DeviceIndex, peer: &State, peer_disk: DiskState) -> Outcome {
        let Some(meeting) = self.meeting(index, peer, peer_disk) else {
            return Outcome::NoSync;
        };
        self.log(
            index,
            LogMessage::PeerUuids {
                uuids: meeting.peer.uuids.to_array(),
                bits: meeting.peer.bits_set,
                flags: self.peer_flags(index),
            },
        );
        let result = handshake(&meeting);
        self.log(
            index,
            LogMessage::UuidCompare {
                verdict: i32::try_from(result.comparison.verdict.number()).unwrap_or(i32::MIN),
                rule: result.comparison.rule,
            },
        );
        for step in result.steps.iter() {
            match step {
                Step::Log(note) => self.log(index, LogMessage::Handshake(note)),
                Step::Call(helper) => {
                    let helper = Helper::from(helper);
                    self.event(Event::CallHelper {
                        device: Some(index),
                        helper,
                    });
                }
            }
        }
        if both_are_targets(&meeting, result.outcome) {
            let why = "Each node finds the other's data to be newer, dropping connection!";
            self.log(index, LogMessage::HandshakeRefused(why));
            return Outcome::Disconnect(Reason::SourceInconsistent);
        }
        match result.comparison.correction {
            Some(Correction::Own(uuids)) => {
                self.keep_uuids_compared(index);
                self.set_uuids(index, uuids, "corrected UUIDs");
            }
            Some(Correction::Peer(uuids)) => {
                if let Some(device) = self.device_mut(index) {
                    if let Some([current, bitmap, first, second, _, _]) = device.peer.uuids.as_mut()
                    {
                        [*current, *bitmap, *first, *second] = uuids.to_array();
                    }
                }
            }
            None => {}
        }
        if result.demote {
            let _ = self.change(index, Change::none().role(Role::Secondary), false);
        }
        result.outcome
    }

    fn peer_flags(&self, index: DeviceIndex) -> u64 {
        self.device(index)
            .and_then(|device| device.peer.uuids)
            .map_or(0, |[.., flags]| flags)
    }

    fn meeting(&self, index: DeviceIndex, peer: &State, peer_disk: DiskState) -> Option<Meeting> {
        let device = self.device(index)?;
        let disk = device.disk.as_ref()?;
        let [.., peer_bits, peer_flags] = device.peer.uuids?;
        let conf = self.connection.conf.as_ref()?;
        let (own, peers) = (self.own_uuids(index)?, self.peer_uuids(index)?);
        Some(Meeting {
            own: Side {
                uuids: own.with_early_target(&peers),
                bits_set: disk.bitmap.weight(),
                crashed_primary: device.crashed_primary,
                discard_my_data: device.discard_my_data,
                role: device.state.role,
            },
            peer: Side {
                uuids: peers.with_early_target(&own),
                bits_set: peer_bits,
                crashed_primary: peer_flags & FLAG_CRASHED_PRIMARY != 0,
                discard_my_data: peer_flags & FLAG_DISCARD_MY_DATA != 0,
                role: peer.role,
            },
            own_disk: device.disk_compared(),
            own_disk_negotiated: device
                .attach_result
                .map_or(device.state.disk, |disks| disks.own),
            peer_disk,
            can_demote: crate::state::decide(
                device.state,
                Change::none().role(Role::Secondary),
                false,
                &self.context(index),
            )
            .is_ok(),
            context: CompareContext {
                agreed_protocol: self.connection.agreed_protocol,
                agreed_write_same: self.connection.features.contains(FeatureFlags::WSAME),
                resolve_conflicts: self.connection.resolve_conflicts,
            },
            policies: Policies::from(conf),
        })
    }
}

impl Device<'_> {
    /// The state of our disk that counts when both are compared. A disk that became Inconsistent since the peer was told of it,
    /// by an error with `pass_on`, say, counts for what the peer was told: it compares with that, and both would be targets.
    fn disk_compared(&self) -> DiskState {
        let now = self.state.disk;
        let connecting = self.state.connection == ConnectionState::WFReportParams;
        match self.disk_told {
            Some(told) if connecting && told.min(now) > DiskState::Negotiating => told,
            _ => now,
        }
    }

    /// What a disk that is being attached turns out to be by the peer's word; `None` where that is open yet, or there is none.
    fn settled_disk(
        &self,
        old: &State,
        peer: &State,
        connection: ConnectionState,
    ) -> Option<DiskState> {
        use ConnectionState as C;
        let peer_has_disk = peer.disk >= DiskState::Negotiating;
        // Before the UUIDs of a peer with a disk are here, nobody knows what ours is worth.
        let compared = self.peer.uuids.is_some() || !peer_has_disk;
        if self.state.disk != DiskState::Negotiating
            || !compared
            || !matches!(connection, C::Connected | C::WFBitMapS)
        {
            return None;
        }
        let result = self.attach_result?;
        // It may have been allowed for the data that the peer had, and that is out of reach now.
        let in_use = old.role == Role::Primary || peer.role == Role::Primary;
        if !peer_has_disk && in_use && !self.has_seen_own_data() {
            return Some(DiskState::Failed);
        }
        Some(result.own)
    }
}

/// The first setting that makes both nodes unable to work together, by its name in `drbd.conf`.
fn first_difference(conf: &NetConf, discards: bool, peer: &Protocol) -> Option<&'static str> {
    let theirs_discards = peer.conn_flags.contains(ConnectionFlags::DISCARD_MY_DATA);
    if peer.protocol != conf.wire_protocol.number() {
        Some("protocol")
    } else if seen_from_the_other_side(peer.after_sb_0p) != conf.after_sb_0p.number() {
        Some("after-sb-0pri")
    } else if peer.after_sb_1p != conf.after_sb_1p.number() {
        Some("after-sb-1pri")
    } else if peer.after_sb_2p != conf.after_sb_2p.number() {
        Some("after-sb-2pri")
    } else if theirs_discards && discards {
        Some("discard-my-data")
    } else if peer.two_primaries != u32::from(conf.two_primaries) {
        Some("allow-two-primaries")
    } else if peer.integrity_alg.as_bytes() != conf.integrity_alg.as_bytes() {
        Some("data-integrity-alg")
    } else {
        None
    }
}

/// `discard-local` of one node is `discard-remote` of the other.
fn seen_from_the_other_side(policy: u32) -> u32 {
    const DISCARD_LOCAL: u32 = 5;
    const DISCARD_REMOTE: u32 = 6;
    match policy {
        DISCARD_LOCAL => DISCARD_REMOTE,
        DISCARD_REMOTE => DISCARD_LOCAL,
        other => other,
    }
}

/// The peer is about to become the target of a resync that was given up here, because it asked to detach, say. Its disk is
/// not UpToDate, as those of connected nodes are taken to be, for it lacks what it was to be sent.
fn without_data_of_source(
    connection: ConnectionState,
    peer: &State,
    peer_disk: DiskState,
) -> DiskState {
    use ConnectionState as C;
    let waits_for_source = matches!(
        peer.connection,
        C::StartingSyncT | C::WFBitMapT | C::WFSyncUUID | C::PausedSyncT | C::Behind
    );
    let doubtful = matches!(peer_disk, DiskState::Outdated | DiskState::Consistent);
    if connection == C::Connected && waits_for_source && doubtful {
        DiskState::Inconsistent
    } else {
        peer_disk
    }
}
