// SPDX-License-Identifier: GPL-2.0-only

//! The digests that the options of a connection name, ready to compute.

use drbd_core::{
    config::{
        NetConf,
        Text, //
    },
    return_code::ReturnCode, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc, //
};

use crate::kernel_api::digest::Digest;

/// The name of a digest, as options have it.
type Name = Text<63>;

/// The digests of a connection.
pub(crate) struct Algorithms {
    /// By name, each once.
    plain: KVec<(Name, Arc<Digest>)>,
    /// `cram-hmac-alg`, keyed with the secret.
    signer: Option<Arc<Digest>>,
}

impl Algorithms {
    /// No digests.
    pub(crate) const fn none() -> Self {
        Self {
            plain: KVec::new(),
            signer: None,
        }
    }

    /// Those that `conf` names, if need be after loading modules. Sleeps; not on the path of I/O.
    ///
    /// # Errors
    ///
    /// The return code of the first option whose digest the kernel does not have, in the order of 8.4.
    pub(crate) fn prepare(conf: &NetConf) -> Result<Self, ReturnCode> {
        let mut algorithms = Self {
            // One more than the options name: see `keep`.
            plain: KVec::with_capacity(4, GFP_KERNEL).map_err(|_| ReturnCode::NoMemory)?,
            signer: None,
        };
        for (name, code) in [
            (&conf.csums_alg, ReturnCode::CsumsAlg),
            (&conf.verify_alg, ReturnCode::VerifyAlg),
            (&conf.integrity_alg, ReturnCode::IntegrityAlg),
        ] {
            algorithms.add(name).map_err(|_| code)?;
        }
        if !conf.cram_hmac_alg.is_empty() {
            let signer = signer(conf).map_err(|_| ReturnCode::AuthAlg)?;
            algorithms.signer = Some(signer);
        }
        Ok(algorithms)
    }

    /// Adds the digest of this name, unless it is there or the name is empty. Sleeps.
    fn add(&mut self, name: &Name) -> Result {
        if name.is_empty() || self.find(name).is_some() {
            return Ok(());
        }
        let digest = Arc::new(load(name)?, GFP_KERNEL)?;
        self.plain.push((*name, digest), GFP_KERNEL)?;
        Ok(())
    }

    /// The digest of this name.
    pub(crate) fn find(&self, name: &Name) -> Option<Arc<Digest>> {
        let found = self.plain.iter().find(|(own, _)| own == name);
        found.map(|(_, digest)| digest.clone())
    }

    /// Keeps the digest of this name of `old`, which may still be in use. Any context.
    pub(crate) fn keep(&mut self, old: &Self, name: &Name) {
        if self.find(name).is_none() {
            if let Some(digest) = old.find(name) {
                // There is room: see `prepare`. Without, the next data would cost the connection.
                let _ = self.plain.push_within_capacity((*name, digest));
            }
        }
    }

    /// The length of a digest of this name, in bytes; 0 where there is none.
    pub(crate) fn size_of(&self, name: &Name) -> u32 {
        let size = self.find(name).map_or(0, |digest| digest.size());
        u32::try_from(size).unwrap_or(0)
    }

    /// What signs with the secret.
    pub(crate) fn signer(&self) -> Option<Arc<Digest>> {
        self.signer.clone()
    }
}

/// The digest of this name. Sleeps.
pub(crate) fn load(name: &Name) -> Result<Digest> {
    let name = name.as_str().ok_or(ENOENT)?;
    Digest::new(&CString::try_from_fmt(fmt!("{name}"))?)
}

fn signer(conf: &NetConf) -> Result<Arc<Digest>> {
    let name = conf.cram_hmac_alg.as_str().ok_or(ENOENT)?;
    let digest = Digest::hmac(name, conf.shared_secret.as_bytes())?;
    Ok(Arc::new(digest, GFP_KERNEL)?)
}
