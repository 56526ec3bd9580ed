// SPDX-License-Identifier: GPL-2.0-only

//! A volume: the block device `/dev/drbdN` above, the backing disk below.

pub(crate) mod attach;
pub(crate) mod backing;
pub(crate) mod io;
mod slot;
pub(crate) mod submit;

use drbd_core::{
    overlap::Entry,
    resource::{
        device::{
            Device as EngineDevice,
            DeviceIndex,
            DeviceTables, //
        },
        digest::Digest,
        Next,
        RoleChange, //
    },
    return_code::ReturnCode,
    slab::{
        Id,
        Slot, //
    },
    state::{
        Change,
        DiskState,
        Role,
        StateCode, //
    }, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

use crate::{
    kernel_api::{
        gendisk::{
            BlockMajor,
            GenDisk, //
        },
        queue_limits::QueueLimits, //
    },
    resource::{
        tokens::Shelf,
        Resource,
        PEER_REQUESTS,
        REQUESTS, //
    }, //
};

/// A volume.
#[pin_data]
pub(crate) struct Device {
    /// The minor number.
    pub(crate) minor: u32,
    /// The volume number.
    pub(crate) volume: u16,
    /// Its place in the engine's table.
    pub(crate) index: DeviceIndex,
    /// Its resource.
    pub(crate) resource: Arc<Resource>,
    #[pin]
    disk: Mutex<Option<GenDisk<Device>>>,
}

impl Resource {
    /// Adds a volume: `/dev/drbdMINOR` appears. Sleeps.
    pub(crate) fn add_device(
        self: &Arc<Self>,
        major: &BlockMajor,
        minor: u32,
        volume: u16,
    ) -> Result<Arc<Device>, ReturnCode> {
        self.try_add_device(major, minor, volume).map_err(|error| {
            if error == EBUSY || error == EEXIST {
                ReturnCode::MinorOrVolumeExists
            } else {
                ReturnCode::NoMemory
            }
        })
    }

    fn try_add_device(
        self: &Arc<Self>,
        major: &BlockMajor,
        minor: u32,
        volume: u16,
    ) -> Result<Arc<Device>> {
        // Nobody else adds or removes a volume meanwhile: one administers at a time.
        let index = self.peek(|guarded| guarded.engine.free_place());
        let index = index.ok_or(ENOSPC)?;
        let device = self.make_disk(major, minor, volume, index)?;
        // The engine last: a peer that has this volume already answers at once, and what follows from that needs all of the above.
        self.set_device(index, Some(device.clone()));
        self.add_to_engine(&device).inspect_err(|_| {
            let disk = device.disk.lock().take();
            drop(disk);
            self.set_device(index, None);
        })?;
        Ok(device)
    }

    fn add_to_engine(self: &Arc<Self>, device: &Device) -> Result {
        let shelf = Shelf::new()?;
        let place = self.engine_device(device.volume, device.minor)?;
        let index = self.engine_in_irq(|guarded| {
            if let Some(slot) = guarded.shelves.get_mut(usize::from(device.index.0)) {
                *slot = Some(shelf);
            }
            guarded.engine.add_device(place)
        });
        index.map(|_| ()).ok_or(ENOSPC)
    }

    /// What the engine has for a volume, in memory of the lender.
    fn engine_device(&self, volume: u16, minor: u32) -> Result<&'static mut EngineDevice<'static>> {
        let lender = &self.lender;
        let mut place = VVec::with_capacity(1, GFP_KERNEL)?;
        let requests = lender.try_lend_with(REQUESTS, |_| Slot::empty())?;
        let waiting = lender.try_lend_with(REQUESTS, |_| Id::FILL)?;
        let peer_requests = lender.try_lend_with(PEER_REQUESTS, |_| Slot::empty())?;
        let peer_waiting = lender.try_lend_with(PEER_REQUESTS, |_| Id::FILL)?;
        let overlap = lender.try_lend_with(REQUESTS + PEER_REQUESTS, |_| Entry::EMPTY)?;
        let digests = lender.try_lend_with(PEER_REQUESTS, |_| Digest::NONE)?;
        let tables = DeviceTables {
            requests: requests.keep(),
            waiting: waiting.keep(),
            peer_requests: peer_requests.keep(),
            peer_waiting: peer_waiting.keep(),
            overlap: overlap.keep(),
            digests: digests.keep(),
        };
        // There is room for it.
        let _ = place.push_within_capacity(EngineDevice::new(volume, minor, tables));
        match lender.lend_or_return(place) {
            Ok([device]) => Ok(device),
            Ok(_) => Err(ENOMEM),
            Err(mut place) => {
                for device in place.iter_mut() {
                    self.reclaim_tables(device.take_tables());
                }
                Err(ENOMEM)
            }
        }
    }

    /// `/dev/drbdMINOR`, for a volume that the engine is about to have.
    fn make_disk(
        self: &Arc<Self>,
        major: &BlockMajor,
        minor: u32,
        volume: u16,
        index: DeviceIndex,
    ) -> Result<Arc<Device>> {
        let device = Arc::pin_init(
            pin_init!(Device {
                minor,
                volume,
                index,
                resource: self.clone(),
                disk <- new_mutex!(None, "Device::disk"),
            }),
            GFP_KERNEL,
        )?;
        let mut limits = QueueLimits::stacking();
        limits.max_hw_sectors(2048).write_cache(true, true);
        // From the beginning: the page cache of the device asks when the device is made, and never again.
        limits.stable_writes(true);
        let disk = GenDisk::new(
            major,
            minor,
            fmt!("drbd{minor}"),
            &mut limits,
            device.clone(),
        )?;
        disk.set_read_only(true);
        *device.disk.lock() = Some(disk);
        Ok(device)
    }

    /// Takes a volume away: it is Diskless, Secondary, and nobody has it open. Sleeps.
    pub(crate) fn remove_device(self: &Arc<Self>, device: &Arc<Device>) {
        let disk = device.disk.lock().take();
        drop(disk);
        self.set_device(device.index, None);
        self.forget_device(device.index);
    }

    fn forget_device(self: &Arc<Self>, index: DeviceIndex) {
        let (device, shelf) = self.engine_in_irq(|guarded| {
            let device = guarded.engine.remove_device(index);
            let shelf = guarded
                .shelves
                .get_mut(usize::from(index.0))
                .and_then(|shelf| shelf.take());
            (device, shelf)
        });
        drop(shelf);
        if let Some(device) = device {
            self.reclaim_tables(device.take_tables());
            self.lender.reclaim(core::slice::from_mut(device));
        }
    }

    fn reclaim_tables(&self, tables: DeviceTables<'static>) {
        self.lender.reclaim(tables.requests);
        self.lender.reclaim(tables.waiting);
        self.lender.reclaim(tables.peer_requests);
        self.lender.reclaim(tables.peer_waiting);
        self.lender.reclaim(tables.overlap);
        self.lender.reclaim(tables.digests);
    }
}

impl Device {
    fn with_disk(&self, f: impl FnOnce(&GenDisk<Device>)) {
        if let Some(disk) = self.disk.lock().as_ref() {
            f(disk);
        }
    }

    /// Whether somebody has the device open.
    pub(crate) fn is_open(&self) -> bool {
        self.disk
            .lock()
            .as_ref()
            .is_some_and(|disk| disk.openers() > 0)
    }

    /// Event thread.
    pub(crate) fn set_capacity(&self, sectors: u64) {
        self.with_disk(|disk| {
            disk.set_capacity(sectors);
        });
    }

    /// Event thread.
    pub(crate) fn set_read_only(&self, read_only: bool) {
        self.with_disk(|disk| disk.set_read_only(read_only));
    }

    /// Works the limits of the queue out anew, from what both disks can do. Event thread.
    pub(crate) fn update_limits(&self) {
        let index = self.index;
        let backing = self.resource.peek(|guarded| guarded.backing(index));
        let peer = self
            .resource
            .peek(|guarded| guarded.engine.peer_limits(index));
        self.with_disk(|disk| {
            let result = disk.update_limits(|limits| {
                limits.reset();
                let discards = peer.discards
                    && backing
                        .as_ref()
                        .is_none_or(|backing| backing.data.discard_units().is_some());
                limits.discard(if discards { 8192 } else { 0 }, 512);
                if let Some(backing) = backing.as_ref() {
                    backing.data.with_name(|name| {
                        limits.stack(&backing.data, name);
                    });
                }
                if !discards {
                    limits.discard(0, 0);
                }
                let most = peer.max_bio_size.clamp(4096, 1 << 20) / 512;
                limits.max_hw_sectors(most);
                // Also where the disk below writes the zeros itself.
                limits.write_zeroes(if peer.write_zeroes { 8192 } else { 0 });
                limits.write_cache(true, true);
                // The disk and the peer each read the page of a write. If it changed in between, they would differ.
                limits.stable_writes(true);
            });
            if result.is_err() {
                pr_warn!(
                    "block drbd{}: the limits of the queue could not be updated\n",
                    self.minor
                );
            }
        });
    }

    /// Changes the role. Sleeps.
    pub(crate) fn set_role(&self, role: Role, force: bool) -> Result<(), StateCode> {
        let index = self.index;
        let mut way = RoleChange::new(role, force);
        if role == Role::Primary {
            self.resource
                .engine_for_command(|engine| engine.request_ping());
        } else {
            self.wait_for_writes()?;
        }
        let mut change = way.first();
        loop {
            let result = self.request(change);
            let (state, ping) = self.resource.peek(|guarded| {
                let state = guarded.engine.device(index).map(|device| device.state());
                let ping = guarded
                    .engine
                    .connection()
                    .conf()
                    .map_or(5, |conf| conf.ping_timeo);
                (state.unwrap_or_default(), u64::from(ping) * 100 + 100)
            });
            let nothing = result == Err(StateCode::NothingToDo);
            match way.next(result, &state, ping) {
                Next::Done if nothing => return Err(StateCode::NothingToDo),
                Next::Done => break,
                Next::Try(next) => change = next,
                Next::Wait(milliseconds, next) => {
                    change = next;
                    let milliseconds = u32::try_from(milliseconds).unwrap_or(1000);
                    let _ = self
                        .resource
                        .operations
                        .wait_event_timeout(milliseconds, || false);
                }
                Next::Fail(code) => return Err(code),
            }
        }
        self.resource
            .engine_for_command(|engine| engine.role_changed(index, role, way.is_forced()));
        self.resource.settle();
        Ok(())
    }

    /// Waits until a demotion loses nothing. Sleeps; a signal ends it.
    fn wait_for_writes(&self) -> Result<(), StateCode> {
        let index = self.index;
        let resource = &self.resource;
        while resource.engine_for_command(|engine| engine.demotion_waits(index)) {
            // Nobody wakes this for each write that is confirmed: a demotion is rare.
            let waited = resource
                .operations
                .wait_event_interruptible_timeout(10, || false);
            waited.map_err(|_| StateCode::InTransientState)?;
        }
        Ok(())
    }

    /// Waits until nothing of the volume is under way, such as what the peer is sending: five seconds at most. Sleeps; a signal ends
    /// it.
    pub(crate) fn wait_until_idle(&self) -> Result<(), StateCode> {
        let resource = &self.resource;
        for _ in 0..500 {
            if !resource.peek(|guarded| guarded.engine.is_busy(self.index)) {
                return Ok(());
            }
            // Nobody wakes this for each of them: a volume is removed rarely.
            let waited = resource
                .operations
                .wait_event_interruptible_timeout(10, || false);
            waited.map_err(|_| StateCode::InTransientState)?;
        }
        Err(StateCode::InTransientState)
    }

    /// Asks for a change, and waits for the peer where that must agree. Sleeps.
    pub(crate) fn request(&self, change: Change) -> Result<(), StateCode> {
        let index = self.index;
        match self
            .resource
            .engine_for_command(|engine| engine.request_change(index, change))?
        {
            None => Ok(()),
            Some(ticket) => self.resource.wait_for(ticket),
        }
    }

    /// Lets the disk go. Sleeps until it is closed.
    pub(crate) fn detach(&self, force: bool) -> Result<(), StateCode> {
        if force {
            let index = self.index;
            self.resource
                .engine_for_command(|engine| engine.detach_forced(index));
            return Ok(());
        }
        match self.request(Change::none().disk(DiskState::Failed)) {
            Err(StateCode::IsDiskless) => return Err(StateCode::NothingToDo),
            result => result?,
        }
        let index = self.index;
        self.resource.operations.wait_event(|| {
            self.resource.peek(|guarded| {
                guarded
                    .engine
                    .device(index)
                    .is_none_or(|device| device.disk().is_none())
            })
        });
        Ok(())
    }
}
