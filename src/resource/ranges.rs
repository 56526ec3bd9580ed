// SPDX-License-Identifier: GPL-2.0-only

//! Discards and write-zeroes, of applications and of the peer.
//!
//! A disk may take such a range in several steps, with writes of zeros among them, and the block layer's functions for
//! that wait. An application's own context cannot wait for block I/O from within its submission, and the threads that
//! others depend on should not: so these have a thread of their own, which takes one after the other.

use drbd_core::{
    resource::{
        device::DeviceIndex,
        effect::Effect,
        request::Operation, //
    },
    wire::DataFlags, //
};
use kernel::sync::Arc;

use super::{
    Guarded,
    Resource, //
};
use crate::{
    disk::{
        backing::{
            Attached,
            Clear, //
        },
        io::{
            LocalIo,
            LocalIoContext, //
        }, //
    },
    kernel_api::{
        bio_set::EndIo,
        block_status::BlkStatus,
        kthread::StopFlag,
        noio::NoIo, //
    },
};

/// One range to be cleared.
struct Range {
    /// Gone where the disk is.
    backing: Option<Arc<Attached>>,
    how: Clear,
    sector: u64,
    sectors: u64,
    index: DeviceIndex,
    io: LocalIo,
}

/// The thread.
pub(crate) fn run(resource: &Arc<Resource>, stop: &StopFlag) {
    let _noio = NoIo::enter();
    while resource.range_work.wait(stop) {
        while let Some(range) = resource.peek(Guarded::next_range) {
            clear(resource, range);
        }
    }
}

fn clear(resource: &Arc<Resource>, range: Range) {
    let Range {
        backing,
        how,
        sector,
        sectors,
        index,
        io,
    } = range;
    let cleared = backing
        .as_ref()
        .is_some_and(|backing| backing.clear(how, sector, sectors).is_ok());
    // Before the engine hears of the end, so that who then closes the disk has nothing to wait for.
    drop(backing);
    let context = LocalIoContext {
        resource: resource.clone(),
        index,
        io,
    };
    let status = if cleared {
        BlkStatus::OK
    } else {
        BlkStatus::IO_ERROR
    };
    LocalIo::end_io(context, status);
}

impl Guarded {
    /// Keeps an effect for the thread if it is one about a range. False where it is another.
    pub(super) fn keep_range(&mut self, effect: Effect) -> bool {
        let operation = match effect {
            Effect::SubmitRequest { device, request } => self
                .engine
                .request_io(device, request)
                .map(|io| io.operation),
            Effect::SubmitPeerRequest {
                device,
                peer_request,
            } => self
                .engine
                .peer_request(device, peer_request)
                .map(|request| request.operation),
            _ => None,
        };
        let is_range = matches!(operation, Some(Operation::Discard | Operation::WriteZeroes));
        // There is room for all requests that there can be.
        is_range && self.ranges.push(effect).is_ok()
    }

    fn next_range(&mut self) -> Option<Range> {
        loop {
            match self.ranges.pop()? {
                Effect::SubmitRequest { device, request } => {
                    let io = self.engine.request_io(device, request)?;
                    let how = match io.operation {
                        Operation::Discard => Clear::Discard,
                        _ => Clear::Zero {
                            keep_space: !io.unmap,
                        },
                    };
                    return Some(Range {
                        backing: self.backing(device),
                        how,
                        sector: io.sector,
                        sectors: io.sectors(),
                        index: device,
                        io: LocalIo::Request(request),
                    });
                }
                Effect::SubmitPeerRequest {
                    device,
                    peer_request: id,
                } => {
                    let request = *self.engine.peer_request(device, id)?;
                    let reliable = self
                        .engine
                        .device(device)
                        .and_then(|device| device.disk())
                        .is_some_and(|disk| disk.conf.discard_zeroes_if_aligned);
                    let how = match request.operation {
                        Operation::Discard if reliable => Clear::Discard,
                        Operation::Discard => Clear::Zero { keep_space: false },
                        _ => Clear::Zero {
                            keep_space: !request.flags.contains(DataFlags::DISCARD),
                        },
                    };
                    return Some(Range {
                        backing: self.backing(device),
                        how,
                        sector: request.sector,
                        sectors: request.sectors(),
                        index: device,
                        io: LocalIo::PeerRange(id),
                    });
                }
                _ => {}
            }
        }
    }
}
