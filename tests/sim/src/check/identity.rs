// SPDX-License-Identifier: GPL-2.0-only

//! Nobody connects to a peer that does not know the same secret.

use drbd_core::state::{ConnectionState, State};

use super::{Checker, Verdict};
use crate::world::World;

pub struct Identity;

impl Checker for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn state_changed(
        &mut self,
        world: &World<'_>,
        node: usize,
        _volume: u8,
        old: &State,
        new: &State,
    ) -> Verdict {
        let connects = old.connection < ConnectionState::Connected
            && new.connection >= ConnectionState::Connected;
        if connects && !world.peers_know_each_other(node) {
            return Err(format!("node {node} connected to a stranger"));
        }
        Ok(())
    }
}
