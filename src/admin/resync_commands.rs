// SPDX-License-Identifier: GPL-2.0-only

//! Commands about resync and verify.

use drbd_core::{
    return_code::ReturnCode,
    state::{
        Change,
        ConnectionState,
        DiskState, //
    }, //
};

use super::{
    disk_commands::{
        check_disk,
        state, //
    },
    netlink::Target,
    refused::{
        not_supported,
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

/// `START_OV`: the conditions are those of 8.4, verify itself is not there yet.
pub(super) fn start_verify(target: &Target) -> Outcome {
    target.administer_device(|entry, device| {
        let algorithm = entry.look(|engine| {
            let conf = engine.connection().conf();
            conf.is_some_and(|conf| !conf.verify_alg.is_empty())
        });
        let state = state(entry, device.index);
        let ready = state.connection == ConnectionState::Connected
            && state.disk >= DiskState::Inconsistent
            && state.peer_disk >= DiskState::Inconsistent;
        if algorithm && ready {
            return Err(not_supported(ReturnCode::InvalidRequest, "online verify"));
        }
        let verify = Change::none().connection(ConnectionState::VerifyS);
        request(entry, device, verify)
    })
}
