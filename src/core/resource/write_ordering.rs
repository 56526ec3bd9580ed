// SPDX-License-Identifier: GPL-2.0-only

//! The name that write ordering has in `/proc/drbd`, in the status of a device and in the log: one for the whole resource, the
//! weakest of what its disks are configured for. It is chosen when a disk is attached or gets other options, as by 8.4, and
//! stays when a disk goes.
//!
//! A name only: each disk is treated as its own options say ([`epoch`](super::epoch)). So a volume with `disk-flushes` is
//! flushed although another volume of the resource does without, where 8.4 flushes neither.

use super::log::LogMessage;
use super::Resource;
use crate::config::disk::DiskConf;
use crate::config::policy::WriteOrdering;

impl DiskConf {
    /// What `disk-flushes` and `disk-drain` allow.
    fn write_ordering(&self) -> WriteOrdering {
        if self.disk_flushes {
            WriteOrdering::Flush
        } else if self.disk_drain {
            WriteOrdering::Drain
        } else {
            WriteOrdering::None
        }
    }
}

impl Resource<'_> {
    /// A disk is new, or has other options.
    pub(super) fn choose_write_ordering(&mut self) {
        let before = self.write_ordering;
        self.write_ordering = self
            .devices
            .iter()
            .flatten()
            .filter_map(|device| device.disk.as_ref())
            .filter(|disk| !disk.failed)
            .map(|disk| disk.conf.write_ordering())
            .min()
            .unwrap_or(WriteOrdering::Flush);
        if self.write_ordering != before || self.write_ordering == WriteOrdering::Flush {
            self.log(None, LogMessage::WriteOrdering(self.write_ordering));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_name_the_method() {
        for (disk_flushes, disk_drain, expected) in [
            (true, true, WriteOrdering::Flush),
            (true, false, WriteOrdering::Flush),
            (false, true, WriteOrdering::Drain),
            (false, false, WriteOrdering::None),
        ] {
            let conf = DiskConf {
                disk_flushes,
                disk_drain,
                ..DiskConf::default()
            };
            assert_eq!(conf.write_ordering(), expected);
        }
        assert!(WriteOrdering::None < WriteOrdering::Drain);
        assert!(WriteOrdering::Drain < WriteOrdering::Flush);
    }
}
