// SPDX-License-Identifier: GPL-2.0-only

//! What administrators and their tools see: netlink commands and notifications, `/proc/drbd`, handlers, log lines.

use drbd_core::{
    netlink::command::FAMILY_VERSION,
    proc_text::{
        PROTOCOL_MAX,
        PROTOCOL_MIN,
        RELEASE, //
    }, //
};
use kernel::prelude::*;

use crate::{
    kernel_api::{
        gendisk::BlockMajor,
        genetlink::Registration,
        procfs::ProcFile, //
    },
    resource::helpers, //
};

mod connection_commands;
mod disk_commands;
mod dump;
pub(crate) mod event;
mod helper;
mod log;
mod netlink;
mod notify;
mod proc;
mod refused;
mod registry;
mod resource_commands;
mod resync_commands;
pub(crate) mod resync_order;
mod role_commands;
mod status;
mod told;

/// The number of our block devices (`DRBD_MAJOR`).
const MAJOR: u32 = 147;

/// The interfaces to user space. Dropping it takes them away, and then all that was configured through them.
pub(crate) struct Interfaces {
    proc_file: Option<ProcFile<proc::Overview>>,
}

impl Interfaces {
    /// Shows the driver to user space: commands may come before this returns.
    pub(crate) fn start(module: &'static ThisModule) -> Result<Self> {
        let major = BlockMajor::register(MAJOR, c"drbd").inspect_err(|error| {
            pr_err!(
                "unable to register block device major {MAJOR}: {}\n",
                error.to_errno()
            );
        })?;
        *registry::CONFIGURATION.lock() = Some(major);
        // From here on, its destructor cleans up.
        let mut interfaces = Self { proc_file: None };
        let family = Registration::new(module)
            .inspect_err(|_| pr_err!("unable to register generic netlink family\n"))?;
        notify::start(family);
        let proc_file =
            ProcFile::new(c"drbd").inspect_err(|_| pr_err!("unable to register proc file\n"))?;
        interfaces.proc_file = Some(proc_file);
        pr_info!(
            "initialized. Version: {RELEASE} (api:{FAMILY_VERSION}/proto:{PROTOCOL_MIN}-{PROTOCOL_MAX})\n"
        );
        pr_info!("registered as block device major {MAJOR}\n");
        Ok(interfaces)
    }
}

impl Drop for Interfaces {
    fn drop(&mut self) {
        drop(self.proc_file.take());
        notify::stop();
        resource_commands::remove_all();
        helpers::wait_for_all();
        registry::free();
        let major = registry::CONFIGURATION.lock().take();
        drop(major);
    }
}
