// SPDX-License-Identifier: GPL-2.0-only

//! Disks that are given up while they still work on something: by `disk-timeout`, or by force.
//!
//! From then on nothing is asked of the disk, and what is new goes to the peer alone. What the disk works on is waited for:
//! it reads from, or writes to, the pages of applications. 8.4 tells applications that these are done.

use super::device::{Device, DeviceIndex};
use super::effect::{Event, Helper};
use super::log::LogMessage;
use super::request::Local;
use super::timers::deciseconds;
use super::Resource;
use crate::config::policy::OnIoError;
use crate::state::{Change, DiskState};

/// What a disk failed to do in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    Request,
    Other,
}

impl Resource<'_> {
    /// The disk is given up without asking the peer, and without waiting for what it may never do (`detach --force`).
    /// [`Event::DiskIsIdle`] follows as soon as nothing is on its way to it.
    pub fn detach_forced(&mut self, index: DeviceIndex) {
        self.give_up_disk(index);
    }

    fn give_up_disk(&mut self, index: DeviceIndex) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if device.state.disk <= DiskState::Failed {
            return;
        }
        if let Some(disk) = device.disk.as_mut() {
            disk.failed = true;
        }
        let _ = self.change(index, Change::none().disk(DiskState::Failed), true);
        self.detach_when_idle(index);
    }

    /// How often the age of what disks work on is looked at, in milliseconds; `None` where nobody wants to know.
    pub(super) fn disk_interval(&self) -> Option<u64> {
        self.present()
            .filter_map(|(_, device)| device.disk_timeout())
            .min()
            .map(|limit| (limit / 2).clamp(100, 1000))
    }

    /// Gives up each disk that works on something for longer than `disk-timeout`.
    pub(super) fn check_disks(&mut self) {
        let now = self.now;
        for index in self.indices() {
            let Some(late) = self.device(index).and_then(|device| device.is_late(now)) else {
                continue;
            };
            self.log(
                index,
                LogMessage::DiskTimedOut {
                    request: late == Late::Request,
                },
            );
            let calls = self
                .device(index)
                .and_then(|device| device.disk.as_ref())
                .is_some_and(|disk| disk.conf.on_io_error == OnIoError::CallHelper);
            if calls {
                self.event(Event::CallHelper {
                    device: Some(index),
                    helper: Helper::LocalIoError,
                });
            }
            self.give_up_disk(index);
        }
    }
}

impl Device<'_> {
    /// In milliseconds.
    fn disk_timeout(&self) -> Option<u64> {
        let disk = self.disk.as_ref().filter(|disk| !disk.failed)?;
        let limit = deciseconds(disk.conf.disk_timeout);
        (limit > 0 && self.state.disk > DiskState::Failed).then_some(limit)
    }

    fn is_late(&self, now: u64) -> Option<Late> {
        let limit = self.disk_timeout()?;
        let disk = self.disk.as_ref()?;
        if disk.in_flight == 0 {
            return None;
        }
        let is_old = |since: u64| now.saturating_sub(since) >= limit;
        let request = self
            .requests
            .iter()
            .any(|(_, request)| request.local == Local::Pending && is_old(request.started_at));
        if request {
            return Some(Late::Request);
        }
        // Metadata, flushes, and what the peer has this disk do: late when nothing at all ends any more.
        is_old(disk.active_at).then_some(Late::Other)
    }
}
