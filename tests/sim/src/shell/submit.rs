// SPDX-License-Identifier: GPL-2.0-only

//! Applications submit, and hear of the end.

use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::effect::{Completion, Outcome};
use drbd_core::resource::request::Io;
use drbd_core::resource::Admission;

use crate::node::Application;
use crate::world::World;

impl World<'_> {
    /// An application submits something.
    pub fn submit(&mut self, node: usize, volume: u8, io: Io, mut values: Vec<u64>) -> u64 {
        if io.is_write() {
            values.resize(io.sectors() as usize, 0);
        }
        let number = self.history_begins(node, volume, &io, &values);
        let application = Application { io, number, values };
        let Some(life) = self.nodes[node].life.as_mut() else {
            return number;
        };
        let index = DeviceIndex(volume);
        if life.backlog.is_empty() {
            self.offer(node, index, application);
        } else {
            life.backlog.push_back((index, application));
        }
        number
    }

    fn offer(&mut self, node: usize, index: DeviceIndex, application: Application) -> bool {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return true;
        };
        match life.engine.at(now).submit(index, application.io) {
            Admission::Accepted(id) => {
                life.requests.insert((index.0, id.to_u64()), application);
            }
            Admission::Wait => {
                life.backlog.push_front((index, application));
                return false;
            }
            Admission::Refused => {
                self.history_ends(node, index.0, &application, Outcome::IoError);
            }
        }
        self.settle(node);
        true
    }

    pub(super) fn retry_backlog(&mut self, node: usize) {
        loop {
            let Some(life) = self.nodes[node].life.as_mut() else {
                return;
            };
            let Some((index, application)) = life.backlog.pop_front() else {
                return;
            };
            if !self.offer(node, index, application) {
                return;
            }
        }
    }

    pub(super) fn request_ended(&mut self, node: usize, completion: Completion) {
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let key = (completion.device.0, completion.request.to_u64());
        let Some(application) = life.requests.remove(&key) else {
            self.fail(format!("node {node}: a completion of nobody's request"));
            return;
        };
        self.history_ends(node, completion.device.0, &application, completion.outcome);
    }
}
