// SPDX-License-Identifier: GPL-2.0-only

//! What the engine's numbers stand for: bios of applications, and pages with data of the peer.

use drbd_core::{
    resource::device::DeviceIndex,
    slab::Id, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

use super::{
    Guarded,
    PEER_REQUESTS,
    REQUESTS, //
};
use crate::{
    disk::{
        backing::Attached,
        io::PageIo, //
    },
    kernel_api::{
        bio::{
            Bio,
            IoStart, //
        },
        pages::PageBio, //
    },
};

/// A bio that an application waits for.
pub(crate) struct Waiting {
    pub(crate) bio: Bio,
    pub(crate) start: IoStart,
}

/// The tokens of one device.
pub(crate) struct Shelf {
    bios: VVec<Option<Waiting>>,
    pages: VVec<Option<PageBio<PageIo>>>,
    /// The backing disk, while one is attached.
    pub(crate) backing: Option<Arc<Attached>>,
}

impl Shelf {
    /// Room for all that the engine can have under way. Sleeps.
    pub(crate) fn new() -> Result<KBox<Self>> {
        let mut bios = VVec::with_capacity(REQUESTS, GFP_KERNEL)?;
        for _ in 0..REQUESTS {
            bios.push(None, GFP_KERNEL)?;
        }
        let mut pages = VVec::with_capacity(PEER_REQUESTS, GFP_KERNEL)?;
        for _ in 0..PEER_REQUESTS {
            pages.push(None, GFP_KERNEL)?;
        }
        let shelf = Self {
            bios,
            pages,
            backing: None,
        };
        Ok(KBox::new(shelf, GFP_KERNEL)?)
    }
}

impl Guarded {
    /// The tokens of a device.
    pub(crate) fn shelf(&mut self, index: DeviceIndex) -> Option<&mut Shelf> {
        self.shelves.get_mut(usize::from(index.0))?.as_deref_mut()
    }

    fn bio_place(&mut self, index: DeviceIndex, id: Id) -> Option<&mut Option<Waiting>> {
        self.shelf(index)?.bios.get_mut(id.index() as usize)
    }

    fn pages_place(&mut self, index: DeviceIndex, id: Id) -> Option<&mut Option<PageBio<PageIo>>> {
        self.shelf(index)?.pages.get_mut(id.index() as usize)
    }

    /// Keeps a bio for a request. Gives back what cannot be kept.
    pub(crate) fn keep_bio(&mut self, index: DeviceIndex, id: Id, bio: Waiting) -> Option<Waiting> {
        match self.bio_place(index, id) {
            Some(place) => place.replace(bio),
            None => Some(bio),
        }
    }

    /// The bio of a request.
    pub(crate) fn bio(&mut self, index: DeviceIndex, id: Id) -> Option<&Waiting> {
        self.bio_place(index, id)?.as_ref()
    }

    /// Takes the bio of a request.
    pub(crate) fn take_bio(&mut self, index: DeviceIndex, id: Id) -> Option<Waiting> {
        self.bio_place(index, id)?.take()
    }

    /// Keeps the pages of a peer request. Gives back what was there.
    pub(crate) fn keep_pages(
        &mut self,
        index: DeviceIndex,
        id: Id,
        pages: PageBio<PageIo>,
    ) -> Option<PageBio<PageIo>> {
        match self.pages_place(index, id) {
            Some(place) => place.replace(pages),
            None => Some(pages),
        }
    }

    /// Takes the pages of a peer request.
    pub(crate) fn take_pages(&mut self, index: DeviceIndex, id: Id) -> Option<PageBio<PageIo>> {
        self.pages_place(index, id)?.take()
    }

    /// The backing disk of a device.
    pub(crate) fn backing(&mut self, index: DeviceIndex) -> Option<Arc<Attached>> {
        self.shelf(index)?.backing.clone()
    }
}
