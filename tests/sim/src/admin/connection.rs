// SPDX-License-Identifier: GPL-2.0-only

//! Connecting and disconnecting.

use drbd_core::resource::Disconnect;

use super::{Admin, AdminResult, Running};
use crate::integrity::size_of;
use crate::world::World;

impl World<'_> {
    pub(super) fn connect(&mut self, node: usize, discard_my_data: bool) -> AdminResult {
        let mut conf = self.nodes[node].net.clone();
        conf.discard_my_data = discard_my_data;
        let digest = size_of(&conf.integrity_alg);
        let now = self.now;
        let life = self.nodes[node].life.as_mut().ok_or("down")?;
        life.engine
            .at(now / 1000)
            .connect(conf, digest)
            .map_err(|code| format!("{code:?}"))
    }

    pub(super) fn disconnect(&mut self, node: usize, running: &mut Running) -> Option<AdminResult> {
        if running.disconnect.is_none() {
            let force = running.command == Admin::DisconnectForced;
            running.disconnect = Some(Disconnect::new(force));
        }
        let life = self.nodes[node].life.as_mut()?;
        if life.engine.is_stand_alone() {
            return Some(Ok(()));
        }
        if running.begun {
            return None;
        }
        self.disconnect_attempt(node, running)
    }

    pub(super) fn disconnect_attempt(
        &mut self,
        node: usize,
        running: &mut Running,
    ) -> Option<AdminResult> {
        let now = self.now;
        let disconnect = running.disconnect?;
        let life = self.nodes[node].life.as_mut()?;
        match life.engine.at(now / 1000).disconnect(&disconnect) {
            Ok(None) => {
                running.begun = true;
                None
            }
            Ok(Some(ticket)) => {
                running.ticket = Some(ticket);
                None
            }
            Err(code) => self.answered(node, running, Err(code)),
        }
    }
}
