// SPDX-License-Identifier: GPL-2.0-only

//! What an administrator does, step by step as `drbdsetup` and the netlink part of the module do it.

use drbd_core::activity_log::{ActivityLog, ExtentSlot};
use drbd_core::bitmap::{bits_for_sectors, storage_needed};
use drbd_core::meta::layout::AlStripes;
use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::{Attachment, Disconnect, Next, RoleChange, Ticket};
use drbd_core::state::{Change, DiskState, Role, StateCode};
use drbd_core::wire::QueueLimits;

use crate::metadata;
use crate::world::{Ev, World};

/// A command. Volumes are named by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
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
    NewCurrentUuid(u8),
    NewCurrentUuidClear(u8),
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
            Admin::Attach(volume) => Some(self.attach(node, volume)),
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
                let asked = match command {
                    Admin::Invalidate(volume) => engine.invalidate(DeviceIndex(volume)),
                    Admin::InvalidateRemote(volume) => {
                        engine.invalidate_remote(DeviceIndex(volume))
                    }
                    Admin::PauseSync(volume) => {
                        engine.request_change(DeviceIndex(volume), Change::none().user_paused(true))
                    }
                    Admin::ResumeSync(volume) => engine
                        .request_change(DeviceIndex(volume), Change::none().user_paused(false)),
                    _ => return Some(Err("no such command".into())),
                };
                self.asked(node, running, asked)
            }
        }
    }

    fn asked(
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
    fn answered(
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

    fn wait(&mut self, node: usize, running: &mut Running, micros: u64) {
        running.wait_until = self.now + micros;
        let boot = self.nodes[node].boot;
        self.push(running.wait_until, Ev::Admin(node, boot));
    }

    fn connect(&mut self, node: usize, discard_my_data: bool) -> AdminResult {
        let mut conf = self.nodes[node].net.clone();
        conf.discard_my_data = discard_my_data;
        let now = self.now;
        let life = self.nodes[node].life.as_mut().ok_or("down")?;
        life.engine
            .at(now / 1000)
            .connect(conf)
            .map_err(|code| format!("{code:?}"))
    }

    fn disconnect(&mut self, node: usize, running: &mut Running) -> Option<AdminResult> {
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

    fn disconnect_attempt(&mut self, node: usize, running: &mut Running) -> Option<AdminResult> {
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

    fn change_role(&mut self, node: usize, running: &mut Running) -> Option<AdminResult> {
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
        if role == Role::Secondary && (queued || life.engine.has_application_io(device)) {
            // A mounted file system would have kept the device open: nobody demotes under load.
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

    fn role_answered(
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

    fn detach(
        &mut self,
        node: usize,
        volume: u8,
        running: &mut Running,
        change: Change,
    ) -> Option<AdminResult> {
        if running.begun {
            return self.detached(node, volume);
        }
        let now = self.now;
        let life = self.nodes[node].life.as_mut()?;
        if life.engine.device(DeviceIndex(volume))?.disk().is_none() {
            return Some(Ok(()));
        }
        let asked = life
            .engine
            .at(now / 1000)
            .request_change(DeviceIndex(volume), change);
        self.asked(node, running, asked)
    }

    fn detached(&mut self, node: usize, volume: u8) -> Option<AdminResult> {
        let life = self.nodes[node].life.as_mut()?;
        let device = life.engine.device(DeviceIndex(volume))?;
        device.disk().is_none().then_some(Ok(()))
    }

    fn attach(&mut self, node: usize, volume: u8) -> AdminResult {
        let now = self.now / 1000;
        let device = DeviceIndex(volume);
        let arena = self.arena;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return Err("down".into());
        };
        if life
            .engine
            .device(device)
            .is_none_or(|device| device.disk().is_some())
        {
            return Err("there is a disk already".into());
        }
        life.engine
            .at(now)
            .begin_attach(device)
            .map_err(|code| format!("{code:?}"))?;
        let found = match metadata::open(&mut self.nodes[node].disks[usize::from(volume)]) {
            Ok(found) => found,
            Err(why) => {
                self.fail(format!("node {node}: unreadable metadata: {why}"));
                return Err(why);
            }
        };
        let extents = self.nodes[node].sizes.extents;
        let conf = self.nodes[node].disk_conf.clone();
        let disk = &self.nodes[node].disks[usize::from(volume)];
        let (words, dirty) = storage_needed(bits_for_sectors(found.max_capacity));
        let words = arena.alloc_slice_fill_copy(words, 0);
        let dirty = arena.alloc_slice_fill_copy(dirty, 0);
        let slots = arena.alloc_slice_fill_with(extents, |_| ExtentSlot::empty());
        let attachment = Attachment {
            conf,
            layout: found.layout,
            superblock: found.superblock,
            bitmap: metadata::read_bitmap(disk, &found, words, dirty),
            activity_log: ActivityLog::new(slots, AlStripes::standard(), 0),
            max_capacity: found.max_capacity,
            limits: QueueLimits {
                physical_block_size: 512,
                logical_block_size: 512,
                alignment_offset: 0,
                io_min: 512,
                io_opt: 0,
                discard_enabled: 1,
                discard_zeroes_data: 0,
                write_same_capable: 0,
            },
            max_bio_size: 1 << 20,
            volatile_cache: disk.volatile,
        };
        let Some(life) = self.nodes[node].life.as_mut() else {
            return Err("down".into());
        };
        match life.engine.at(now).finish_attach(device, attachment) {
            Ok(()) => Ok(()),
            Err((error, _)) => {
                life.engine.abort_attach(device);
                Err(format!("{error:?}"))
            }
        }
    }
}
