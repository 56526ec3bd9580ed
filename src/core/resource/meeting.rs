// SPDX-License-Identifier: GPL-2.0-only

//! Two volumes meet: whose data is newer, and what follows from that.

use super::connection::DataItem;
use super::device::{AfterBitmap, BitmapTask, Device, DeviceIndex};
use super::effect::{Event, Helper};
use super::log::LogMessage;
use super::receive::{ReceiveError, Received};
use super::Resource;
use crate::state::{Change, ConnectionState, DiskState, Role, State};
use crate::uuid::both_sources::both_are_sources;
use crate::uuid::both_targets::both_are_targets;
use crate::uuid::compare::{CompareContext, Correction, Side};
use crate::uuid::handshake::{handshake, Meeting, Outcome, Policies, Reason, Step};
use crate::uuid::{FLAG_CRASHED_PRIMARY, FLAG_DISCARD_MY_DATA};
use crate::wire::FeatureFlags;

impl Resource<'_> {
    /// Takes over what the peer says, and decides about a resync where that is due.
    pub(super) fn meet(
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
        if !knows_uuids && peer.disk.min(old.disk) > DiskState::Negotiating {
            // A volume was added to a connection, and both got their disks while the first words about it were under way, which said
            // that there is none. What is there is compared, sizes and all, when both introduce themselves again.
            let why = "Both nodes attached a disk before they heard of each other's: connecting anew to compare them";
            self.log(index, LogMessage::HandshakeRefused(why));
            self.connection_failed(C::NetworkFailure);
            return Ok(Received::Done);
        }
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
                Outcome::Disconnect(_) => return Err(self.parts_after_comparison()),
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

    /// The peer may only have wanted to know what would come of it: it stays away, and this node waits for its return.
    fn parts_after_comparison(&mut self) -> ReceiveError {
        let own = self
            .connection
            .conf
            .as_ref()
            .is_some_and(|conf| conf.tentative);
        if self.connection.peer_dry_run && !own {
            self.connection_failed(ConnectionState::NetworkFailure);
            return ReceiveError::GoingDown;
        }
        self.give_up_connection();
        ReceiveError::Incompatible
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
        self.compare_what_is_told(index);
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
        if both_are_sources(&result) {
            let why = "By the policies the peer's changes win, and this Primary cannot step down, dropping connection!";
            self.log(index, LogMessage::HandshakeRefused(why));
            return Outcome::Disconnect(Reason::SplitBrain);
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
                bits_set: device.bits_told.unwrap_or_else(|| disk.bitmap.weight()),
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
            policies: Policies {
                dry_run: conf.tentative || self.connection.peer_dry_run,
                ..Policies::from(conf)
            },
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
