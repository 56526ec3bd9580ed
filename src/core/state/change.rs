// SPDX-License-Identifier: GPL-2.0-only

//! A wished change of the state, and the one way in which it is decided.

use super::{
    sanitize::{sanitize, Warning},
    validity::{is_valid_soft_transition, is_valid_state, is_valid_transition},
    ConnectionState, Context, DiskState, Role, State, StateCode,
};

macro_rules! change {
    ($( $(#[$attribute:meta])* $field:ident: $type:ty, )+) => {
        /// A change of some fields of a [`State`]; `None` leaves a field as it is.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Change {
            $( $(#[$attribute])* pub $field: Option<$type>, )+
        }

        impl Change {
            $(
                $(#[$attribute])*
                #[must_use]
                pub const fn $field(self, value: $type) -> Self {
                    Self { $field: Some(value), ..self }
                }
            )+

            /// The state that `state` becomes by this change alone, without what follows from it.
            pub fn apply_to(self, state: State) -> State {
                State { $( $field: self.$field.unwrap_or(state.$field), )+ }
            }
        }
    };
}

change! {
    /// The role of this node.
    role: Role,
    /// The role of the peer.
    peer: Role,
    /// The connection.
    connection: ConnectionState,
    /// The disk of this node.
    disk: DiskState,
    /// The disk of the peer.
    peer_disk: DiskState,
    /// I/O suspended by an administrator.
    suspended: bool,
    /// I/O suspended for lack of data.
    suspended_no_data: bool,
    /// I/O suspended while the peer is fenced.
    suspended_fencing: bool,
    /// Resync paused for another volume.
    after_dependency_paused: bool,
    /// Resync paused by the peer.
    peer_paused: bool,
    /// Resync paused by an administrator of this node.
    user_paused: bool,
}

impl Change {
    /// No change.
    pub const fn none() -> Self {
        Self {
            role: None,
            peer: None,
            connection: None,
            disk: None,
            peer_disk: None,
            suspended: None,
            suspended_no_data: None,
            suspended_fencing: None,
            after_dependency_paused: None,
            peer_paused: None,
            user_paused: None,
        }
    }

    /// A change that the peer wishes for (`P_STATE_CHG_REQ`, `P_CONN_ST_CHG_REQ`), in our view: its role is our
    /// peer's, its disk is our peer's disk, and so on. A pause of its own is a pause by the peer for us.
    ///
    /// Whether I/O is suspended, or the resync paused by our administrator, is not for the peer to change: 8.4 never
    /// asks for that, and it is left out here.
    ///
    /// `None` when the connection state is not one that a peer can ask for. (The C driver takes such a wish for
    /// StandAlone; a peer that behaves never sends one.)
    pub fn mirrored(self) -> Option<Self> {
        let connection = match self.connection {
            None => None,
            Some(theirs) => Some(match theirs {
                ConnectionState::WFReportParams | ConnectionState::Connected => theirs,
                ConnectionState::StartingSyncS => ConnectionState::StartingSyncT,
                ConnectionState::StartingSyncT => ConnectionState::StartingSyncS,
                ConnectionState::VerifyS => ConnectionState::VerifyT,
                ConnectionState::Disconnecting => ConnectionState::TearDown,
                _ => return None,
            }),
        };
        let peer_paused = match (self.after_dependency_paused, self.user_paused) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(false) || other.unwrap_or(false)),
        };
        Some(Self {
            role: self.peer,
            peer: self.role,
            connection,
            disk: self.peer_disk,
            peer_disk: self.disk,
            peer_paused,
            ..Self::none()
        })
    }
}

impl From<State> for Change {
    /// The change that leads to exactly this state.
    fn from(state: State) -> Self {
        Self {
            role: Some(state.role),
            peer: Some(state.peer),
            connection: Some(state.connection),
            disk: Some(state.disk),
            peer_disk: Some(state.peer_disk),
            suspended: Some(state.suspended),
            suspended_no_data: Some(state.suspended_no_data),
            suspended_fencing: Some(state.suspended_fencing),
            after_dependency_paused: Some(state.after_dependency_paused),
            peer_paused: Some(state.peer_paused),
            user_paused: Some(state.user_paused),
        }
    }
}

/// A change that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The state to enter. It differs from the old one.
    pub new: State,
    /// What to tell the administrator about it.
    pub warning: Option<Warning>,
}

/// Decides about a change away from `old`. A `hard` one is a fact: it is refused only where it cannot be.
///
/// # Errors
///
/// Why the change is not to be made. [`StateCode::NothingToDo`] is among them and is no failure
/// ([`StateCode::is_success`]).
pub fn decide(
    old: State,
    change: Change,
    hard: bool,
    context: &Context,
) -> Result<Decision, StateCode> {
    let completed = sanitize(&old, change.apply_to(old), context);
    let new = completed.state;
    if new == old {
        return Err(StateCode::NothingToDo);
    }
    is_valid_transition(&old, &new)?;
    if !hard {
        may_be_wished_for(&old, &new, &context.in_force(&old))?;
    }
    Ok(Decision {
        new,
        warning: completed.warning,
    })
}

/// A new state must be valid, unless the old one was wrong in the same way, and within reach.
fn may_be_wished_for(old: &State, new: &State, context: &Context) -> Result<(), StateCode> {
    if let Err(code) = is_valid_state(new, context) {
        if is_valid_state(old, context) != Err(code) {
            return Err(code);
        }
    }
    is_valid_soft_transition(old, new, context)
}

/// Whether a change of one volume from `old` to `new` needs the agreement of the connected peer.
pub fn needs_cluster_wide(old: &State, new: &State) -> bool {
    use ConnectionState as C;
    let (before, after) = (old.connection, new.connection);
    let stays_connected = before >= C::Connected && after >= C::Connected;
    let becomes_primary = old.role != Role::Primary && new.role == Role::Primary;
    let starts_sync = |state| before != state && after == state;
    let loses_disk = old.disk != DiskState::Failed && new.disk == DiskState::Failed;

    (stays_connected
        && (becomes_primary
            || starts_sync(C::StartingSyncT)
            || starts_sync(C::StartingSyncS)
            || loses_disk))
        || (before >= C::Connected && after == C::Disconnecting)
        || (before == C::Connected && matches!(after, C::VerifyS | C::WFReportParams))
}

/// Whether taking the whole connection from `old` to `new` needs the agreement of the peer: only a graceful
/// disconnect while the first words are exchanged does, here. (Later, each volume asks for itself:
/// [`needs_cluster_wide`].)
pub fn connection_needs_agreement(old: ConnectionState, new: ConnectionState) -> bool {
    old == ConnectionState::WFReportParams && new == ConnectionState::Disconnecting
}

/// What stands before a wish of our administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// This node alone decides: go on with [`decide`].
    Local,
    /// The peer must agree first: send it the change, await its answer while [`still_waits`] says so, then [`decide`].
    AskPeer,
}

/// Decides whether the peer must agree to `change`, and whether the change is good enough to ask.
///
/// Unlike [`decide`], a change that needs agreement is refused when its new state is not valid, even if the old state
/// was wrong in the same way.
///
/// # Errors
///
/// Why the change cannot be made.
pub fn plan(old: State, change: Change, context: &Context) -> Result<Path, StateCode> {
    let new = sanitize(&old, change.apply_to(old), context).state;
    is_valid_transition(&old, &new)?;
    if !needs_cluster_wide(&old, &new) {
        return Ok(Path::Local);
    }
    let context = context.in_force(&old);
    is_valid_state(&new, &context)?;
    is_valid_soft_transition(&old, &new, &context)?;
    Ok(Path::AskPeer)
}

/// While the peer is being asked, the state may have become `old`: whether to go on waiting for the answer to
/// `change`.
///
/// # Errors
///
/// [`StateCode::ClusterWideNoNeed`] when the answer no longer matters: go on with [`decide`]. Else why the change
/// has become impossible.
pub fn still_waits(old: State, change: Change, context: &Context) -> Result<(), StateCode> {
    match plan(old, change, context) {
        Ok(Path::AskPeer) => Ok(()),
        Ok(Path::Local) => Err(StateCode::ClusterWideNoNeed),
        Err(code) => {
            let new = sanitize(&old, change.apply_to(old), context).state;
            Err(if needs_cluster_wide(&old, &new) {
                code
            } else {
                StateCode::ClusterWideNoNeed
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{tests::every_state, Fencing};
    use proptest::prelude::*;
    use ConnectionState as C;
    use DiskState as D;

    /// Two nodes with everything in order.
    fn healthy() -> State {
        State {
            peer: Role::Secondary,
            connection: C::Connected,
            disk: D::UpToDate,
            peer_disk: D::UpToDate,
            ..State::default()
        }
    }

    fn configured() -> Context {
        Context {
            network_configured: true,
            agreed_protocol: 101,
            ..Context::default()
        }
    }

    #[test]
    fn promotion() {
        let promote = Change::none().role(Role::Primary);
        let context = configured();
        assert_eq!(plan(healthy(), promote, &context), Ok(Path::AskPeer));
        assert_eq!(
            decide(healthy(), promote, false, &context).map(|decision| decision.new.role),
            Ok(Role::Primary)
        );
        let peer_is = State {
            peer: Role::Primary,
            ..healthy()
        };
        assert_eq!(
            plan(peer_is, promote, &context),
            Err(StateCode::TwoPrimaries)
        );
        assert_eq!(
            decide(peer_is, promote, false, &context),
            Err(StateCode::TwoPrimaries)
        );
        let two = Context {
            two_primaries: true,
            ..context
        };
        assert_eq!(plan(peer_is, promote, &two), Ok(Path::AskPeer));
        let other_volume = Context {
            any_peer_primary: true,
            ..context
        };
        assert_eq!(
            plan(healthy(), promote, &other_volume),
            Err(StateCode::OtherVolumePeerPrimary)
        );
        assert_eq!(
            decide(State::default(), promote, false, &context),
            Err(StateCode::NoUpToDateDisk)
        );
    }

    #[test]
    fn alone_with_fencing() {
        let alone = State {
            connection: C::WFConnection,
            disk: D::UpToDate,
            ..State::default()
        };
        let promote = Change::none().role(Role::Primary);
        let context = Context {
            fencing: Fencing::ResourceOnly,
            ..configured()
        };
        assert_eq!(
            decide(alone, promote, false, &context),
            Err(StateCode::PrimaryNoPeer)
        );
        assert!(decide(alone, promote.peer_disk(D::Outdated), false, &context).is_ok());
    }

    #[test]
    fn demotion_while_open() {
        let primary = State {
            role: Role::Primary,
            ..healthy()
        };
        let demote = Change::none().role(Role::Secondary);
        let open = Context {
            open: true,
            ..configured()
        };
        assert_eq!(
            decide(primary, demote, false, &open),
            Err(StateCode::DeviceInUse)
        );
        assert!(
            decide(primary, demote, true, &open).is_ok(),
            "a fact is not refused"
        );
    }

    #[test]
    fn losing_the_peer() {
        let primary = State {
            role: Role::Primary,
            peer_paused: true,
            ..healthy()
        };
        let lost = Change::none().connection(C::NetworkFailure);
        let stonith = Context {
            fencing: Fencing::ResourceAndStonith,
            ..configured()
        };
        let new = decide(primary, lost, true, &stonith).unwrap().new;
        assert_eq!(
            (new.peer, new.peer_disk, new.peer_paused),
            (Role::Unknown, D::Unknown, false)
        );
        assert!(new.suspended_fencing);
        assert!(
            !decide(primary, lost, true, &configured())
                .unwrap()
                .new
                .suspended_fencing
        );
    }

    #[test]
    fn the_same_fault_does_not_hold_back_another_change() {
        // Primary without data: invalid, and yet a resync may be paused.
        let degraded = State {
            role: Role::Primary,
            peer: Role::Secondary,
            connection: C::Connected,
            disk: D::Diskless,
            peer_disk: D::Inconsistent,
            ..State::default()
        };
        assert!(decide(
            degraded,
            Change::none().user_paused(true),
            false,
            &configured()
        )
        .is_ok());
    }

    #[test]
    fn nothing_to_do() {
        for state in every_state() {
            let settled = sanitize(&state, state, &Context::default()).state;
            let settled = sanitize(&settled, settled, &Context::default()).state;
            assert_eq!(
                decide(settled, Change::none(), false, &Context::default()),
                Err(StateCode::NothingToDo)
            );
        }
    }

    #[test]
    fn peers_wishes_are_mirrored() {
        let wish = Change::none()
            .role(Role::Primary)
            .disk(D::UpToDate)
            .connection(C::StartingSyncT)
            .user_paused(true);
        let ours = Change::none()
            .peer(Role::Primary)
            .peer_disk(D::UpToDate)
            .connection(C::StartingSyncS);
        assert_eq!(wish.mirrored(), Some(ours.peer_paused(true)));
        assert_eq!(
            Change::none().suspended(true).mirrored(),
            Some(Change::none())
        );
        assert_eq!(Change::none().connection(C::SyncSource).mirrored(), None);
    }

    #[test]
    fn asking_the_peer_ends_when_the_answer_no_longer_matters() {
        let promote = Change::none().role(Role::Primary);
        assert_eq!(still_waits(healthy(), promote, &configured()), Ok(()));
        let alone = State {
            connection: C::WFConnection,
            peer_disk: D::Unknown,
            ..healthy()
        };
        assert_eq!(
            still_waits(alone, promote, &configured()),
            Err(StateCode::ClusterWideNoNeed)
        );
        let peer_was_faster = State {
            peer: Role::Primary,
            ..healthy()
        };
        assert_eq!(
            still_waits(peer_was_faster, promote, &configured()),
            Err(StateCode::TwoPrimaries)
        );
    }

    fn any_change() -> impl Strategy<Value = Change> {
        (any::<u32>(), any::<u32>()).prop_map(|(mask, word)| {
            let fields = [
                0x3,
                0x3 << 2,
                0x1f << 4,
                0xf << 9,
                0xf << 13,
                1 << 17,
                1 << 18,
                1 << 19,
                1 << 20,
            ];
            let mask = fields
                .iter()
                .enumerate()
                .filter(|(bit, _)| mask & (1 << bit) != 0)
                .fold(0, |whole, (_, field)| whole | field);
            Change::from_wire(mask, word & mask).unwrap_or_default()
        })
    }

    fn any_state() -> impl Strategy<Value = State> {
        any::<u32>().prop_filter_map("not a state", |word| State::from_wire(word).ok())
    }

    proptest! {
        #[test]
        fn what_is_granted_holds(old in any_state(), change in any_change(), hard: bool, open: bool) {
            let context = Context { open, ..configured() };
            if let Ok(decision) = decide(old, change, hard, &context) {
                prop_assert_ne!(decision.new, old);
                prop_assert_eq!(decision.new, sanitize(&old, change.apply_to(old), &context).state);
                prop_assert!(is_valid_transition(&old, &decision.new).is_ok());
                if !hard && is_valid_state(&old, &context).is_ok() {
                    prop_assert!(is_valid_state(&decision.new, &context).is_ok());
                }
            }
        }

        #[test]
        fn a_fact_is_refused_less_often_than_a_wish(old in any_state(), change in any_change()) {
            if decide(old, change, false, &configured()).is_ok() {
                prop_assert!(decide(old, change, true, &configured()).is_ok());
            }
        }
    }
}
