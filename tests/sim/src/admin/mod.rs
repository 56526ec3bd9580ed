// SPDX-License-Identifier: GPL-2.0-only

//! What an administrator does, step by step as `drbdsetup` and the netlink part of the module do it.

mod connection;
mod disk;
mod remove;
mod role;

use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::{Disconnect, RoleChange, Ticket};
use drbd_core::state::{Change, DiskState, StateCode};

use crate::world::{Ev, World};

/// A command. Volumes are named by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// `drbdsetup new-minor`
    AddVolume(u8),
    Attach(u8),
    Detach(u8),
    DetachForced(u8),
    Connect,
    ConnectDiscardMyData,
    Disconnect,
    DisconnectForced,
    Promote(u8),
    PromoteForced(u8),
    Demote(u8),
    Invalidate(u8),
    InvalidateRemote(u8),
    PauseSync(u8),
    ResumeSync(u8),
    /// From a sector, or where the last one stopped, to a sector.
    Verify(u8, Option<u64>, u64),
    NewCurrentUuid(u8),
    NewCurrentUuidClear(u8),
    AttachInVain(u8),
    /// What is left of the resource goes, and `drbdadm up` makes it anew.
    Remove,
    SuspendIo(u8),
    ResumeIo(u8),
    Outdate(u8),
}

/// A command that is being carried out.
pub struct Running {
    pub command: Admin,
    pub started: u64,
    ticket: Option<Ticket>,
    role: Option<RoleChange>,
    disconnect: Option<Disconnect>,
    wait_until: u64,
    begun: bool,
}

pub type AdminResult = Result<(), String>;

impl Running {
    pub fn new(command: Admin, now: u64) -> Self {
        Self {
            command,
            started: now,
            ticket: None,
            role: None,
            disconnect: None,
            wait_until: 0,
            begun: false,
        }
    }
}

fn refused(code: StateCode) -> AdminResult {
    if code.is_success() {
        Ok(())
    } else {
        Err(format!("{code:?}"))
    }
}

impl World<'_> {
    /// Gives a command; it runs after those given before.
    pub fn admin(&mut self, node: usize, command: Admin) {
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.admin.push_back(command);
            self.schedule_operations(node);
        }
    }

    /// Goes on with the command of a node.
    pub fn admin_step(&mut self, node: usize) {
        loop {
            let now = self.now;
            let Some(life) = self.nodes[node].life.as_mut() else {
                return;
            };
            if life.running.is_none() {
                let Some(command) = life.admin.pop_front() else {
                    return;
                };
                life.running = Some(Running::new(command, now));
            }
            let Some(mut running) = life.running.take() else {
                return;
            };
            let result = self.try_command(node, &mut running);
            self.settle(node);
            match result {
                None => {
                    // It may have crashed the node, in a manner of speaking.
                    if let Some(life) = self.nodes[node].life.as_mut() {
                        life.running = Some(running);
                    }
                    return;
                }
                Some(result) => {
                    let command = running.command;
                    self.tell(node, || match &result {
                        Ok(()) => format!("{command:?}: done"),
                        Err(why) => format!("{command:?}: refused, {why}"),
                    });
                    self.command_ended(node, command, result);
                }
            }
        }
    }

    /// One attempt at a command; its result, or `None` while it waits for something.
    fn try_command(&mut self, node: usize, running: &mut Running) -> Option<AdminResult> {
        let now = self.now;
        if now < running.wait_until {
            return None;
        }
        if let Some(ticket) = running.ticket {
            let life = self.nodes[node].life.as_mut()?;
            let result = life.engine.at(now / 1000).operation_result(ticket)?;
            running.ticket = None;
            return self.answered(node, running, result);
        }
        match running.command {
            Admin::AddVolume(_) if self.plan.is_some() && !running.begun => {
                // In chaos an administrator takes his time for it: both are connected by then, or not.
                running.begun = true;
                let pause = *self.rng.pick(&[0, 10_000, 300_000, 3_000_000]);
                self.wait(node, running, pause);
                None
            }
            Admin::AddVolume(volume) => {
                self.coverage.count("volumes added");
                Some(self.add_volume(node, volume))
            }
            Admin::Attach(volume) => Some(self.attach(node, volume)),
            Admin::AttachInVain(volume) => Some(self.attach_in_vain(node, volume)),
            Admin::Remove => self.remove(node, running),
            Admin::Connect => Some(self.connect(node, false)),
            Admin::ConnectDiscardMyData => Some(self.connect(node, true)),
            Admin::Disconnect | Admin::DisconnectForced => self.disconnect(node, running),
            Admin::Promote(_) | Admin::PromoteForced(_) | Admin::Demote(_) => {
                self.change_role(node, running)
            }
            Admin::Detach(volume) => {
                let change = Change::none().disk(DiskState::Failed);
                self.detach(node, volume, running, change)
            }
            Admin::DetachForced(volume) => {
                let life = self.nodes[node].life.as_mut()?;
                let device = DeviceIndex(volume);
                if !running.begun {
                    running.begun = true;
                    life.engine.at(now / 1000).detach_forced(device);
                }
                self.detached(node, volume)
            }
            Admin::NewCurrentUuid(volume) | Admin::NewCurrentUuidClear(volume) => {
                let clear = matches!(running.command, Admin::NewCurrentUuidClear(_));
                self.declared_equal |= clear;
                let life = self.nodes[node].life.as_mut()?;
                let result = life
                    .engine
                    .at(now / 1000)
                    .new_current_uuid_by_administrator(DeviceIndex(volume), clear);
                Some(result.map_err(|error| format!("{error:?}")))
            }
            command => {
                let life = self.nodes[node].life.as_mut()?;
                let engine = life.engine.at(now / 1000);
                let asked =
                    match command {
                        Admin::Invalidate(volume) => engine.invalidate(DeviceIndex(volume)),
                        Admin::InvalidateRemote(volume) => {
                            engine.invalidate_remote(DeviceIndex(volume))
                        }
                        Admin::PauseSync(volume) => engine
                            .request_change(DeviceIndex(volume), Change::none().user_paused(true)),
                        Admin::ResumeSync(volume) => engine
                            .request_change(DeviceIndex(volume), Change::none().user_paused(false)),
                        Admin::SuspendIo(volume) => engine
                            .request_change(DeviceIndex(volume), Change::none().suspended(true)),
                        Admin::ResumeIo(volume) => {
                            let change = Change::none()
                                .suspended(false)
                                .suspended_no_data(false)
                                .suspended_fencing(false);
                            engine.request_change(DeviceIndex(volume), change)
                        }
                        Admin::Outdate(volume) => {
                            let change = Change::none().disk(DiskState::Outdated);
                            engine.request_change(DeviceIndex(volume), change)
                        }
                        Admin::Verify(volume, start, stop) => {
                            engine.start_verify(DeviceIndex(volume), start, stop)
                        }
                        _ => return Some(Err("no such command".into())),
                    };
                self.asked(node, running, asked)
            }
        }
    }

    pub(super) fn asked(
        &mut self,
        node: usize,
        running: &mut Running,
        asked: Result<Option<Ticket>, StateCode>,
    ) -> Option<AdminResult> {
        match asked {
            Ok(None) => self.answered(node, running, Ok(())),
            Ok(Some(ticket)) => {
                running.ticket = Some(ticket);
                None
            }
            Err(code) => self.answered(node, running, Err(code)),
        }
    }

    /// A wish was granted or refused.
    pub(super) fn answered(
        &mut self,
        node: usize,
        running: &mut Running,
        result: Result<(), StateCode>,
    ) -> Option<AdminResult> {
        let now = self.now;
        if running.role.is_some() {
            return self.role_answered(node, running, result);
        }
        if let Some(disconnect) = running.disconnect.as_mut() {
            return match result {
                Ok(()) => {
                    self.nodes[node]
                        .life
                        .as_mut()?
                        .engine
                        .at(now / 1000)
                        .disconnected();
                    self.disconnect(node, running)
                }
                Err(StateCode::AlreadyStandAlone | StateCode::NothingToDo) => Some(Ok(())),
                Err(StateCode::InTransientState) => {
                    self.wait(node, running, 20_000);
                    None
                }
                Err(code) if disconnect.next(code) => {
                    self.wait(node, running, 0);
                    self.disconnect_attempt(node, running)
                }
                Err(code) => Some(refused(code)),
            };
        }
        match (running.command, result) {
            (_, Err(StateCode::InTransientState)) => {
                if now.saturating_sub(running.started) > 10_000_000 {
                    return Some(Err("InTransientState".into()));
                }
                self.wait(node, running, 50_000);
                None
            }
            (Admin::Detach(volume), Ok(())) => {
                running.begun = true;
                self.detached(node, volume)
            }
            (_, Ok(())) => Some(Ok(())),
            (_, Err(code)) => Some(refused(code)),
        }
    }

    pub(super) fn wait(&mut self, node: usize, running: &mut Running, micros: u64) {
        running.wait_until = self.now + micros;
        let boot = self.nodes[node].boot;
        self.push(running.wait_until, Ev::Admin(node, boot));
    }
}
