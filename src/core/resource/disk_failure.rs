// SPDX-License-Identifier: GPL-2.0-only

//! A backing disk that fails, and one that is let go.

use super::device::DeviceIndex;
use super::effect::{Event, Helper};
use super::log::LogMessage;
use super::Resource;
use crate::config::policy::OnIoError;
use crate::state::{Change, DiskState};

impl Resource<'_> {
    /// The backing disk failed: what the administrator configured for that happens. Metadata that cannot be written is
    /// always the end of the disk.
    pub(super) fn disk_failed(&mut self, index: DeviceIndex, sector: u64, metadata: bool) {
        let Some(device) = self.device(index) else {
            return;
        };
        let Some(disk) = device.disk.as_ref() else {
            return;
        };
        if disk.failed {
            return;
        }
        let policy = disk.conf.on_io_error;
        let state = device.state.disk;
        self.log(index, LogMessage::LocalIoError { sector, metadata });
        if policy == OnIoError::PassOn && !metadata {
            if state > DiskState::Inconsistent {
                let _ = self.change(index, Change::none().disk(DiskState::Inconsistent), true);
            }
            return;
        }
        if let Some(disk) = self
            .device_mut(index)
            .and_then(|device| device.disk.as_mut())
        {
            disk.failed = true;
        }
        if policy == OnIoError::CallHelper {
            self.event(Event::CallHelper {
                device: Some(index),
                helper: Helper::LocalIoError,
            });
        }
        let _ = self.change(index, Change::none().disk(DiskState::Failed), true);
    }

    /// A disk that is to go does so once nothing is on its way to it.
    pub(super) fn detach_when_idle(&mut self, index: DeviceIndex) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        let Some(disk) = device.disk.as_mut() else {
            return;
        };
        if device.state.disk > DiskState::Failed || disk.in_flight > 0 {
            return;
        }
        if !disk.failed && !disk.metadata.is_idle() {
            return;
        }
        if device.state.disk == DiskState::Failed {
            if !self.cache_is_empty(index) {
                return;
            }
            if let Some(device) = self.device_mut(index) {
                device.note_lost_writes();
            }
            let _ = self.change(index, Change::none().disk(DiskState::Diskless), true);
        }
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if device.state.disk == DiskState::Diskless && !device.idle_told {
            device.idle_told = true;
            self.event(Event::DiskIsIdle { device: index });
        }
    }
}
