// SPDX-License-Identifier: GPL-2.0-only

//! The first words of two nodes: what they speak, and how they are configured. Whose data is newer is decided in
//! [`super::meeting`].

use super::connection::{DataItem, Phase};
use super::device::DeviceIndex;
use super::log::LogMessage;
use super::receive::{ReceiveError, Received};
use super::send::PROTOCOL_VERSION_VOLUMES;
use super::Resource;
use crate::config::net::NetConf;
use crate::state::{Change, ConnectionState, DiskState, State};
use crate::uuid::FLAG_INCONSISTENT;
use crate::wire::{
    AlgorithmName, ConnectionFeatures, ConnectionFlags, Packet, Protocol, SyncParam,
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
            self.introduce_device(index, discard);
        }
        // It counts for one handshake only.
        if let Some(conf) = self.connection.conf.as_mut() {
            conf.discard_my_data = false;
        }
        if self.present().next().is_none() {
            self.connection.state_sent = false;
        }
    }

    /// Tells the peer everything about one volume. One that is added to a connection is not known to the peer where it is added
    /// there later: then nothing of this is heard, and the peer's own words come first.
    pub(super) fn introduce_device(&mut self, index: DeviceIndex, discard: bool) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        device.discard_my_data = discard;
        device.introduced = false;
        device.uuids_compared = None;
        device.bits_told = None;
        device.lost_writes = false;
        device.disk_told = Some(device.state.disk);
        let state = device.state;
        self.send_data(DataItem::SyncParam(index));
        self.send_data(DataItem::Sizes(index));
        self.send_data(DataItem::Uuids(index));
        self.send_state(index, &state);
    }

    /// Something comes about a volume. The peer's first words about all of its volumes come in one piece: one that still waits for
    /// them when more comes about another is not known to the peer, and the others need not wait with it.
    pub(super) fn peer_may_be_known(&mut self, index: DeviceIndex) {
        let introduced = self
            .device(index)
            .is_some_and(|device| device.state.connection >= ConnectionState::Connected);
        if introduced && core::mem::replace(&mut self.connection.state_sent, false) {
            self.wishes.operations = true;
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
        self.connection.peer_dry_run = protocol.conn_flags.contains(ConnectionFlags::DRY_RUN);
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
        if peer.connection == ConnectionState::Ahead && old.disk == DiskState::Negotiating {
            // Said before the peer heard that our former disk is gone, which ended that. Its word about this one follows.
            return Ok(Received::Done);
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
