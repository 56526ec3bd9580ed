// SPDX-License-Identifier: GPL-2.0-only

//! A world in which everything goes wrong.

use crate::admin::{Admin, AdminResult};
use crate::world::World;

impl World<'_> {
    pub fn chaos(&mut self) {}

    pub fn chaos_command_ended(&mut self, _node: usize, _command: Admin, _result: &AdminResult) {}
}
