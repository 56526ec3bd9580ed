// SPDX-License-Identifier: GPL-2.0-only

//! Metadata on a device of its own.
//!
//! What it says rests on data that may still be in the cache of the backing disk: a bit that is clear, an extent that is cold.
//! On the disk itself a flush goes along with the write. Here the bytes are taken, then the disk is flushed, and then they
//! are written: a block that ends while the flush is under way is not in them. The flush is waited for, which the threads
//! that others depend on should not do: so there is a thread for it.

use drbd_core::resource::{
    device::DeviceIndex,
    effect::Effect, //
};
use kernel::sync::Arc;

use super::{
    effects::{
        metadata_purpose,
        METADATA_BYTES, //
    },
    Guarded,
    Resource, //
};
use crate::{
    disk::io::{
        PageIoContext,
        Purpose, //
    },
    kernel_api::{
        kthread::StopFlag,
        noio::NoIo, //
    },
};

/// What goes behind one flush at most.
const AT_ONCE: usize = 16;

/// The thread.
pub(crate) fn run(resource: &Arc<Resource>, stop: &StopFlag) {
    let _noio = NoIo::enter();
    while resource.metadata_work.wait(stop) {
        while let Some((index, _)) = resource.peek(|guarded| guarded.next_separate_metadata()) {
            write_some(resource, index);
        }
    }
}

/// Writes what waits for a device, behind one flush of its disk.
fn write_some(resource: &Arc<Resource>, index: DeviceIndex) {
    let backing = resource.peek(|guarded| guarded.backing(index));
    let mut batch = [const { None }; AT_ONCE];
    for (position, place) in batch.iter_mut().enumerate() {
        let next = resource.peek(|guarded| guarded.next_separate_metadata());
        let Some((_, purpose)) = next.filter(|(device, _)| *device == index) else {
            break;
        };
        // Whoever holds pages must not wait for more.
        let pages = if position == 0 {
            resource.metadata.alloc(METADATA_BYTES)
        } else {
            resource.metadata.try_alloc(METADATA_BYTES)
        };
        if pages.is_err() && position > 0 {
            break;
        }
        let metadata = pages.and_then(|pages| resource.encode_metadata(index, purpose, pages));
        *place = Some((purpose, metadata));
        resource.peek(|guarded| guarded.separate_metadata.pop());
    }
    let flush = batch
        .iter()
        .flatten()
        .any(|(_, metadata)| matches!(metadata, Ok(metadata) if metadata.data_goes_first));
    let stable = backing
        .as_ref()
        .is_some_and(|backing| !flush || backing.data.flush().is_ok());
    for (purpose, metadata) in batch.into_iter().flatten() {
        let context = PageIoContext {
            resource: resource.clone(),
            index,
            purpose,
        };
        match (&backing, metadata) {
            (Some(backing), Ok(metadata)) if stable => metadata.submit(backing, context),
            _ => context.finished(false),
        }
    }
}

impl Guarded {
    /// Keeps an effect for the thread if it writes metadata to a device of its own. False where it does not.
    pub(super) fn keep_separate_metadata(&mut self, effect: Effect) -> bool {
        let separate = metadata_purpose(effect)
            .and_then(|(index, _)| self.backing(index))
            .is_some_and(|backing| backing.separate.is_some());
        // There is room for all effects that there can be.
        separate && self.separate_metadata.push(effect).is_ok()
    }

    /// What the thread does next.
    fn next_separate_metadata(&self) -> Option<(DeviceIndex, Purpose)> {
        metadata_purpose(*self.separate_metadata.front()?)
    }
}
