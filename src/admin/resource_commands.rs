// SPDX-License-Identifier: GPL-2.0-only

//! Commands that make resources and devices, and take them apart.

use drbd_core::{
    config::ResourceOptions,
    netlink::{
        messages::Announcement,
        request::Change, //
    },
    return_code::ReturnCode,
    state::{
        Change as StateChange,
        ConnectionState,
        DiskState,
        Role,
        StateCode, //
    }, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc, //
};

use super::{
    connection_commands,
    disk_commands,
    log::{
        self,
        Level, //
    },
    netlink::Target,
    notify::Teller,
    refused::{
        no_memory,
        refused,
        Outcome,
        DONE, //
    },
    registry::{
        self,
        DeviceEntry,
        Entry,
        CONFIGURATION, //
    }, //
};
use crate::{
    disk::Device,
    kernel_api::kthread::parse_cpu_mask,
    resource::{
        Refused,
        Resource, //
    }, //
};

/// `NEW_RESOURCE`
pub(super) fn new_resource(target: &Target, name: &[u8], options: ResourceOptions) -> Outcome {
    let _configuration = CONFIGURATION.lock();
    if target.found().is_some() || registry::resource(name).is_some() {
        if target.exclusive {
            return Err(refused(ReturnCode::InvalidRequest, &"resource exists"));
        }
        return DONE;
    }
    check_cpu_mask(&options)?;
    let resource = Resource::new(name, options).map_err(no_memory)?;
    let added = Entry::new(resource.clone()).and_then(|entry| {
        registry::add_resource(entry.clone())?;
        Ok(entry)
    });
    let entry = added
        .inspect_err(|_| resource.shut_down())
        .map_err(no_memory)?;
    let told = entry.told.lock();
    if let Some(mut teller) = Teller::begin() {
        teller.resource(&entry, &told, Announcement::Create, false);
    }
    DONE
}

/// A mask that cannot be read is refused here; nobody asks the threads that are bound to it later.
fn check_cpu_mask(options: &ResourceOptions) -> Result<(), Refused> {
    if options.cpu_mask.is_empty() {
        return Ok(());
    }
    let wrong = |_| refused(ReturnCode::InvalidRequest, &"cpu-mask cannot be read");
    let mask = CString::try_from_fmt(fmt!("{}", options.cpu_mask.as_str().unwrap_or("?")))
        .map_err(no_memory)?;
    match parse_cpu_mask(&mask) {
        // Processors that are not there do not matter.
        Ok(_) | Err(EOVERFLOW) => {}
        Err(error) => return Err(wrong(error)),
    }
    Ok(())
}

/// `RESOURCE_OPTS`
pub(super) fn change_options(target: &Target, change: &Change<'_, ResourceOptions>) -> Outcome {
    target.administer(|entry| {
        let old = entry.look(|engine| engine.options().clone());
        let new = change.apply_to(&old)?;
        check_cpu_mask(&new)?;
        let other_mask = new.cpu_mask != old.cpu_mask;
        entry
            .resource
            .engine_for_command(|engine| engine.set_options(new));
        if other_mask {
            entry.resource.bind_threads();
        }
        DONE
    })
}

/// `DEL_RESOURCE`
pub(super) fn delete_resource(target: &Target) -> Outcome {
    target.administer(remove_resource)?;
    shut_down(target)
}

/// Ends the threads of a resource that was removed, while nobody administers it: a helper may wait for a command of its own, which is
/// told that the resource is gone.
fn shut_down(target: &Target) -> Outcome {
    if let Some(entry) = target.found() {
        entry.resource.shut_down();
    }
    DONE
}

/// Its threads go on.
fn remove_resource(entry: &Arc<Entry>) -> Outcome {
    let connection = entry.look(|engine| engine.connection().state());
    if connection > ConnectionState::StandAlone {
        return Err(ReturnCode::NetConfigured.into());
    }
    if registry::any_volume(entry).is_some() {
        return Err(ReturnCode::ResInUse.into());
    }
    entry.resource.settle();
    {
        let told = entry.told.lock();
        if let Some(mut teller) = Teller::begin() {
            teller.resource(entry, &told, Announcement::Destroy, false);
        }
    }
    registry::remove_resource(entry);
    DONE
}

/// `NEW_MINOR`
pub(super) fn new_minor(target: &Target, minor: u32, volume: u32) -> Outcome {
    if target.found_device().is_some() {
        if target.exclusive {
            return Err(ReturnCode::MinorOrVolumeExists.into());
        }
        return DONE;
    }
    let exists = || Refused::from(ReturnCode::MinorOrVolumeExists);
    let volume = u16::try_from(volume).map_err(|_| Refused::from(ReturnCode::InvalidRequest))?;
    target.administer(|entry| {
        let configuration = CONFIGURATION.lock();
        let major = configuration.as_ref().ok_or(ReturnCode::NoMemory)?;
        if registry::device(minor).is_some()
            || entry.look(|engine| engine.find_volume(volume)).is_some()
        {
            return Err(exists());
        }
        // What happens to the device from its first moment on is told after it.
        let mut told = entry.told.lock();
        let device = entry.resource.add_device(major, minor, volume)?;
        let index = device.index;
        let added = registry::add_device(DeviceEntry {
            entry: entry.clone(),
            device: device.clone(),
        });
        added
            .inspect_err(|_| entry.resource.remove_device(&device))
            .map_err(no_memory)?;
        let state = entry
            .look(|engine| engine.device(index).map(|device| device.state()))
            .unwrap_or_default();
        told.set_volume(index, Some(state));
        if let Some(mut teller) = Teller::begin() {
            let connected = told.addresses().is_some();
            let create = Announcement::Create;
            teller.device(entry, index, &state, create, connected);
            if connected {
                teller.peer_device(entry, told.addresses(), index, &state, create, false);
            }
        }
        DONE
    })
}

/// `DEL_MINOR`
pub(super) fn delete_minor(target: &Target) -> Outcome {
    target.administer_device(remove_device)
}

fn remove_device(entry: &Arc<Entry>, device: &Arc<Device>) -> Outcome {
    let index = device.index;
    let state = entry
        .look(|engine| engine.device(index).map(|device| device.state()))
        .ok_or(ReturnCode::MinorInvalid)?;
    if state.disk != DiskState::Diskless || state.role != Role::Secondary || device.is_open() {
        return Err(ReturnCode::MinorConfigured.into());
    }
    if state.connection > ConnectionState::WFReportParams {
        // The volume leaves a connection that goes on: nothing of it is left to be done then.
        let leave = StateChange::none().connection(ConnectionState::WFReportParams);
        let _ = device.request(leave);
    }
    // Nothing new begins on a volume without a disk.
    device.wait_until_idle()?;
    entry.resource.settle();
    {
        let mut told = entry.told.lock();
        told.set_volume(index, None);
        if let Some(mut teller) = Teller::begin() {
            let destroy = Announcement::Destroy;
            if told.addresses().is_some() {
                teller.peer_device(entry, told.addresses(), index, &state, destroy, true);
            }
            teller.device(entry, index, &state, destroy, false);
        }
    }
    registry::remove_device(device);
    entry.resource.remove_device(device);
    DONE
}

/// `DOWN`
pub(super) fn down(target: &Target) -> Outcome {
    target.administer(|entry| {
        let failed = |what: &'static str| {
            move |code: i32| Refused {
                code,
                text: refused(ReturnCode::InvalidRequest, &what).text,
            }
        };
        let volumes = registry::volumes(entry).map_err(no_memory)?;
        for device in &volumes {
            match device.set_role(Role::Secondary, false) {
                Err(code) if !code.is_success() => {
                    return Err(failed("failed to demote")(code.number()));
                }
                _ => {}
            }
        }
        connection_commands::take_down(entry, false)
            .map_err(|code| failed("failed to disconnect")(code.number()))?;
        for device in &volumes {
            match device.detach(false) {
                Err(code) if !code.is_success() => {
                    return Err(failed("failed to detach")(code.number()));
                }
                _ => {}
            }
        }
        for device in &volumes {
            remove_device(entry, device)
                .map_err(|refused| failed("failed to delete volume")(refused.code))?;
        }
        remove_resource(entry)
    })?;
    shut_down(target)
}

/// Takes everything apart: the module goes. No command runs any more.
///
/// Needs no memory for that: no thread may be left when the code goes.
pub(super) fn remove_all() {
    while let Some(entry) = registry::any_resource() {
        let _administration = entry.resource.administration().lock();
        let result = remove_by_force(&entry);
        if let Err(refused) = result {
            log::resource(
                &entry.resource,
                Level::Error,
                format_args!("could not be taken apart: {}", refused.code),
            );
            registry::remove_resource(&entry);
            entry.resource.shut_down();
        }
    }
}

fn remove_by_force(entry: &Arc<Entry>) -> Outcome {
    let code = |code: StateCode| Refused::from(code);
    connection_commands::take_down(entry, true).map_err(code)?;
    while let Some(device) = registry::any_volume(entry) {
        match device.set_role(Role::Secondary, false) {
            Err(refusal) if !refusal.is_success() => return Err(refusal.into()),
            _ => {}
        }
        disk_commands::take_disk(&device, true).map_err(code)?;
        remove_device(entry, &device)?;
    }
    remove_resource(entry)?;
    entry.resource.shut_down();
    DONE
}
