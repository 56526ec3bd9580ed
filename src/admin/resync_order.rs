// SPDX-License-Identifier: GPL-2.0-only

//! `resync-after`, across all resources: tells each engine which of its devices have to wait for a device of another one.
//!
//! Nobody locks two engines. One mutex lets one thread at a time go through the devices that are configured: it looks at
//! each engine under that engine's lock, and tells it what follows under the same lock, later. Whatever changed in
//! between makes an event of its own, and another round. So two resyncs that begin at the same instant may run side by
//! side until the events of the first have been carried out.
//!
//! Lock order: this mutex, the registry (for a look), an engine. Held with it: nothing, or the mutexes of an
//! administrator's command; never an engine.

use drbd_core::{
    resource::dependency::{
        concerns_others,
        may_resync,
        Standing, //
    },
    state::State, //
};

use super::registry::{
    self,
    DeviceEntry, //
};
use crate::kernel_api::global::global_mutex;

global_mutex! {
    static ORDER, OrderBackend: () = ();
}

/// The state of some device changed.
///
/// By the event threads. Sleeps.
pub(crate) fn state_changed(old: &State, new: &State) {
    if concerns_others(old, new) {
        update();
    }
}

/// Works out who has to wait, and says so. Sleeps; under no lock of an engine.
pub(super) fn update() {
    let _order = ORDER.lock();
    let Ok(devices) = registry::devices() else {
        // Not enough memory: the next change of a state brings another chance.
        return;
    };
    // A pause may pass on to those who wait for the one that is paused: at most once through the chain.
    for _ in 0..=devices.len() {
        let mut changed = false;
        for found in devices.iter() {
            changed |= tell(found, &devices);
        }
        if !changed {
            return;
        }
    }
}

fn tell(found: &DeviceEntry, devices: &[DeviceEntry]) -> bool {
    let wait = !may_resync(found.device.minor, |minor| {
        standing(devices.iter().find(|other| other.device.minor == minor)?)
    });
    let waits = standing(found).is_some_and(|standing| standing.waits);
    if wait == waits {
        return false;
    }
    // Block I/O of another resource is no matter of this thread, and whoever waits for the mutex must not wait for that.
    found.device.resource.engine_in_irq(|guarded| {
        guarded
            .engine
            .set_dependency_pause(found.device.index, wait)
    })
}

fn standing(found: &DeviceEntry) -> Option<Standing> {
    found
        .entry
        .look(|engine| engine.standing(found.device.index))
}
