// SPDX-License-Identifier: GPL-2.0-only

//! Commands about the backing disk of a device.

use drbd_core::{
    config::{
        check,
        DiskConf,
        ResizeParms, //
    },
    netlink::request::Change,
    resource::{
        device::DeviceIndex,
        NewUuidError, //
    },
    return_code::ReturnCode,
    state::{
        Change as StateChange,
        ConnectionState,
        DiskState,
        Role,
        State,
        StateCode, //
    }, //
};

use super::{
    log::{
        self,
        Level, //
    },
    netlink::Target,
    refused::{
        check_disk_options,
        not_supported,
        Outcome,
        DONE, //
    },
    registry::{
        self,
        Entry,
        CONFIGURATION, //
    },
    resync_order,
    role_commands::{
        refuse,
        request, //
    }, //
};
use crate::{
    disk::Device,
    resource::Refused, //
};

/// The state of a volume.
pub(super) fn state(entry: &Entry, index: DeviceIndex) -> State {
    let state = entry.look(|engine| engine.device(index).map(|device| device.state()));
    state.unwrap_or_default()
}

/// Whether the device has data that a command may work on (`ERR_NO_DISK`).
pub(super) fn check_disk(entry: &Entry, index: DeviceIndex) -> Result<(), Refused> {
    if state(entry, index).disk < DiskState::Inconsistent {
        return Err(ReturnCode::NoDisk.into());
    }
    Ok(())
}

/// Whether the device can get a disk; asked before the options of one are looked at.
pub(super) fn check_no_disk(target: &Target) -> Result<(), Refused> {
    target.administer_device(|entry, device| {
        if state(entry, device.index).disk > DiskState::Diskless {
            return Err(ReturnCode::DiskConfigured.into());
        }
        Ok(())
    })
}

/// `ATTACH`
pub(super) fn attach(target: &Target, conf: DiskConf) -> Outcome {
    target.administer_device(|entry, device| {
        if state(entry, device.index).disk > DiskState::Diskless {
            return Err(ReturnCode::DiskConfigured.into());
        }
        entry.look(|engine| check::attach(&conf, engine.connection().conf()))?;
        let _configuration = lock_if_dependent(conf.resync_after);
        check_resync_after(device.minor, conf.resync_after)?;
        check_disk_options(&conf)?;
        device.attach(conf)?;
        resync_order::update();
        entry.resource.settle();
        DONE
    })
}

/// Two administrators who make two resources wait for each other come one after the other.
fn lock_if_dependent(after: i32) -> Option<impl Sized> {
    (after != -1).then(|| CONFIGURATION.lock())
}

/// Whether a device may wait for the resync of another one.
fn check_resync_after(minor: u32, after: i32) -> Result<(), ReturnCode> {
    check::resync_after(minor, after, |other| {
        let found = registry::device(other)?;
        let after = found.entry.look(|engine| {
            let disk = engine.device(found.device.index)?.disk()?;
            Some(disk.conf.resync_after)
        });
        u32::try_from(after?).ok()
    })
}

/// `DETACH`
pub(super) fn detach(target: &Target, force: bool) -> Outcome {
    target.administer_device(|entry, device| match take_disk(device, force) {
        Ok(()) => Ok(StateCode::Success.number()),
        Err(code) => {
            let wanted = StateChange::none().disk(DiskState::Failed);
            refuse(entry, device, code, wanted)
        }
    })
}

/// Takes the disk from the device, if it has one. Sleeps until it is closed.
pub(super) fn take_disk(device: &Device, force: bool) -> Result<(), StateCode> {
    match device.detach(force) {
        Err(code) if !code.is_success() => return Err(code),
        _ => {}
    }
    device.resource.settle();
    Ok(())
}

/// `CHG_DISK_OPTS`
pub(super) fn change_options(target: &Target, change: &Change<'_, DiskConf>) -> Outcome {
    target.administer_device(|entry, device| {
        let index = device.index;
        check_disk(entry, index)?;
        let (old, blocks) = entry
            .look(|engine| {
                let disk = engine.device(index)?.disk()?;
                Some((disk.conf.clone(), disk.layout.stripes().blocks()))
            })
            .ok_or(ReturnCode::NoDisk)?;
        let mut new = change.apply_to(&old)?;
        let _configuration = lock_if_dependent(new.resync_after);
        check_resync_after(device.minor, new.resync_after)?;
        check_disk_options(&new)?;
        device.fit_options(&mut new, blocks);
        if new.al_extents != old.al_extents {
            // The table of the activity log is as large as it was when the disk was attached.
            let wanted = new.al_extents;
            log::device(
                device,
                Level::Warning,
                format_args!("al-extents becomes {wanted} with the next attach"),
            );
        }
        device.set_md_flushes(new.md_flushes);
        device
            .resource
            .engine_for_command(|engine| engine.set_disk_options(index, new));
        resync_order::update();
        DONE
    })
}

/// `RESIZE`: the conditions are those of 8.4, the resize itself is not there yet.
pub(super) fn resize(target: &Target, change: &Change<'_, ResizeParms>) -> Outcome {
    target.administer_device(|entry, device| {
        let index = device.index;
        check_disk(entry, index)?;
        let stripes = entry.look(|engine| {
            let disk = engine.device(index)?.disk()?;
            Some(disk.layout.stripes())
        });
        let stripes = stripes.ok_or(ReturnCode::NoDisk)?;
        let (count, size) = (stripes.count(), stripes.blocks_each().saturating_mul(4));
        let present = ResizeParms {
            al_stripes: count,
            al_stripe_size: size,
            ..ResizeParms::default()
        };
        let wanted = change.apply_to(&present)?;
        let state = state(entry, index);
        if state.connection > ConnectionState::Connected {
            return Err(ReturnCode::ResizeResync.into());
        }
        if state.role == Role::Secondary && state.peer == Role::Secondary {
            return Err(ReturnCode::NoPrimary.into());
        }
        let connected = state.connection == ConnectionState::Connected;
        check::al_layout(&wanted, count, size, connected)?;
        Err(not_supported(ReturnCode::InvalidRequest, "resize"))
    })
}

/// `OUTDATE`
pub(super) fn outdate(target: &Target) -> Outcome {
    target.administer_device(|entry, device| {
        let change = StateChange::none().disk(DiskState::Outdated);
        request(entry, device, change)
    })
}

/// `NEW_C_UUID`
pub(super) fn new_current_uuid(target: &Target, clear_bitmap: bool) -> Outcome {
    target.administer_device(|entry, device| {
        let index = device.index;
        check_disk(entry, index)?;
        let result = device.resource.engine_for_command(|engine| {
            engine.new_current_uuid_by_administrator(index, clear_bitmap)
        });
        match result {
            Ok(()) => {
                entry.resource.settle();
                DONE
            }
            Err(NewUuidError::NoDisk) => Err(ReturnCode::NoDisk.into()),
            Err(NewUuidError::Connected) => Err(ReturnCode::Connected.into()),
        }
    })
}
