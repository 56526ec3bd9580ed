// SPDX-License-Identifier: GPL-2.0-only

//! Which digests both nodes use (`P_SYNC_PARAM`): while connecting they must be configured alike; later, a change on one
//! node is taken over by the other.

use super::device::DeviceIndex;
use super::digest::Algorithm;
use super::log::LogMessage;
use super::receive::{ReceiveError, Received};
use super::Resource;
use crate::config::{NetConf, Text};
use crate::state::ConnectionState;
use crate::wire::SyncParam;

/// The name of an algorithm.
pub type Name = Text<63>;

/// Algorithms that the peer now uses, and this node does not yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `verify-alg`
    pub verify: Option<Name>,
    /// `csums-alg`
    pub checksums: Option<Name>,
}

impl Wanted {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = (Algorithm, Name)> {
        let verify = self.verify.map(|name| (Algorithm::Verify, name));
        let checksums = self.checksums.map(|name| (Algorithm::Checksums, name));
        verify.into_iter().chain(checksums)
    }
}

impl Wanted {
    fn apply_to(&self, conf: &mut NetConf) {
        if let Some(name) = self.verify {
            conf.verify_alg = name;
        }
        if let Some(name) = self.checksums {
            conf.csums_alg = name;
        }
    }
}

impl Algorithm {
    /// The option that names it.
    pub const fn option(self) -> &'static str {
        match self {
            Self::Verify => "verify-alg",
            Self::Checksums => "csums-alg",
        }
    }
}

impl Resource<'_> {
    /// Compares the algorithms of the peer with ours.
    pub(super) fn compare_algorithms(
        &mut self,
        index: DeviceIndex,
        param: &SyncParam,
    ) -> Result<Received, ReceiveError> {
        let agreed = self.connection.agreed_protocol;
        let Some(conf) = self.connection.conf.as_ref() else {
            return Err(ReceiveError::GoingDown);
        };
        let connecting = self
            .device(index)
            .is_some_and(|device| device.state.connection == ConnectionState::WFReportParams);
        let mut wanted = Wanted::default();
        for (algorithm, since, own, peer, place) in [
            (
                Algorithm::Verify,
                88,
                conf.verify_alg,
                param.verify_alg,
                &mut wanted.verify,
            ),
            (
                Algorithm::Checksums,
                89,
                conf.csums_alg,
                param.csums_alg,
                &mut wanted.checksums,
            ),
        ] {
            let peer = Name::truncated(peer.as_bytes());
            if agreed < since || own == peer {
                continue;
            }
            if connecting {
                let option = algorithm.option();
                self.log(index, LogMessage::DifferentAlgorithms { option, own, peer });
                self.give_up_connection();
                return Err(ReceiveError::Incompatible);
            }
            // One that is used no more on the other node does no harm on this one.
            *place = Some(peer).filter(|peer| !peer.is_empty());
        }
        if wanted == Wanted::default() {
            return Ok(Received::Done);
        }
        self.connection.wanted_algorithms = wanted;
        Ok(Received::Algorithms { device: index })
    }

    /// What [`Received::Algorithms`] is about.
    pub fn wanted_algorithms(&self) -> Wanted {
        self.connection.wanted_algorithms
    }

    /// The configuration of the connection with these in it.
    pub fn wanted_configuration(&self) -> Option<NetConf> {
        let mut conf = self.connection.conf.clone()?;
        self.connection.wanted_algorithms.apply_to(&mut conf);
        Some(conf)
    }

    /// The shell has looked for them: `missing` is one that this machine does not have.
    ///
    /// # Errors
    ///
    /// The nodes cannot work together.
    pub fn algorithms_found(
        &mut self,
        index: DeviceIndex,
        missing: Option<Algorithm>,
    ) -> Result<(), ReceiveError> {
        let wanted = core::mem::take(&mut self.connection.wanted_algorithms);
        for (algorithm, name) in wanted.iter() {
            let option = algorithm.option();
            if missing == Some(algorithm) {
                self.log(index, LogMessage::NoSuchAlgorithm { option, name });
            }
        }
        if missing.is_some() {
            self.give_up_connection();
            return Err(ReceiveError::Incompatible);
        }
        let Some(conf) = self.connection.conf.as_mut() else {
            return Err(ReceiveError::GoingDown);
        };
        wanted.apply_to(conf);
        for (algorithm, name) in wanted.iter() {
            let option = algorithm.option();
            self.log(index, LogMessage::UsingAlgorithm { option, name });
        }
        Ok(())
    }
}
