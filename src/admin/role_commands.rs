// SPDX-License-Identifier: GPL-2.0-only

//! Commands about the role of a node, and about application I/O.

use drbd_core::{
    config::Text,
    resource::Ticket,
    state::{
        log::{
            write_refusal,
            write_state, //
        },
        Change,
        Role,
        StateCode, //
    }, //
};
use kernel::sync::Arc;

use super::{
    disk_commands::state,
    log::{
        self,
        Level, //
    },
    netlink::Target,
    refused::Outcome,
    registry::Entry, //
};
use crate::{
    disk::Device,
    resource::{
        Engine,
        Refused, //
    }, //
};

/// `PRIMARY`, `SECONDARY`
pub(super) fn set_role(target: &Target, role: Role, force: bool) -> Outcome {
    target.administer_device(|entry, device| {
        let result = device.set_role(role, force);
        if let Err(code) = result {
            return refuse(entry, device, code, Change::none().role(role));
        }
        entry.resource.settle();
        Ok(StateCode::Success.number())
    })
}

/// `SUSPEND_IO`
pub(super) fn suspend_io(target: &Target) -> Outcome {
    target.administer_device(|entry, device| request(entry, device, Change::none().suspended(true)))
}

/// `RESUME_IO`
pub(super) fn resume_io(target: &Target) -> Outcome {
    target.administer_device(|entry, device| {
        let change = Change::none()
            .suspended(false)
            .suspended_no_data(false)
            .suspended_fencing(false);
        request(entry, device, change)
    })
}

/// A change was not made: what the tools are told, and the log.
pub(super) fn refuse(entry: &Entry, device: &Device, code: StateCode, wanted: Change) -> Outcome {
    if code.is_success() {
        return Ok(code.number());
    }
    if code != StateCode::InTransientState {
        let state = state(entry, device.index);
        let mut line = Text::<200>::EMPTY;
        // Text takes what fits, without error.
        let _ = write_refusal(&mut line, code);
        log::device(device, Level::Error, format_args!("{line}"));
        for (name, state) in [(" state", state), ("wanted", wanted.apply_to(state))] {
            let mut line = Text::<200>::EMPTY;
            let _ = write_state(&mut line, name, &state);
            log::device(device, Level::Error, format_args!("{line}"));
        }
    }
    Err(Refused::from(code))
}

/// Asks for a change of a volume, and waits for the peer where that has to agree. Sleeps.
pub(super) fn request(entry: &Entry, device: &Arc<Device>, change: Change) -> Outcome {
    let before = state(entry, device.index);
    if change.apply_to(before) == before {
        return Ok(StateCode::NothingToDo.number());
    }
    ask(entry, device, change, |engine| {
        engine.request_change(device.index, change)
    })
}

/// Asks the engine for a change until nothing else is under way, and waits for the peer where that has to agree.
/// `change` is what the log says was wanted. Sleeps; a signal ends it.
pub(super) fn ask(
    entry: &Entry,
    device: &Device,
    change: Change,
    mut wish: impl FnMut(&mut Engine) -> Result<Option<Ticket>, StateCode>,
) -> Outcome {
    let resource = &entry.resource;
    let code = loop {
        let result = match resource.engine_for_command(&mut wish) {
            Ok(Some(ticket)) => resource.wait_for(ticket),
            Ok(None) => Ok(()),
            Err(code) => Err(code),
        };
        match result {
            Ok(()) => break StateCode::Success,
            Err(StateCode::InTransientState) => {
                let waited = resource
                    .operations
                    .wait_event_interruptible_timeout(50, || false);
                if waited.is_err() {
                    break StateCode::InTransientState;
                }
            }
            Err(code) => break code,
        }
    };
    if code == StateCode::Success {
        resource.settle();
        return Ok(code.number());
    }
    refuse(entry, device, code, change)
}
