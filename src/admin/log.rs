// SPDX-License-Identifier: GPL-2.0-only

//! Lines for the kernel log that say what they are about, as 8.4 says it: `drbd r0: ...`, `drbd r0/0 drbd0: ...`.

use core::fmt;

use drbd_core::{
    config::Text,
    netlink::context::RESOURCE_NAME_MAX,
    resource::log, //
};

pub(super) use crate::kernel_api::printk::Level;
use crate::{
    disk::Device,
    kernel_api::printk,
    resource::Resource, //
};

/// A line about a resource, or its connection.
pub(super) fn resource(resource: &Resource, level: Level, message: fmt::Arguments<'_>) {
    let name = Text::<RESOURCE_NAME_MAX>::truncated(resource.name());
    printk::print(level, format_args!("{name}: {message}"));
}

/// A line about a device.
pub(super) fn device(device: &Device, level: Level, message: fmt::Arguments<'_>) {
    let name = Text::<RESOURCE_NAME_MAX>::truncated(device.resource.name());
    let (volume, minor) = (device.volume, device.minor);
    printk::print(
        level,
        format_args!("{name}/{volume} drbd{minor}: {message}"),
    );
}

/// A line about a device, or else about its resource.
pub(super) fn either(
    about: Option<&Device>,
    of: &Resource,
    level: Level,
    message: fmt::Arguments<'_>,
) {
    match about {
        Some(about) => device(about, level, message),
        None => resource(of, level, message),
    }
}

/// The level of a message of the engine.
pub(super) fn level(message: &log::LogMessage) -> Level {
    match message.level() {
        log::Level::Info => Level::Info,
        log::Level::Warning => Level::Warning,
        log::Level::Error => Level::Error,
        log::Level::Alert => Level::Alert,
    }
}
