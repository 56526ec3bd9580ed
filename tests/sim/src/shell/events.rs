// SPDX-License-Identifier: GPL-2.0-only

//! What the engine tells its worker, in order.

use drbd_core::resource::dependency::concerns_others;
use drbd_core::resource::effect::{Event, Helper};

use crate::node::Receiver;
use crate::world::{Ev, World};

impl World<'_> {
    pub fn drain_events(&mut self, node: usize) {
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.scheduled.events = false;
        }
        loop {
            let now = self.now / 1000;
            let Some(life) = self.nodes[node].life.as_mut() else {
                return;
            };
            if life.helpers.event_waits() {
                self.hear_more(node);
                return;
            }
            let Some(event) = life.engine.at(now).next_event() else {
                break;
            };
            let heard = life.heard > 0;
            life.heard = life.heard.saturating_sub(1);
            if !heard {
                self.hear(node, &event);
            }
            self.do_event(node, event);
        }
        self.check_resync_order(node);
        self.settle(node);
        self.try_link_closed(node);
    }

    /// What happened while the event thread waits for the handlers.
    fn hear_more(&mut self, node: usize) {
        while let Some(life) = self.nodes[node].life.as_mut() {
            let Some(event) = life.engine.event_behind(life.heard) else {
                return;
            };
            life.heard += 1;
            self.coverage.count("events behind a handler");
            self.hear(node, &event);
        }
    }

    /// Those who look on hear what happened when it happened, whenever the event thread gets to it.
    fn hear(&mut self, node: usize, event: &Event) {
        match *event {
            Event::Log { device, message } => {
                self.coverage.log(&message);
                self.tell(node, || format!("log: {message}"));
                let volume = device.map(|device| device.0);
                self.check(|checker, world| checker.logged(world, node, volume, &message));
            }
            Event::StateChanged { device, old, new } => {
                self.coverage.state(&old, &new);
                self.history_state(node, device.0, &old, &new);
                self.tell(node, || {
                    format!(
                        "volume {}: {}/{} {} {}/{}{}",
                        device.0,
                        new.role.name(),
                        new.peer.name(),
                        new.connection.name(),
                        new.disk.name(),
                        new.peer_disk.name(),
                        if new.is_suspended() { " suspended" } else { "" }
                    )
                });
            }
            Event::Resized { device, sectors } => {
                self.tell(node, || format!("volume {}: {sectors} sectors", device.0));
            }
            _ => {}
        }
    }

    fn do_event(&mut self, node: usize, event: Event) {
        let boot = self.nodes[node].boot;
        match event {
            Event::None
            | Event::Progress { .. }
            | Event::Log { .. }
            | Event::Resized { .. }
            | Event::Writable { .. } => {}
            Event::LimitsChanged { device } => {
                if let Some(life) = self.nodes[node].life.as_mut() {
                    life.limits[usize::from(device.0)] = life.engine.peer_limits(device);
                }
            }
            Event::StateChanged { old, new, .. } => {
                if concerns_others(&old, &new) {
                    self.update_resync_order(node);
                }
            }
            Event::CallHelper { helper, .. } => {
                // What the handler does is a matter of chance; in a directed story it does nothing.
                let stops = matches!(
                    helper,
                    Helper::LocalIoError | Helper::PrimaryLost | Helper::PrimaryLostAfterSplitBrain
                ) && self.plan.is_some();
                if stops && self.rng.chance(50) {
                    let at = self.now + self.rng.range(1, 100_000);
                    self.push(at, Ev::Halt(node, boot));
                }
                self.tell(node, || format!("helper {}", helper.name()));
                if let Some(room) = self.setup.slow_handlers {
                    self.leave_to_helpers(node, event, room);
                }
            }
            Event::CallHelperAndReport { device, helper } => {
                if let Some(room) = self.setup.slow_handlers {
                    self.leave_to_helpers(node, event, room);
                    return;
                }
                // One after the other, as the thread that calls them.
                let busy = self.nodes[node]
                    .life
                    .as_ref()
                    .map_or(0, |life| life.handler_ends);
                let at = busy.max(self.now) + self.rng.range(10, 30_000);
                if let Some(life) = self.nodes[node].life.as_mut() {
                    life.handler_ends = at;
                }
                let target = helper == Helper::BeforeResyncTarget;
                self.push(at, Ev::HelperDone(node, boot, device.0, target));
            }
            Event::StartReceiver => {
                if let Some(life) = self.nodes[node].life.as_mut() {
                    life.receiver = Receiver::Searching;
                }
                let at = self.soon();
                self.push(at, Ev::Dial(node, boot));
            }
            Event::ShutSockets => self.shut_sockets(node),
            Event::StopReceiver => {}
            Event::DiskIsIdle { device } => {
                if let Some(life) = self.nodes[node].life.as_mut() {
                    // An attach that came to nothing leaves no disk.
                    let has_one = |life: &crate::node::Life<'_>| {
                        let device = life.engine.device(device);
                        device.is_some_and(|device| device.disk().is_some())
                    };
                    if life.engine.take_disk(device).is_none() && has_one(life) {
                        self.fail(format!(
                            "node {node}: the disk is said to be idle, and is not"
                        ));
                    }
                }
                self.settle(node);
            }
        }
    }
}
