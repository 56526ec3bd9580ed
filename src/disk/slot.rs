// SPDX-License-Identifier: GPL-2.0-only

//! Slots of metadata on devices that several volumes share (`meta-disk /dev/X[1]`).
//!
//! The kernel lets the module open such a device as often as it likes. That each slot has one volume is seen to here.

use kernel::prelude::*;

use crate::kernel_api::{
    block_device::BackingDevice,
    global::global_mutex, //
};

/// Major and minor number of the device, and which of its slots.
type Place = ((u32, u32), u32);

global_mutex! {
    /// The slots that are in use.
    static SLOTS, SlotsBackend: KVec<Place> = KVec::new();
}

/// A slot that a volume has to itself. Dropping it gives it back.
pub(crate) struct Slot(Place);

impl Slot {
    /// Takes a slot of a device: `EBUSY` where a volume has it already. Sleeps.
    pub(crate) fn take(device: &BackingDevice, number: u32) -> Result<Self> {
        let place = (device.number(), number);
        let mut slots = SLOTS.lock();
        if slots.contains(&place) {
            return Err(EBUSY);
        }
        slots.push(place, GFP_KERNEL)?;
        Ok(Self(place))
    }
}

impl Drop for Slot {
    /// Sleeps.
    fn drop(&mut self) {
        let mut slots = SLOTS.lock();
        slots.retain(|place| *place != self.0);
        if slots.is_empty() {
            // A static is not dropped when the module goes.
            *slots = KVec::new();
        }
    }
}
