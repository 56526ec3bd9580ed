// SPDX-License-Identifier: GPL-2.0-only

//! Promotion and demotion.

use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::{Next, RoleChange};
use drbd_core::state::{Role, StateCode};

use super::{Admin, AdminResult, Running};
use crate::world::World;

impl World<'_> {
    pub(super) fn change_role(
        &mut self,
        node: usize,
        running: &mut Running,
    ) -> Option<AdminResult> {
        let now = self.now;
        let (role, force, volume) = match running.command {
            Admin::Promote(volume) => (Role::Primary, false, volume),
            Admin::PromoteForced(volume) => (Role::Primary, true, volume),
            Admin::Demote(volume) => (Role::Secondary, false, volume),
            _ => return None,
        };
        let device = DeviceIndex(volume);
        let life = self.nodes[node].life.as_mut()?;
        let queued = life.backlog.iter().any(|(on, _)| *on == device);
        if role == Role::Secondary && (queued || life.engine.at(now / 1000).demotion_waits(device))
        {
            // A mounted file system would have kept the device open: nobody demotes under load.
            if now.saturating_sub(running.started) > 10_000_000 {
                return Some(Err("device is held open by someone".into()));
            }
            self.wait(node, running, 1000);
            return None;
        }
        let change = match running.role {
            Some(ref role) => role.first(),
            None => {
                let role = RoleChange::new(role, force);
                running.role = Some(role);
                role.first()
            }
        };
        let asked = life.engine.at(now / 1000).request_change(device, change);
        self.asked(node, running, asked)
    }

    pub(super) fn role_answered(
        &mut self,
        node: usize,
        running: &mut Running,
        result: Result<(), StateCode>,
    ) -> Option<AdminResult> {
        let now = self.now;
        let (Admin::Promote(volume) | Admin::PromoteForced(volume) | Admin::Demote(volume)) =
            running.command
        else {
            return None;
        };
        let device = DeviceIndex(volume);
        let mut role = running.role?;
        let life = self.nodes[node].life.as_mut()?;
        let state = life.engine.device(device)?.state();
        let next = role.next(result, &state, 500);
        running.role = Some(role);
        match next {
            Next::Done => {
                let to = if matches!(running.command, Admin::Demote(_)) {
                    Role::Secondary
                } else {
                    Role::Primary
                };
                life.engine
                    .at(now / 1000)
                    .role_changed(device, to, role.is_forced());
                Some(Ok(()))
            }
            Next::Try(change) => {
                let asked = life.engine.at(now / 1000).request_change(device, change);
                self.asked(node, running, asked)
            }
            Next::Wait(millis, _) => {
                if now.saturating_sub(running.started) > 10_000_000 {
                    return Some(Err("the state does not settle".into()));
                }
                self.wait(node, running, millis * 1000);
                None
            }
            Next::Fail(code) => Some(Err(format!("{code:?}"))),
        }
    }
}
