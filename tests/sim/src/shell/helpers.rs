// SPDX-License-Identifier: GPL-2.0-only

//! Handlers that take their time: a thread of their own calls them, one after the other. Only so many are left to it;
//! the next one keeps the event thread waiting, and everything behind it.

use std::collections::VecDeque;

use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::effect::{Event, Helper};

use crate::world::{Ev, World};

/// How many the module leaves to its thread: one runs, the others wait for their turn.
pub const ROOM: usize = 65;

/// The thread that calls handlers.
#[derive(Default)]
pub struct Helpers {
    /// The first one runs.
    called: VecDeque<Event>,
    event_waits: bool,
}

impl Helpers {
    /// Whether no handler runs, and none will.
    pub fn is_idle(&self) -> bool {
        self.called.is_empty()
    }

    /// Whether the event thread waits for room.
    pub fn event_waits(&self) -> bool {
        self.event_waits
    }

    /// How many run or wait.
    pub fn count(&self) -> usize {
        self.called.len()
    }
}

impl World<'_> {
    pub(super) fn leave_to_helpers(&mut self, node: usize, event: Event, room: usize) {
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let begins = life.helpers.is_idle();
        life.helpers.called.push_back(event);
        life.helpers.event_waits = life.helpers.count() > room;
        if begins {
            self.handler_begins(node);
        } else {
            self.coverage.count("handlers that wait for others");
        }
    }

    fn handler_begins(&mut self, node: usize) {
        let boot = self.nodes[node].boot;
        let longest = *self
            .rng
            .pick(&[1000, 30_000, 30_000, 1_000_000, 10_000_000, 60_000_000]);
        let at = self.now + self.rng.range(10, longest);
        self.push(at, Ev::HandlerEnds(node, boot));
    }

    pub fn handler_ends(&mut self, node: usize) {
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let ended = life.helpers.called.pop_front();
        life.helpers.event_waits = false;
        let goes_on = !life.helpers.is_idle();
        self.tell(node, || "the handler ends".into());
        if goes_on {
            self.handler_begins(node);
        }
        if let Some(Event::CallHelperAndReport { device, helper }) = ended {
            self.helper_finished(node, device, helper);
        }
        self.drain_events(node);
    }

    pub fn helper_finished(&mut self, node: usize, device: DeviceIndex, helper: Helper) {
        let now = self.now / 1000;
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.engine.at(now).helper_finished(device, helper, 0);
        }
        self.settle(node);
    }
}
