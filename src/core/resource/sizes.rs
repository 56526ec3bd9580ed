// SPDX-License-Identifier: GPL-2.0-only

//! How large the device is: as large as both disks allow, and as the administrator wants.

use super::connection::{DataItem, Phase};
use super::device::DeviceIndex;
use super::effect::Event;
use super::log::LogMessage;
use super::receive::{ReceiveError, Received};
use super::request::{Io, Operation};
use super::Resource;
use crate::bitmap::bits_for_sectors;
use crate::state::{Change, ConnectionState, DiskState, Role};
use crate::wire::{FeatureFlags, QueueLimits, ResizeFlags, Sizes};

/// The size that a device gets from what is known of both disks (`drbd_new_dev_size`), in sectors; 0 where nobody knows.
///
/// * `own`: what our disk can hold, 0 without one.
/// * `peer`: what the peer's can hold, 0 while unknown.
/// * `agreed`: the size that was in use last.
/// * `wanted`: the administrator's limit, 0 without one.
pub(super) fn negotiated_size(own: u64, peer: u64, agreed: u64, wanted: u64) -> u64 {
    let smaller = |one: u64, other: u64| if other == 0 { one } else { one.min(other) };
    let possible = if own != 0 && peer != 0 {
        own.min(peer)
    } else if agreed != 0 {
        smaller(smaller(agreed, own), peer)
    } else {
        own.max(peer)
    };
    if wanted != 0 && wanted <= possible {
        wanted
    } else {
        possible
    }
}

/// What the peer lets us send to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerLimits {
    /// The largest request, in bytes.
    pub max_bio_size: u32,
    /// Whether a discard can be mirrored; also where there is no peer, which is not the one to object then.
    pub discards: bool,
    /// Whether a write-zeroes can be mirrored.
    pub write_zeroes: bool,
}

impl Resource<'_> {
    /// What the peer lets us send to it. While there is none, what the one before allowed.
    pub fn peer_limits(&self, index: DeviceIndex) -> PeerLimits {
        let connected = self.connection.phase == Phase::Open;
        let features = self.connection.features;
        let limit = self
            .device(index)
            .map_or(0, |device| device.peer.max_bio_size);
        PeerLimits {
            max_bio_size: if limit == 0 {
                crate::wire::data::MAX_BIO_SIZE
            } else {
                limit
            },
            discards: !connected || features.contains(FeatureFlags::TRIM),
            write_zeroes: !connected || features.contains(FeatureFlags::WZEROES),
        }
    }

    /// Whether the peer can be sent a request, as to its length and what it does. Those that began before the limits of
    /// this peer were known may be too much for it.
    pub(super) fn peer_takes(&self, io: &Io) -> bool {
        let features = self.connection.features;
        match io.operation {
            Operation::Read | Operation::Write => {
                io.size <= crate::wire::data::max_bio_size(self.connection.agreed_protocol)
            }
            Operation::Flush => true,
            Operation::Discard => features.contains(FeatureFlags::TRIM),
            // As a discard, by which peers without zeroes mean both.
            Operation::WriteZeroes => {
                features.contains(FeatureFlags::WZEROES) || features.contains(FeatureFlags::TRIM)
            }
        }
    }

    /// What the peer is told of our disk.
    pub(super) fn sizes_packet(&self, index: DeviceIndex) -> Option<Sizes> {
        let device = self.device(index)?;
        let agreed = self.connection.agreed_protocol;
        let limit = crate::wire::data::max_bio_size(agreed);
        let disk = device
            .disk
            .as_ref()
            .filter(|_| device.state.disk >= DiskState::Negotiating);
        let qlim = self
            .connection
            .features
            .contains(FeatureFlags::WSAME)
            .then(|| disk.map_or(DISKLESS_LIMITS, |disk| disk.limits));
        Some(Sizes {
            d_size: disk.map_or(0, |disk| disk.max_capacity),
            u_size: disk.map_or(0, |disk| disk.conf.disk_size),
            c_size: device.size,
            max_bio_size: disk.map_or(limit, |disk| disk.max_bio_size.min(limit)),
            queue_order_type: 1,
            dds_flags: ResizeFlags::NONE,
            qlim,
        })
    }

    /// `P_SIZES`
    pub(super) fn receive_sizes(
        &mut self,
        index: DeviceIndex,
        sizes: &Sizes,
    ) -> Result<Received, ReceiveError> {
        let connection_state = self.device(index).map(|device| device.state.connection);
        let limit = crate::wire::data::max_bio_size(self.connection.agreed_protocol);
        let Some(device) = self.device_mut(index) else {
            return Err(ReceiveError::UnknownVolume);
        };
        device.peer.disk_size = sizes.d_size;
        // Old peers say more than they can do.
        device.peer.max_bio_size = match sizes.max_bio_size {
            0 => limit,
            told => told.min(limit),
        };
        if let Some(disk) = device.disk.as_mut() {
            // For the C driver, which goes by it until it has a peer again. It is written with whatever changes next.
            disk.superblock.la_peer_max_bio_size = sizes.max_bio_size;
        }
        let state = device.state;
        let current = device.size;
        self.event(Event::LimitsChanged { device: index });
        let fits = if state.disk >= DiskState::Negotiating {
            self.agree_on_size(index, sizes, current)
        } else {
            self.believe_size(index, sizes, current)
        };
        if !fits {
            self.give_up_connection();
            return Err(ReceiveError::Incompatible);
        }
        let size = self.device(index).map_or(0, |device| device.size);
        if connection_state > Some(ConnectionState::WFReportParams) && sizes.c_size != size {
            self.send_data(DataItem::Sizes(index));
        }
        Ok(Received::Done)
    }

    /// With a disk of our own: the smaller of both, but data in use is never cut off by a connection.
    fn agree_on_size(&mut self, index: DeviceIndex, sizes: &Sizes, current: u64) -> bool {
        let Some(device) = self.device_mut(index) else {
            return false;
        };
        let state = device.state;
        let Some(disk) = device.disk.as_mut() else {
            return false;
        };
        let own_wish = disk.conf.disk_size;
        let wanted = if state.connection == ConnectionState::WFReportParams
            && own_wish != 0
            && sizes.u_size != 0
        {
            own_wish.min(sizes.u_size)
        } else if state.connection == ConnectionState::WFReportParams {
            own_wish.max(sizes.u_size)
        } else {
            sizes.u_size
        };
        let agreed = disk.superblock.effective_size;
        let new = negotiated_size(disk.max_capacity, sizes.d_size, agreed, wanted);
        let connecting =
            state.connection < ConnectionState::Connected || state.peer_disk == DiskState::Diskless;
        if new < current && state.disk >= DiskState::Outdated && connecting {
            self.log(index, LogMessage::PeerDiskTooSmall { new, current });
            return false;
        }
        let online = state.connection >= ConnectionState::Connected
            && state.peer_disk >= DiskState::Inconsistent
            && state.disk >= DiskState::Inconsistent;
        if online && new != current {
            // The resync of what is new, or the end of what is cut off, would need more than this.
            self.log(index, LogMessage::OnlineResize { new, current });
            return false;
        }
        disk.conf.disk_size = wanted;
        if new > current && current != 0 && state.connection >= ConnectionState::Connected {
            if let Some(device) = self.device_mut(index) {
                device.resync_after_negotiation = true;
            }
        }
        self.set_size(index, new)
    }

    /// Without a disk: the peer knows.
    fn believe_size(&mut self, index: DeviceIndex, sizes: &Sizes, current: u64) -> bool {
        let new = [sizes.c_size, sizes.u_size, sizes.d_size]
            .into_iter()
            .find(|size| *size != 0)
            .unwrap_or(0);
        let role = self.device(index).map(|device| device.state.role);
        if new == 0 || new == current || (current != 0 && sizes.d_size == 0) {
            return true;
        }
        if new < current && role == Some(Role::Primary) {
            self.log(index, LogMessage::PeerDiskTooSmall { new, current });
            return false;
        }
        self.set_size(index, new)
    }

    /// The device has this size from now on. False where the metadata cannot describe it.
    pub(super) fn set_size(&mut self, index: DeviceIndex, sectors: u64) -> bool {
        let Some(device) = self.device_mut(index) else {
            return false;
        };
        let old = device.size;
        if let Some(disk) = device.disk.as_mut() {
            if bits_for_sectors(sectors) != disk.bitmap.bits() {
                // The storage was lent for the largest size that the own disk allows.
                if disk
                    .bitmap
                    .resize_in_place(bits_for_sectors(sectors), true)
                    .is_err()
                {
                    return false;
                }
            }
            if disk.superblock.effective_size != sectors {
                disk.superblock.effective_size = sectors;
                self.superblock_changed(index);
            }
        }
        if old != sectors {
            if let Some(device) = self.device_mut(index) {
                device.size = sectors;
            }
            self.event(Event::Resized {
                device: index,
                sectors,
            });
            self.log(index, LogMessage::SizeChanged { sectors });
        }
        true
    }

    /// Both nodes cannot work together: no use in trying again.
    pub(super) fn give_up_connection(&mut self) {
        if matches!(
            self.connection.phase,
            Phase::Features | Phase::Challenge | Phase::Response
        ) {
            self.log(None, LogMessage::DiscardingNetwork);
        }
        let _ = self.change_connection(
            Change::none().connection(ConnectionState::Disconnecting),
            true,
        );
        if self.connection.phase != Phase::Down {
            self.shut_sockets();
        }
    }
}

const DISKLESS_LIMITS: QueueLimits = QueueLimits {
    physical_block_size: 512,
    logical_block_size: 512,
    alignment_offset: 0,
    io_min: 512,
    io_opt: 0,
    discard_enabled: 1,
    discard_zeroes_data: 0,
    write_same_capable: 0,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_disk_counts() {
        assert_eq!(negotiated_size(100, 80, 0, 0), 80);
        assert_eq!(negotiated_size(100, 0, 0, 0), 100);
        assert_eq!(negotiated_size(0, 80, 0, 0), 80);
        assert_eq!(negotiated_size(100, 0, 60, 0), 60);
        assert_eq!(negotiated_size(50, 0, 60, 0), 50);
    }

    #[test]
    fn a_wish_can_only_make_it_smaller() {
        assert_eq!(negotiated_size(100, 80, 0, 40), 40);
        assert_eq!(negotiated_size(100, 80, 0, 90), 80);
    }
}
