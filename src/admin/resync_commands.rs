// SPDX-License-Identifier: GPL-2.0-only

//! Commands about resync and verify.

use drbd_core::{
    config::StartVerifyParms,
    netlink::request::Change as Range,
    return_code::ReturnCode,
    state::{
        Change,
        ConnectionState,
        StateCode, //
    }, //
};

use super::{
    disk_commands::{
        check_disk,
        state, //
    },
    netlink::Target,
    refused::{
        Outcome,
        DONE, //
    },
    role_commands::{
        ask,
        request, //
    }, //
};

/// `INVALIDATE`
pub(super) fn invalidate(target: &Target) -> Outcome {
    target.administer_device(|entry, device| {
        check_disk(entry, device.index)?;
        let change = Change::none().connection(ConnectionState::StartingSyncT);
        ask(entry, device, change, |engine| {
            engine.invalidate(device.index)
        })
    })
}

/// `INVAL_PEER`
pub(super) fn invalidate_peer(target: &Target) -> Outcome {
    target.administer_device(|entry, device| {
        check_disk(entry, device.index)?;
        let change = Change::none().connection(ConnectionState::StartingSyncS);
        ask(entry, device, change, |engine| {
            engine.invalidate_remote(device.index)
        })
    })
}

/// `PAUSE_SYNC`
pub(super) fn pause(target: &Target) -> Outcome {
    target.administer_device(|entry, device| {
        if state(entry, device.index).user_paused {
            return Err(ReturnCode::PauseIsSet.into());
        }
        request(entry, device, Change::none().user_paused(true))?;
        DONE
    })
}

/// `RESUME_SYNC`
pub(super) fn resume(target: &Target) -> Outcome {
    target.administer_device(|entry, device| {
        let state = state(entry, device.index);
        if state.user_paused {
            request(entry, device, Change::none().user_paused(false))?;
            return DONE;
        }
        let is_paused = matches!(
            state.connection,
            ConnectionState::PausedSyncS | ConnectionState::PausedSyncT
        );
        Err(if is_paused && state.after_dependency_paused {
            ReturnCode::PicAfterDep.into()
        } else if is_paused && state.peer_paused {
            ReturnCode::PicPeerDep.into()
        } else {
            ReturnCode::PauseIsClear.into()
        })
    })
}

/// `START_OV`
pub(super) fn start_verify(target: &Target, range: &Range<'_, StartVerifyParms>) -> Outcome {
    target.administer_device(|entry, device| {
        let position = entry.look(|engine| {
            let verify = engine.device(device.index).map(|device| device.verify());
            verify.map_or(0, |verify| verify.start)
        });
        let range = range.apply_to(&StartVerifyParms {
            start_sector: position,
            stop_sector: u64::MAX,
        })?;
        let change = Change::none().connection(ConnectionState::VerifyS);
        let before = state(entry, device.index);
        if change.apply_to(before) == before {
            return Ok(StateCode::NothingToDo.number());
        }
        ask(entry, device, change, |engine| {
            engine.start_verify(device.index, Some(range.start_sector), range.stop_sector)
        })
    })
}
