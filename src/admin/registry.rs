// SPDX-License-Identifier: GPL-2.0-only

//! What is configured: resources by name, devices by minor.
//!
//! Locks, in the order in which they are taken: `Resource::administration` of the resource that a command is about,
//! [`CONFIGURATION`], the mutex of [`Told`], the registry itself. The registry is held for short looks only.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

use super::told::{
    Addresses,
    Told, //
};
use crate::{
    disk::Device,
    kernel_api::{
        gendisk::BlockMajor,
        global::global_mutex, //
    },
    resource::{
        Engine,
        Resource, //
    },
};

/// A resource that is configured, with what user space knows of it.
#[pin_data]
pub(super) struct Entry {
    /// The resource.
    pub(super) resource: Arc<Resource>,
    /// What was told, held while it is told.
    #[pin]
    pub(super) told: Mutex<Told>,
}

impl Entry {
    /// An entry for a resource that was just made.
    pub(super) fn new(resource: Arc<Resource>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                resource,
                told <- new_mutex!(Told::new(), "Entry::told"),
            }),
            GFP_KERNEL,
        )
    }

    /// The name of the resource.
    pub(super) fn name(&self) -> &[u8] {
        self.resource.name()
    }

    /// Looks at the engine, under its lock: no sleeping, no allocation.
    pub(super) fn look<R>(&self, f: impl FnOnce(&Engine) -> R) -> R {
        self.resource.peek(|guarded| f(&guarded.engine))
    }

    /// The ends of the connection, while user space knows that there is one. Not while something is being told.
    pub(super) fn addresses(&self) -> Option<Addresses> {
        self.told.lock().addresses().copied()
    }
}

/// A device with its resource.
pub(super) struct DeviceEntry {
    pub(super) entry: Arc<Entry>,
    pub(super) device: Arc<Device>,
}

impl Clone for DeviceEntry {
    fn clone(&self) -> Self {
        Self {
            entry: self.entry.clone(),
            device: self.device.clone(),
        }
    }
}

/// All that is configured.
pub(super) struct Registry {
    /// In the order in which they were made.
    resources: KVec<Arc<Entry>>,
    /// In the order of their minors.
    devices: KVec<DeviceEntry>,
}

global_mutex! {
    static REGISTRY, RegistryBackend: Registry = Registry {
        resources: KVec::new(),
        devices: KVec::new(),
    };
}

global_mutex! {
    /// Held by whoever makes names, minors or addresses, so that none comes twice. From load to unload, it holds what makes
    /// devices possible.
    pub(super) static CONFIGURATION, ConfigurationBackend: Option<BlockMajor> = None;
}

/// The resource with this name.
pub(super) fn resource(name: &[u8]) -> Option<Arc<Entry>> {
    find_resource(|entry| entry.name() == name)
}

/// The entry of a resource, while it is configured.
pub(super) fn entry_of(resource: &Resource) -> Option<Arc<Entry>> {
    find_resource(|entry| core::ptr::eq::<Resource>(&*entry.resource, resource))
}

/// The resource whose connection has these addresses.
pub(super) fn connection(my_address: &[u8], peer_address: &[u8]) -> Option<Arc<Entry>> {
    let entries = resources().ok()?;
    let found = entries.iter().find(|entry| {
        let told = entry.told.lock();
        told.addresses().is_some_and(|(mine, theirs)| {
            mine.bytes() == my_address && theirs.bytes() == peer_address
        })
    });
    found.cloned()
}

fn find_resource(matches: impl Fn(&Entry) -> bool) -> Option<Arc<Entry>> {
    let registry = REGISTRY.lock();
    registry
        .resources
        .iter()
        .find(|entry| matches(entry))
        .cloned()
}

/// The device with this minor.
pub(super) fn device(minor: u32) -> Option<DeviceEntry> {
    let registry = REGISTRY.lock();
    registry
        .devices
        .iter()
        .find(|found| found.device.minor == minor)
        .cloned()
}

/// Whether the resource is still configured.
pub(super) fn has_resource(entry: &Arc<Entry>) -> bool {
    entry_of(&entry.resource).is_some()
}

/// Whether the device is still configured.
pub(super) fn has_device(device: &Arc<Device>) -> bool {
    self::device(device.minor).is_some_and(|found| Arc::ptr_eq(&found.device, device))
}

/// All resources, in the order in which they were made.
pub(super) fn resources() -> Result<KVec<Arc<Entry>>> {
    let registry = REGISTRY.lock();
    let mut entries = KVec::with_capacity(registry.resources.len(), GFP_KERNEL)?;
    entries.extend_from_slice(&registry.resources, GFP_KERNEL)?;
    Ok(entries)
}

/// All devices, in the order of their minors.
pub(super) fn devices() -> Result<KVec<DeviceEntry>> {
    let registry = REGISTRY.lock();
    let mut devices = KVec::with_capacity(registry.devices.len(), GFP_KERNEL)?;
    devices.extend_from_slice(&registry.devices, GFP_KERNEL)?;
    Ok(devices)
}

/// The devices of a resource, in the order of their volume numbers.
pub(super) fn volumes(entry: &Arc<Entry>) -> Result<KVec<Arc<Device>>> {
    let mut volumes: KVec<Arc<Device>> = KVec::new();
    for found in devices()? {
        if Arc::ptr_eq(&found.entry, entry) {
            let place = volumes
                .iter()
                .take_while(|device| device.volume < found.device.volume)
                .count();
            insert(&mut volumes, place, found.device)?;
        }
    }
    Ok(volumes)
}

/// Any resource. Needs no memory.
pub(super) fn any_resource() -> Option<Arc<Entry>> {
    REGISTRY.lock().resources.first().cloned()
}

/// Any device of a resource. Needs no memory.
pub(super) fn any_volume(entry: &Arc<Entry>) -> Option<Arc<Device>> {
    let registry = REGISTRY.lock();
    let found = registry
        .devices
        .iter()
        .find(|found| Arc::ptr_eq(&found.entry, entry))?;
    Some(found.device.clone())
}

fn insert<T>(list: &mut KVec<T>, place: usize, value: T) -> Result {
    list.reserve(1, GFP_KERNEL)?;
    list.insert_within_capacity(place, value)
        .map_err(|_| ENOMEM)
}

/// Gives the memory of lists that are empty back: the module goes, and statics are never dropped.
pub(super) fn free() {
    let mut registry = REGISTRY.lock();
    if registry.resources.is_empty() {
        registry.resources = KVec::new();
    }
    if registry.devices.is_empty() {
        registry.devices = KVec::new();
    }
}

/// Adds a resource.
pub(super) fn add_resource(entry: Arc<Entry>) -> Result {
    let mut registry = REGISTRY.lock();
    registry.resources.push(entry, GFP_KERNEL)?;
    Ok(())
}

/// Takes a resource out.
pub(super) fn remove_resource(entry: &Arc<Entry>) {
    let mut registry = REGISTRY.lock();
    registry
        .resources
        .retain(|other| !Arc::ptr_eq(other, entry));
}

/// Adds a device.
pub(super) fn add_device(added: DeviceEntry) -> Result {
    let mut registry = REGISTRY.lock();
    let place = registry
        .devices
        .iter()
        .take_while(|other| other.device.minor < added.device.minor)
        .count();
    insert(&mut registry.devices, place, added)
}

/// Takes a device out.
pub(super) fn remove_device(device: &Arc<Device>) {
    let mut registry = REGISTRY.lock();
    registry
        .devices
        .retain(|other| !Arc::ptr_eq(&other.device, device));
}
