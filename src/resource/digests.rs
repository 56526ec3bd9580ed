// SPDX-License-Identifier: GPL-2.0-only

//! The digests that resync and verify compare.

use drbd_core::{
    resource::{
        device::DeviceIndex,
        digest::Algorithm, //
    },
    return_code::ReturnCode,
    slab::Id, //
};
use kernel::sync::Arc;

use super::{
    algorithms::Algorithms,
    Guarded,
    Resource, //
};
use crate::{
    disk::io::PageIo,
    kernel_api::{
        digest::{
            Digest,
            MAX_DIGEST_SIZE, //
        },
        pages::PageBio, //
    },
};

const _: () = assert!(MAX_DIGEST_SIZE == drbd_core::resource::digest::MAX_DIGEST);

/// A digest that the engine wants.
pub(crate) struct Task {
    /// `None` where the algorithm went.
    digest: Option<Arc<Digest>>,
    /// `None` where the block could not be read.
    pages: Option<PageBio<PageIo>>,
    /// The pages may have to be sent.
    keep: bool,
    index: DeviceIndex,
    id: Id,
}

impl Guarded {
    /// Takes what the digest of a peer request needs.
    pub(crate) fn digest_task(&mut self, index: DeviceIndex, id: Id) -> Task {
        let purpose = self
            .engine
            .peer_request(index, id)
            .map(|request| request.purpose);
        let conf = self.engine.connection().conf();
        let name = conf
            .zip(purpose.and_then(|purpose| purpose.algorithm()))
            .map(|(conf, algorithm)| match algorithm {
                Algorithm::Verify => &conf.verify_alg,
                Algorithm::Checksums => &conf.csums_alg,
            });
        Task {
            digest: name.and_then(|name| self.algorithms.find(name)),
            pages: self.take_pages(index, id),
            keep: purpose.is_some_and(|purpose| purpose.needs_data_after_digest()),
            index,
            id,
        }
    }
}

impl Task {
    /// Computes, and tells the engine. Takes as long as it takes to look at each byte.
    pub(crate) fn carry_out(self, resource: &Resource) {
        let Self {
            digest,
            pages,
            keep,
            index,
            id,
        } = self;
        let mut buffer = [0; MAX_DIGEST_SIZE];
        let size = digest.and_then(|digest| match &pages {
            Some(pages) => digest
                .of_vecs(pages.vecs(), &mut buffer)
                .map(<[u8]>::len)
                .ok(),
            None => Some(digest.size()),
        });
        let bytes = size.and_then(|size| buffer.get(..size));
        // Others may wait for these pages.
        let mut pages = pages.filter(|_| keep);
        resource.engine_in_irq(|guarded| {
            pages = pages
                .take()
                .and_then(|pages| guarded.keep_pages(index, id, pages));
            guarded.engine.digest_done(index, id, bytes);
        });
        drop(pages);
    }
}

impl Resource {
    /// The peer was configured to use other digests: this node follows, if it has them. False where the nodes cannot work
    /// together. Sleeps.
    pub(crate) fn follow_algorithms(self: &Arc<Self>, device: DeviceIndex) -> bool {
        let conf = self.peek(|guarded| guarded.engine.wanted_configuration());
        let Some(conf) = conf else {
            return false;
        };
        let found = Algorithms::prepare(&conf);
        let missing = found.as_ref().err().map(|code| match code {
            ReturnCode::VerifyAlg => Algorithm::Verify,
            _ => Algorithm::Checksums,
        });
        let (followed, old) = self.guarded(|guarded| {
            let old = found
                .ok()
                .map(|found| core::mem::replace(&mut guarded.algorithms, found));
            (guarded.engine.algorithms_found(device, missing), old)
        });
        // What is not used any more goes here, where that may sleep.
        drop(old);
        followed.is_ok()
    }
}
