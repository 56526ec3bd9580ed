// SPDX-License-Identifier: GPL-2.0-only

//! What happens when the backing disk ends an I/O. All of it may run in interrupts.

use drbd_core::{
    resource::device::DeviceIndex,
    slab::Id, //
};
use kernel::sync::Arc;

use crate::{
    kernel_api::{
        bio_set::EndIo,
        block_status::BlkStatus,
        pages::{
            PageBio,
            PagesEndIo, //
        }, //
    },
    resource::Resource, //
};

/// I/O without pages of our own.
#[derive(Clone, Copy)]
pub(crate) enum LocalIo {
    /// The copy of an application's bio.
    Request(Id),
    /// A discard or write-zeroes of the peer.
    PeerRange(Id),
    /// A flush that a barrier waits for.
    Flush,
}

/// Whose it is.
///
/// The reference to the resource is never the last: whoever closes the disk has one, and waits for its I/O.
pub(crate) struct LocalIoContext {
    pub(crate) resource: Arc<Resource>,
    pub(crate) index: DeviceIndex,
    pub(crate) io: LocalIo,
}

impl EndIo for LocalIo {
    type Context = LocalIoContext;

    fn end_io(context: LocalIoContext, status: BlkStatus) {
        let LocalIoContext {
            resource,
            index,
            io,
        } = context;
        let success = status.is_ok();
        resource.engine_in_irq(|guarded| match io {
            LocalIo::Request(id) => guarded.engine.local_io_done(index, id, success),
            LocalIo::PeerRange(id) => guarded.engine.peer_io_done(index, id, success),
            LocalIo::Flush => guarded.engine.flush_done(index, success),
        });
    }
}

/// What pages of our own are for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// Data of the peer, to the disk.
    Write(Id),
    /// Data for the peer, from the disk.
    Read(Id),
    /// The superblock.
    Superblock,
    /// A transaction of the activity log.
    ActivityLog,
    /// A page of the bitmap.
    BitmapPage(u32),
}

/// I/O with pages of our own.
pub(crate) struct PageIo;

/// Whose it is; the reference as in [`LocalIoContext`].
pub(crate) struct PageIoContext {
    pub(crate) resource: Arc<Resource>,
    pub(crate) index: DeviceIndex,
    pub(crate) purpose: Purpose,
}

impl PageIoContext {
    /// Tells the engine if all that was read are zeros, where it wants to know. Any context.
    fn look_for_zeros(&self, id: Id, pages: &PageBio<PageIo>) {
        let wanted = self
            .resource
            .peek(|guarded| guarded.engine.wants_to_know_zeros(self.index, id));
        if wanted && pages.is_all_zero() {
            self.resource
                .peek(|guarded| guarded.engine.read_only_zeros(self.index, id));
        }
    }

    /// Tells the engine. Any context.
    pub(crate) fn finished(self, success: bool) {
        let Self {
            resource,
            index,
            purpose,
        } = self;
        resource.engine_in_irq(|guarded| {
            let engine = &mut guarded.engine;
            match purpose {
                Purpose::Write(id) | Purpose::Read(id) => engine.peer_io_done(index, id, success),
                Purpose::Superblock => engine.superblock_written(index, success),
                Purpose::ActivityLog => engine.activity_log_written(index, success),
                Purpose::BitmapPage(page) => engine.bitmap_page_written(index, page, success),
            }
        });
    }
}

impl PagesEndIo for PageIo {
    type Context = PageIoContext;

    fn end_io(context: PageIoContext, pages: PageBio<Self>, status: BlkStatus) {
        if let Purpose::Read(id) = context.purpose {
            context.look_for_zeros(id, &pages);
        }
        let unused = match context.purpose {
            // What was read is for the peer.
            Purpose::Read(id) if status.is_ok() => context
                .resource
                .peek(|guarded| guarded.keep_pages(context.index, id, pages)),
            _ => Some(pages),
        };
        drop(unused);
        context.finished(status.is_ok());
    }
}
