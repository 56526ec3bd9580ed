// SPDX-License-Identifier: GPL-2.0-only

//! Changes of state that the peer has to agree to.
//!
//! One is under way at a time. Where both nodes want something at once, the one that accepted the meta socket goes first,
//! and refuses the other's wish.

use super::change::{keeps_good_data, without_false_hope};
use super::connection::{DataItem, MetaItem};
use super::device::DeviceIndex;
use super::log::LogMessage;
use super::receive::{ReceiveError, Received};
use super::verify::only_good_disks;
use super::Resource;
use crate::state::change::{connection_needs_agreement, plan, still_waits, Path};
use crate::state::{Change, ConnectionState, DiskState, State, StateCode};
use crate::wire::RequestState;

/// Names an operation whose result is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// How an operation ended.
pub type OperationResult = Result<(), StateCode>;

#[derive(Clone, Copy, Debug)]
struct Operation {
    ticket: Ticket,
    device: Option<DeviceIndex>,
    change: Change,
}

/// What is under way, and how the last one ended.
#[derive(Debug, Default)]
pub(super) struct Operations {
    current: Option<Operation>,
    last: u64,
    result: Option<(Ticket, OperationResult)>,
}

impl Resource<'_> {
    /// Asks for a change of one volume. `None` means that it is made; a ticket, that the peer is being asked: see
    /// [`operation_result`](Self::operation_result).
    ///
    /// # Errors
    ///
    /// Why it cannot be made. [`StateCode::InTransientState`] asks to try again later.
    pub fn request_change(
        &mut self,
        index: DeviceIndex,
        change: Change,
    ) -> Result<Option<Ticket>, StateCode> {
        let Some(old) = self.device(index).map(|device| device.state) else {
            return Err(StateCode::UnknownError);
        };
        // Connected, an Outdated disk counts as UpToDate: an Inconsistent one must not get there by being outdated.
        if change.disk == Some(DiskState::Outdated) && old.disk < DiskState::Outdated {
            return Err(StateCode::LowerThanOutdated);
        }
        // A verify or a resync without a disk comes down to being Connected. A node that has not heard of its peer is not.
        let needs_peer = change
            .connection
            .is_some_and(|wanted| wanted > ConnectionState::Connected);
        if needs_peer && old.connection == ConnectionState::WFReportParams {
            return Err(StateCode::NeedConnection);
        }
        let change = without_false_hope(&old, change);
        let path = plan(old, change, &self.context(index))?;
        keeps_good_data(&old, change)?;
        let change = only_good_disks(&old, change)?;
        match path {
            Path::Local => self.change(index, change, false).map(|()| None),
            Path::AskPeer => self.ask_peer(Some(index), change).map(Some),
        }
    }

    /// Asks for a change of the whole connection, in the same way.
    ///
    /// # Errors
    ///
    /// As [`request_change`](Self::request_change).
    pub fn request_connection_change(
        &mut self,
        change: Change,
        hard: bool,
    ) -> Result<Option<Ticket>, StateCode> {
        let wanted = change.connection.unwrap_or(self.connection.state);
        if wanted == ConnectionState::Disconnecting {
            match self.connection.state {
                ConnectionState::StandAlone => return Err(StateCode::AlreadyStandAlone),
                ConnectionState::Disconnecting => return Ok(None),
                _ => {}
            }
        }
        if !hard && connection_needs_agreement(self.connection.state, wanted) {
            for (index, device) in self.present() {
                match crate::state::decide(device.state, change, false, &self.context(index)) {
                    Err(code) if !code.is_success() => return Err(code),
                    _ => {}
                }
            }
            return self.ask_peer(None, change).map(Some);
        }
        self.change_connection(change, hard).map(|()| None)
    }

    fn ask_peer(
        &mut self,
        device: Option<DeviceIndex>,
        change: Change,
    ) -> Result<Ticket, StateCode> {
        if self.operations.current.is_some() {
            return Err(StateCode::InTransientState);
        }
        self.operations.last = self.operations.last.wrapping_add(1);
        let ticket = Ticket(self.operations.last);
        self.operations.current = Some(Operation {
            ticket,
            device,
            change,
        });
        self.send_data(DataItem::StateRequest(device, change));
        Ok(ticket)
    }

    /// How an operation ended; `None` while the peer has not answered. Ask again when
    /// [`Wishes::operations`](super::Wishes::operations) says so.
    pub fn operation_result(&mut self, ticket: Ticket) -> Option<OperationResult> {
        self.recheck_operation();
        match self.operations.result {
            Some((ended, result)) if ended == ticket => Some(result),
            // Another one ended since: nobody waited for this.
            _ if self
                .operations
                .current
                .is_none_or(|current| current.ticket != ticket) =>
            {
                Some(Err(StateCode::UnknownError))
            }
            _ => None,
        }
    }

    /// While the peer thinks, the state may change so that its answer does not matter any more.
    pub(super) fn recheck_operation(&mut self) {
        let Some(Operation { device, change, .. }) = self.operations.current else {
            return;
        };
        let verdict = match device {
            Some(index) => {
                let Some(old) = self.device(index).map(|device| device.state) else {
                    return self.end_operation(Err(StateCode::UnknownError));
                };
                let change = without_false_hope(&old, change);
                still_waits(old, change, &self.context(index))
            }
            None if self.connection.state == ConnectionState::WFReportParams => Ok(()),
            None => Err(StateCode::ClusterWideNoNeed),
        };
        match verdict {
            Ok(()) => {}
            Err(StateCode::ClusterWideNoNeed) => self.carry_out_operation(device, change),
            Err(code) => self.end_operation(Err(code)),
        }
    }

    fn carry_out_operation(&mut self, device: Option<DeviceIndex>, change: Change) {
        let result = match device {
            Some(index) => self.change(index, change, false),
            None => self.change_connection(change, false),
        };
        self.end_operation(result);
    }

    fn end_operation(&mut self, result: OperationResult) {
        if let Some(operation) = self.operations.current.take() {
            self.operations.result = Some((operation.ticket, result));
        }
        self.wishes.operations = true;
        self.wishes.room = true;
    }

    /// `P_STATE_CHG_REPLY`, `P_CONN_ST_CHG_REPLY`
    pub(super) fn operation_answered(
        &mut self,
        from: Option<DeviceIndex>,
        code: Option<StateCode>,
    ) {
        let Some(Operation { device, change, .. }) = self.operations.current else {
            return;
        };
        // Before protocol 100 there is one volume, and no word for the connection.
        if device.is_some() && device != from {
            return;
        }
        if code.is_some_and(StateCode::is_success) {
            self.carry_out_operation(device, change);
        } else {
            self.end_operation(Err(StateCode::RefusedByPeer));
        }
    }

    /// The peer has begun the resync that it was asked for, and its state was faster than its answer, which comes on the other
    /// socket. Whoever compared now would send a bitmap that nobody awaits.
    pub(super) fn peer_does_as_asked(&self, index: DeviceIndex, peer: &State) -> bool {
        use ConnectionState as C;
        self.operations.current.is_some_and(|operation| {
            operation.device == Some(index)
                && matches!(
                    (operation.change.connection, peer.connection),
                    (Some(C::StartingSyncS), C::StartingSyncT)
                        | (Some(C::StartingSyncT), C::StartingSyncS)
                )
        })
    }

    /// `P_STATE_CHG_REQ`: the peer wants to change a volume.
    pub(super) fn receive_state_request(
        &mut self,
        index: DeviceIndex,
        request: RequestState,
    ) -> Result<Received, ReceiveError> {
        let change = wanted_change(request)?;
        let too_early = change.is_some_and(|change| self.agrees_too_early(index, change));
        if self.connection.meta_queue.room() < 64 || self.expects_answer() || too_early {
            return Ok(Received::Wait);
        }
        let code = if self.connection.resolve_conflicts && self.operations.current.is_some() {
            StateCode::ConcurrentChange
        } else {
            let result = match change {
                // Before protocol 100 this is the word for the connection, too.
                Some(change) if ends_connection(&change) => self.change_connection(change, false),
                Some(change) => self.agree(index, change),
                None => Err(StateCode::NotSupported),
            };
            self.answer(result)
        };
        self.send_meta(MetaItem::StateReply {
            device: Some(index),
            code,
        });
        Ok(Received::Done)
    }

    /// `P_CONN_ST_CHG_REQ`: the peer wants to change the connection.
    pub(super) fn receive_connection_state_request(
        &mut self,
        request: RequestState,
    ) -> Result<Received, ReceiveError> {
        let change = wanted_change(request)?;
        if self.connection.meta_queue.room() < 64 || self.expects_answer() {
            return Ok(Received::Wait);
        }
        let code = if self.connection.resolve_conflicts && self.operations.current.is_some() {
            StateCode::ConcurrentChange
        } else {
            let result = match change {
                Some(change) => self.change_connection_for_peer(change),
                None => Err(StateCode::NotSupported),
            };
            self.answer(result)
        };
        self.send_meta(MetaItem::StateReply { device: None, code });
        Ok(Received::Done)
    }

    /// Whether the peer is being asked for something.
    pub(super) fn has_operation(&self) -> bool {
        self.operations.current.is_some()
    }

    /// Whether the peer's answer to our own wish comes before its wish can be looked at. The node that decides conflicts
    /// answers at once; its later wish may overtake the answer, which comes on the other socket. To act on it first would
    /// be to decide about a state that the peer does not know.
    fn expects_answer(&self) -> bool {
        !self.connection.resolve_conflicts && self.operations.current.is_some()
    }

    fn answer(&mut self, result: OperationResult) -> StateCode {
        match result {
            Ok(()) => StateCode::Success,
            Err(code) => {
                self.log(None, LogMessage::StateChangeFailed(code));
                code
            }
        }
    }
}

/// The peer's wish in our terms; `None` where it is one that no peer may have.
fn wanted_change(request: RequestState) -> Result<Option<Change>, ReceiveError> {
    let change = Change::from_wire(request.mask, request.val)
        .map_err(|_| ReceiveError::Malformed("a state that does not exist"))?;
    Ok(change.mirrored())
}

fn ends_connection(change: &Change) -> bool {
    change
        .connection
        .is_some_and(|connection| connection < ConnectionState::WFReportParams)
}
