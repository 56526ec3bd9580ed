// SPDX-License-Identifier: GPL-2.0-only

//! What the superblock remembers of the state, and what an attach makes of that memory (`MDF_*` of
//! `include/uapi/linux/drbd.h`).

use super::{ConnectionState, Context, DiskState, Disks, Fencing, Role, State};

/// The data is consistent in itself (`MDF_CONSISTENT`).
pub const CONSISTENT: u32 = 1 << 0;
/// This node was Primary, or its peer was without a disk of its own (`MDF_PRIMARY_IND`).
pub const PRIMARY_INDICATOR: u32 = 1 << 1;
/// The peer was connected (`MDF_CONNECTED_IND`).
pub const CONNECTED_INDICATOR: u32 = 1 << 2;
/// The data was current, as far as this node knew (`MDF_WAS_UP_TO_DATE`).
pub const WAS_UP_TO_DATE: u32 = 1 << 4;
/// The peer's data was known to be Outdated or worse (`MDF_PEER_OUT_DATED`).
pub const PEER_OUTDATED: u32 = 1 << 5;
/// This node crashed as Primary, and has not been UpToDate together with its peer since (`MDF_CRASHED_PRIMARY`).
pub const CRASHED_PRIMARY: u32 = 1 << 6;
/// The activity log holds nothing that must be replayed (`MDF_AL_CLEAN`).
pub const ACTIVITY_LOG_CLEAN: u32 = 1 << 7;

/// The flags that follow from the state. The others of the superblock live by rules of their own.
pub const OF_STATE: u32 = CONSISTENT
    | PRIMARY_INDICATOR
    | CONNECTED_INDICATOR
    | WAS_UP_TO_DATE
    | PEER_OUTDATED
    | CRASHED_PRIMARY
    | ACTIVITY_LOG_CLEAN;

/// The flags of the superblock once `state` was entered. `before` are those it holds. Only for a state with a disk that
/// can be used (at least Inconsistent). To be written when they differ from `before`.
pub fn after_change(before: u32, state: &State, crashed_primary: bool) -> u32 {
    let diskless_peer_writes =
        state.peer_disk < DiskState::Inconsistent && state.peer == Role::Primary;
    let table = [
        (CRASHED_PRIMARY, crashed_primary),
        (
            PRIMARY_INDICATOR,
            state.role == Role::Primary || diskless_peer_writes,
        ),
        (
            CONNECTED_INDICATOR,
            state.connection > ConnectionState::WFReportParams,
        ),
        (CONSISTENT, state.disk > DiskState::Inconsistent),
        (WAS_UP_TO_DATE, state.disk > DiskState::Outdated),
        (
            PEER_OUTDATED,
            (DiskState::Inconsistent..=DiskState::Outdated).contains(&state.peer_disk),
        ),
    ];
    table.iter().fold(
        before & !OF_STATE,
        |flags, (flag, set)| if *set { flags | flag } else { flags },
    )
}

/// The disk states that an attach starts from, by the flags of the superblock. `peer` is what is known of the peer's
/// disk. While connected they are kept for the end of the negotiation ([`Context::negotiating_fallback`]); else they are
/// entered at once.
pub fn at_attach(flags: u32, peer: DiskState, context: &Context) -> Disks {
    let has = |flag| flags & flag != 0;
    let peer = if has(PEER_OUTDATED) {
        DiskState::Outdated
    } else {
        peer
    };
    let nobody_else_is_newer = peer == DiskState::Outdated || context.fencing == Fencing::DontCare;
    let own = if !has(CONSISTENT) {
        DiskState::Inconsistent
    } else if !has(WAS_UP_TO_DATE) {
        DiskState::Outdated
    } else if nobody_else_is_newer {
        DiskState::UpToDate
    } else {
        DiskState::Consistent
    };
    Disks { own, peer }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::every_state;

    #[test]
    fn flags_outside_of_the_state_are_kept() {
        for state in every_state() {
            assert_eq!(after_change(u32::MAX, &state, false) & !OF_STATE, !OF_STATE);
            assert_eq!(after_change(0, &state, true) & !OF_STATE, 0);
        }
    }

    #[test]
    fn a_disk_comes_back_as_it_went_or_worse() {
        for fencing in Fencing::ALL {
            let context = Context {
                fencing: *fencing,
                ..Context::default()
            };
            for state in every_state().iter().filter(|state| {
                state.disk >= DiskState::Inconsistent && state.disk != DiskState::Unknown
            }) {
                let flags = after_change(0, state, false);
                let disks = at_attach(flags, DiskState::Unknown, &context);
                if state.disk == DiskState::Consistent && disks.own == DiskState::UpToDate {
                    // Without fencing, or with the peer outdated, nobody can have newer data.
                    assert!(*fencing == Fencing::DontCare || disks.peer == DiskState::Outdated);
                } else {
                    assert!(disks.own <= state.disk);
                }
            }
        }
    }
}
