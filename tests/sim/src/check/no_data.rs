// SPDX-License-Identifier: GPL-2.0-only

//! What no good disk got did not succeed: the next resync would overwrite it.

use std::collections::BTreeSet;

use drbd_core::resource::request::Operation;
use drbd_core::state::{DiskState, State};

use super::{Checker, Verdict};
use crate::app::Record;
use crate::world::World;

/// Requests that change something and never had current data in reach, by node and volume.
#[derive(Default)]
pub struct NoData {
    hopeless: BTreeSet<(usize, u8, u64)>,
}

/// Whether a node reaches a disk that is UpToDate.
fn reaches_data(state: &State) -> bool {
    state.disk == DiskState::UpToDate || state.peer_disk == DiskState::UpToDate
}

impl Checker for NoData {
    fn name(&self) -> &'static str {
        "no data"
    }

    fn begins(&mut self, world: &World<'_>, number: u64, record: &Record) -> Verdict {
        let (node, volume) = (record.node, record.volume);
        let state = world.engine_state(node, usize::from(volume));
        // A disk that is just being attached may be good for a moment that nobody hears of before this ends.
        if record.io.operation != Operation::Read
            && state
                .is_some_and(|state| state.disk >= DiskState::Inconsistent && !reaches_data(&state))
        {
            self.hopeless.insert((node, volume, number));
        }
        Ok(())
    }

    fn state_changed(
        &mut self,
        _world: &World<'_>,
        node: usize,
        volume: u8,
        _old: &State,
        new: &State,
    ) -> Verdict {
        if reaches_data(new) {
            self.hopeless
                .retain(|(on, of, _)| (*on, *of) != (node, volume));
        }
        Ok(())
    }

    fn ends(&mut self, world: &World<'_>, number: u64, record: &Record) -> Verdict {
        let (node, volume) = (record.node, record.volume);
        let hopeless = self.hopeless.remove(&(node, volume, number));
        let succeeded = record.ended.is_some_and(|(_, good)| good);
        let now = world.engine_state(node, usize::from(volume));
        if hopeless && succeeded && now.is_some_and(|state| !reaches_data(&state)) {
            return Err(format!(
                "node {node}: {:?} {number} succeeded, and no disk in reach was good",
                record.io.operation
            ));
        }
        Ok(())
    }
}
