// SPDX-License-Identifier: GPL-2.0-only

//! A digest in front of the data in each packet, so that what a network breaks never reaches a disk.
//!
//! Each node says with `P_PROTOCOL` which digest it puts there, and with `P_PROTOCOL_UPDATE` that it is another one from
//! that packet on. The engine counts the bytes; the shell, which has the data, computes.

use super::connection::DataItem;
use super::device::DeviceIndex;
use super::log::LogMessage;
use super::receive::{ReceiveError, Received};
use super::Resource;
use crate::config::net::NetConf;
use crate::config::text::Text;
use crate::slab::Id;
use crate::state::ConnectionState;
use crate::wire::{AlgorithmName, ConnectionFeatures, FeatureFlags};

/// The digest of one direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integrity {
    name: Text<63>,
    size: u32,
}

impl Integrity {
    /// None.
    pub const NONE: Self = Self {
        name: Text::EMPTY,
        size: 0,
    };

    /// The one that `conf` names, `size` bytes long; none where it names none.
    pub(super) fn of(conf: &NetConf, size: u32) -> Self {
        if conf.integrity_alg.is_empty() {
            return Self::NONE;
        }
        Self {
            name: conf.integrity_alg,
            size,
        }
    }

    /// Its name in the kernel's crypto API; empty for none.
    pub fn name(&self) -> &Text<63> {
        &self.name
    }

    /// Bytes in front of the data; 0 for none.
    pub fn size(&self) -> u32 {
        self.size
    }
}

impl Resource<'_> {
    /// The digest that belongs to the packet that [`next_data_packet`](Self::next_data_packet) gave last.
    pub fn integrity(&self) -> &Integrity {
        &self.connection.integrity
    }

    /// The digest in front of the data that comes from the peer.
    pub fn peer_integrity(&self) -> &Integrity {
        &self.connection.peer_integrity
    }

    /// The peer is about to hear of our settings: from here on they count.
    pub(super) fn own_integrity_begins(&mut self) {
        self.connection.integrity = self.connection.configured_integrity;
    }

    /// The peer's data begins with another digest from here on.
    pub(super) fn peer_integrity_begins(&mut self, name: &AlgorithmName) -> Received {
        let name = Text::truncated(name.as_bytes());
        let configured = self.connection.conf.as_ref().map(|conf| conf.integrity_alg);
        if configured != Some(name) {
            self.log(None, LogMessage::PeerIntegrity(name));
        }
        self.connection.peer_integrity = Integrity { name, size: 0 };
        if name.is_empty() {
            Received::Done
        } else {
            Received::PeerAlgorithm
        }
    }

    /// The digest that [`peer_integrity`](Self::peer_integrity) names has so many bytes; `None` where there is none of that
    /// name.
    ///
    /// # Errors
    ///
    /// It is not there: the connection is given up.
    pub fn peer_algorithm(&mut self, size: Option<u32>) -> Result<(), ReceiveError> {
        let peer = &mut self.connection.peer_integrity;
        match size {
            Some(size) if size > 0 => {
                peer.size = size;
                Ok(())
            }
            _ => {
                let name = peer.name;
                self.log(None, LogMessage::UnknownPeerIntegrity(name));
                self.give_up_connection();
                Err(ReceiveError::Incompatible)
            }
        }
    }

    /// Bytes of data in a payload from the peer.
    pub(super) fn data_size(&self, payload: u32) -> Result<u32, ReceiveError> {
        payload
            .checked_sub(self.connection.peer_integrity.size)
            .ok_or(ReceiveError::Malformed("shorter than its digest"))
    }

    /// The pages of a peer request do not hold what the peer sent, by its digest. They never reach the disk.
    pub fn peer_payload_corrupt(&mut self, index: DeviceIndex, id: Id) -> ReceiveError {
        if let Some(request) = self.peer_request(index, id) {
            let (sector, size) = (request.sector, request.size);
            self.log(index, LogMessage::DigestMismatch { sector, size });
        }
        self.peer_payload_received(index, id, false);
        ReceiveError::Corrupt
    }

    /// The bio of a read does not hold what the peer sent, by its digest. Its application never sees it.
    pub fn read_reply_corrupt(&mut self, index: DeviceIndex, id: Id) -> ReceiveError {
        self.log(index, LogMessage::ReadDigestMismatch);
        self.read_reply_received(index, id, false);
        ReceiveError::Corrupt
    }

    /// Somebody wrote to the pages of a request while they were sent: the digest is of something else than what they hold
    /// now.
    pub fn buffer_was_changed(&mut self, index: DeviceIndex, id: Id) {
        if let Some(request) = self.request(index, id) {
            let (sector, size) = (request.io.sector, request.io.size);
            self.log(index, LogMessage::BufferChanged { sector, size });
        }
    }

    /// The features that this node offers on a link that begins.
    ///
    /// With a digest 8.4 looks for one behind `P_ZEROES` as well, where no node puts one: who has digests does without
    /// that packet.
    pub(super) fn features_to_offer(&self) -> FeatureFlags {
        let ours = ConnectionFeatures::ours().feature_flags;
        if self.connection.configured_integrity.size > 0 {
            ours.difference(FeatureFlags::WZEROES)
        } else {
            ours
        }
    }

    /// What was configured, for the next link or, with `P_PROTOCOL_UPDATE`, for this one.
    pub(super) fn configure_integrity(&mut self, conf: &NetConf, size: u32) {
        self.connection.configured_integrity = Integrity::of(conf, size);
    }

    /// Tells the peer of new settings.
    pub(super) fn announce_settings(&mut self) {
        if self.connection.phase == super::connection::Phase::Open
            && self.connection.agreed_protocol >= 100
            && self.connection.state > ConnectionState::TearDown
        {
            self.send_data(DataItem::ProtocolUpdate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::authenticate::tests::{feed, node_with, outgoing, talk};
    use super::*;

    /// In these tests a digest is as long as its name.
    fn conf(name: &[u8]) -> NetConf {
        NetConf {
            integrity_alg: Text::new(name).unwrap(),
            ..NetConf::default()
        }
    }

    fn node(name: &[u8], challenge: u8) -> Resource<'static> {
        node_with(conf(name), u32::try_from(name.len()).unwrap(), challenge)
    }

    #[test]
    fn both_have_the_same() {
        let (mut left, mut right) = (node(b"sha1", 1), node(b"sha1", 2));
        assert_eq!(talk([&mut left, &mut right]), [Ok(()), Ok(())]);
        for node in [&left, &right] {
            assert_eq!(
                (node.integrity().size(), node.peer_integrity().size()),
                (4, 4)
            );
            assert!(!node.connection().features().contains(FeatureFlags::WZEROES));
        }
    }

    #[test]
    fn without_digests_zeroes_have_their_packet() {
        let (mut left, mut right) = (node(b"", 1), node(b"", 2));
        assert_eq!(talk([&mut left, &mut right]), [Ok(()), Ok(())]);
        assert!(left.connection().features().contains(FeatureFlags::WZEROES));
        assert_eq!(left.data_size(4096), Ok(4096));
    }

    #[test]
    fn different_ones_do_not_connect() {
        let (mut left, mut right) = (node(b"sha1", 1), node(b"md5", 2));
        let refused = Err(ReceiveError::Incompatible);
        assert_eq!(talk([&mut left, &mut right]), [refused, refused]);
    }

    #[test]
    fn a_change_counts_from_its_packet_on() {
        let (mut left, mut right) = (node(b"sha1", 1), node(b"sha1", 2));
        assert_eq!(talk([&mut left, &mut right]), [Ok(()), Ok(())]);
        left.set_net_options(conf(b"sha256"), 6);
        assert_eq!(left.integrity().size(), 4);
        let update = outgoing(&mut left);
        assert_eq!(left.integrity().size(), 6);
        assert_eq!(right.peer_integrity().size(), 4);
        assert_eq!(feed(&mut right, &update), Ok(()));
        assert_eq!(right.peer_integrity().name().as_bytes(), b"sha256");
        assert_eq!(right.peer_integrity().size(), 6);
        // What the right one sends is as before, and so is what the left one expects.
        assert_eq!(
            (right.integrity().size(), left.peer_integrity().size()),
            (4, 4)
        );
        left.set_net_options(conf(b""), 0);
        let update = outgoing(&mut left);
        assert_eq!(feed(&mut right, &update), Ok(()));
        assert_eq!(right.peer_integrity(), &Integrity::NONE);
    }

    #[test]
    fn an_unknown_one_ends_the_connection() {
        let (mut left, mut right) = (node(b"sha1", 1), node(b"sha1", 2));
        assert_eq!(talk([&mut left, &mut right]), [Ok(()), Ok(())]);
        assert_eq!(left.peer_algorithm(None), Err(ReceiveError::Incompatible));
        assert_eq!(left.connection().state(), ConnectionState::Disconnecting);
    }

    #[test]
    fn a_payload_shorter_than_its_digest() {
        let (mut left, mut right) = (node(b"sha1", 1), node(b"sha1", 2));
        assert_eq!(talk([&mut left, &mut right]), [Ok(()), Ok(())]);
        assert_eq!(left.data_size(516), Ok(512));
        assert!(matches!(left.data_size(3), Err(ReceiveError::Malformed(_))));
    }
}
