// SPDX-License-Identifier: GPL-2.0-only

//! Calls the program of user space that runs handlers (`usermode_helper`, usually drbdadm).

use drbd_core::{
    netlink::{
        messages::{
            Announcement,
            Subject, //
        },
        reply::StatusReason, //
    },
    resource::device::DeviceIndex, //
};
use kernel::{
    prelude::*,
    str::CString, //
};

use super::{
    event::tell_event,
    log::{
        self,
        Level, //
    },
    notify::Teller,
    registry::{
        self,
        Entry, //
    },
    told,
};
use crate::{
    disk::Device,
    kernel_api::{
        module_params,
        usermode_helper, //
    },
    resource::Resource, //
};

/// Runs the handler `name` for a device, or for the connection of the resource, and waits for its end. Answers its exit
/// code; 0 where it could not be run.
///
/// Sleeps as long as the program runs.
pub(crate) fn call_helper(resource: &Resource, device: Option<&Device>, name: &str) -> u8 {
    let entry = registry::entry_of(resource);
    let call = Call {
        resource,
        entry: entry.as_deref(),
        device,
        name,
    };
    let program = module_params::usermode_helper();
    let path = program.path();
    let shown = path.to_str().unwrap_or("?");
    let Ok(target) = call.target() else {
        return 0;
    };
    let what = target.to_str().unwrap_or("?");
    call.log(
        Level::Info,
        format_args!("helper command: {shown} {name} {what}"),
    );
    call.tell(Announcement::Call, 0);
    let status = call.run(path, &target);
    let raw = match &status {
        Ok(status) => status.raw(),
        Err(error) => error.to_errno(),
    };
    let level = if raw == 0 {
        Level::Info
    } else {
        Level::Warning
    };
    let code = (raw >> 8) & 0xff;
    call.log(
        level,
        format_args!("helper command: {shown} {name} {what} exit code {code} (0x{raw:x})"),
    );
    call.tell(Announcement::Response, raw);
    status.map_or(0, usermode_helper::ExitStatus::code)
}

/// A call of a handler.
struct Call<'a> {
    resource: &'a Resource,
    entry: Option<&'a Entry>,
    device: Option<&'a Device>,
    name: &'a str,
}

impl Call<'_> {
    /// What the handler is told it is about.
    fn target(&self) -> Result<CString> {
        match self.device {
            Some(device) => CString::try_from_fmt(fmt!("minor-{}", device.minor)),
            None => {
                let name = core::str::from_utf8(self.resource.name()).unwrap_or("?");
                CString::try_from_fmt(fmt!("{name}"))
            }
        }
    }

    fn run(&self, program: &CStr, target: &CStr) -> Result<usermode_helper::ExitStatus> {
        let name = CString::try_from_fmt(fmt!("{}", self.name))?;
        let arguments = [&*name, target];
        let Some((_, peer)) = self.resource.addresses() else {
            return usermode_helper::run(program, &arguments, &[]);
        };
        let family = CString::try_from_fmt(fmt!("DRBD_PEER_AF={}", peer.family().name()))?;
        let address = CString::try_from_fmt(fmt!("DRBD_PEER_ADDRESS={}", peer.host()))?;
        usermode_helper::run(program, &arguments, &[&*family, &*address])
    }

    fn log(&self, level: Level, message: core::fmt::Arguments<'_>) {
        log::either(self.device, self.resource, level, message);
    }

    /// Tells those who listen of the call, or of its end.
    fn tell(&self, announcement: Announcement, status: i32) {
        let Some(entry) = self.entry else {
            return;
        };
        let name = self.name;
        if let Some(device) = self.device {
            let reason = if announcement == Announcement::Call {
                StatusReason::HelperCall { name }
            } else {
                StatusReason::HelperEnd { name, status }
            };
            let index: DeviceIndex = device.index;
            tell_event(entry, index, reason);
        }
        let addresses = entry.addresses();
        if let Some(mut teller) = Teller::begin() {
            let subject = Subject::Helper {
                minor: self.device.map(|device| device.minor),
                context: told::context(
                    entry.name(),
                    self.device.map(|device| device.volume),
                    addresses.as_ref(),
                ),
                name,
                status,
            };
            teller.notify(announcement, false, subject);
        }
    }
}
