// SPDX-License-Identifier: GPL-2.0-only

//! Two nodes prove to each other that they know the same secret, before either says anything about its data.
//!
//! Each sends random bytes, and the other answers with a digest of them, keyed with the secret (CRAM-HMAC). The engine
//! knows neither digests nor, but for its place in the configuration, the secret: it says what has to be
//! [signed](Resource::to_sign), and the shell comes back with the [signature](Resource::signed).
//!
//! C: `drbd_do_auth()`.

use core::fmt;

use super::connection::{DataItem, Phase};
use super::log::{Level, LogMessage};
use super::receive::{Head, ReceiveError, Received};
use super::send::{Outgoing, Payload};
use super::Resource;
use crate::num::{u32_to_usize, usize_to_u64};
use crate::wire::setup::{CHALLENGE_SIZE, CHALLENGE_SIZE_MAX};
use crate::wire::{Command, Packet};

/// Bytes that a node has its peer sign.
pub const OWN_CHALLENGE: usize = u32_to_usize(CHALLENGE_SIZE);
/// Bytes that a peer may have this node sign, at most.
pub const PEER_CHALLENGE_MAX: usize = u32_to_usize(CHALLENGE_SIZE_MAX);
/// Bytes of a signature at most: the longest digest that the kernel knows.
pub const SIGNATURE_MAX: usize = 64;

/// What goes to and fro on one link.
#[derive(Clone, Copy)]
pub(super) struct Authentication {
    /// What the peer has to sign.
    challenge: [u8; OWN_CHALLENGE],
    /// Our signature below what the peer sent.
    response: [u8; SIGNATURE_MAX],
    response_length: usize,
}

impl Authentication {
    /// Nothing was sent; `challenge` are fresh random bytes.
    pub(super) const fn new(challenge: [u8; OWN_CHALLENGE]) -> Self {
        Self {
            challenge,
            response: [0; SIGNATURE_MAX],
            response_length: 0,
        }
    }

    fn response(&self) -> &[u8] {
        self.response.get(..self.response_length).unwrap_or(&[])
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authentication(..)")
    }
}

/// What a log says about it, in the words of 8.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthNote {
    /// Another packet came in its place.
    Expected {
        /// The name of the packet that should have come.
        name: &'static str,
        /// The name of what came.
        received: &'static str,
        /// Its number.
        number: u16,
    },
    /// The peer wants less signed than is safe.
    ChallengeTooSmall,
    /// The peer wants more signed than is decent.
    ChallengeTooBig,
    /// The peer wants signed what it was to sign.
    SameChallenge,
    /// A signature of another length.
    WrongResponseSize,
    /// The secret cannot be used: the algorithm is gone.
    CannotSign,
    /// The peer knows the secret, and proved it with so many bytes.
    Authenticated(u32),
    /// It does not.
    Failed,
    /// Something else went wrong.
    FailedForNow,
}

impl AuthNote {
    /// How grave it is.
    pub const fn level(&self) -> Level {
        match self {
            Self::Authenticated(_) => Level::Info,
            _ => Level::Error,
        }
    }
}

impl fmt::Display for AuthNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected {
                name,
                received,
                number,
            } => write!(
                f,
                "expected {name} packet, received: {received} (0x{number:04x})"
            ),
            Self::ChallengeTooSmall => write!(f, "AuthChallenge payload too small."),
            Self::ChallengeTooBig => write!(f, "expected AuthChallenge payload too big."),
            Self::SameChallenge => write!(f, "Peer presented the same challenge!"),
            Self::WrongResponseSize => write!(f, "expected AuthResponse payload of wrong size"),
            Self::CannotSign => write!(f, "cram-hmac-alg cannot be used"),
            Self::Authenticated(bytes) => {
                write!(f, "Peer authenticated using {bytes} bytes HMAC")
            }
            Self::Failed => write!(f, "Authentication of peer failed"),
            Self::FailedForNow => write!(f, "Authentication of peer failed, trying again."),
        }
    }
}

impl Resource<'_> {
    /// Whether the peer has to prove anything.
    pub(super) fn wants_authentication(&self) -> bool {
        self.connection
            .conf
            .as_ref()
            .is_some_and(|conf| !conf.cram_hmac_alg.is_empty())
    }

    /// The features are agreed on, and the peer is a stranger.
    pub(super) fn begin_authentication(&mut self) {
        self.connection.phase = Phase::Challenge;
        self.send_data(DataItem::AuthChallenge);
    }

    /// The packet `number` came in the place of another.
    pub(super) fn unexpected_while_authenticating(
        &mut self,
        name: &'static str,
        received: &'static str,
        number: u16,
    ) -> ReceiveError {
        let note = AuthNote::Expected {
            name,
            received,
            number,
        };
        // Whoever does not challenge us has another configuration; what comes later may be an accident.
        self.authentication_failed(note, self.connection.phase == Phase::Challenge)
    }

    /// The peer is not who it should be. `finally`: there is no use in trying again.
    fn authentication_failed(&mut self, note: AuthNote, finally: bool) -> ReceiveError {
        if note != AuthNote::Failed {
            self.log(None, LogMessage::Authentication(note));
        }
        if !finally {
            self.log(None, LogMessage::Authentication(AuthNote::FailedForNow));
            return ReceiveError::NotAuthenticated;
        }
        self.log(None, LogMessage::Authentication(AuthNote::Failed));
        self.give_up_connection();
        ReceiveError::Incompatible
    }

    /// `P_AUTH_CHALLENGE`, `P_AUTH_RESPONSE`: whether their payload is worth reading.
    pub(super) fn receive_authentication(&mut self, head: Head) -> Result<Received, ReceiveError> {
        let refusal = match head.command {
            Command::AuthChallenge if head.payload > CHALLENGE_SIZE_MAX => {
                Some((AuthNote::ChallengeTooBig, true))
            }
            Command::AuthChallenge if head.payload < CHALLENGE_SIZE => {
                Some((AuthNote::ChallengeTooSmall, true))
            }
            Command::AuthResponse if u64::from(head.payload) > usize_to_u64(SIGNATURE_MAX) => {
                Some((AuthNote::WrongResponseSize, false))
            }
            _ => None,
        };
        match refusal {
            Some((note, finally)) => Err(self.authentication_failed(note, finally)),
            None => Ok(Received::AuthBytes),
        }
    }

    /// What has to be signed with the secret, now that the `payload` of a packet has come: the peer's challenge, or, to
    /// compare, our own. The shell computes the keyed digest of it, and gives it to [`signed`](Self::signed), or says
    /// that it [cannot](Self::cannot_sign).
    pub fn to_sign<'p>(&'p self, head: Head, payload: &'p [u8]) -> &'p [u8] {
        match head.command {
            Command::AuthChallenge => payload,
            _ => &self.connection.authentication.challenge,
        }
    }

    /// The signature below what [`to_sign`](Self::to_sign) said.
    ///
    /// # Errors
    ///
    /// The peer did not prove that it knows the secret: the connection is to be given up.
    pub fn signed(
        &mut self,
        head: Head,
        payload: &[u8],
        signature: &[u8],
    ) -> Result<(), ReceiveError> {
        match (head.command, self.connection.phase) {
            (Command::AuthChallenge, Phase::Challenge) => self.sign_challenge(payload, signature),
            (Command::AuthResponse, Phase::Response) => self.check_response(payload, signature),
            _ => Err(ReceiveError::Unexpected),
        }
    }

    /// There is no algorithm, or no secret.
    pub fn cannot_sign(&mut self) -> ReceiveError {
        self.authentication_failed(AuthNote::CannotSign, true)
    }

    fn sign_challenge(&mut self, payload: &[u8], signature: &[u8]) -> Result<(), ReceiveError> {
        let authentication = &mut self.connection.authentication;
        // A peer that has us sign our own challenge would only have to send the signature back.
        if payload.starts_with(&authentication.challenge) {
            return Err(self.authentication_failed(AuthNote::SameChallenge, true));
        }
        let Some(target) = authentication.response.get_mut(..signature.len()) else {
            return Err(self.cannot_sign());
        };
        target.copy_from_slice(signature);
        authentication.response_length = signature.len();
        self.connection.phase = Phase::Response;
        self.send_data(DataItem::AuthResponse);
        Ok(())
    }

    fn check_response(&mut self, payload: &[u8], signature: &[u8]) -> Result<(), ReceiveError> {
        if payload.len() != signature.len() {
            return Err(self.authentication_failed(AuthNote::WrongResponseSize, false));
        }
        if signature.is_empty() || !is_same(payload, signature) {
            return Err(self.authentication_failed(AuthNote::Failed, true));
        }
        let bytes = u32::try_from(usize_to_u64(signature.len())).unwrap_or(u32::MAX);
        self.log(
            None,
            LogMessage::Authentication(AuthNote::Authenticated(bytes)),
        );
        self.connection.phase = Phase::Protocol;
        self.introduce();
        Ok(())
    }

    /// Our challenge, or our answer to the peer's.
    pub(super) fn send_authentication(
        &mut self,
        item: DataItem,
        buffer: &mut [u8],
    ) -> Option<Outgoing> {
        let authentication = self.connection.authentication;
        let (packet, bytes) = if item == DataItem::AuthChallenge {
            (Packet::AuthChallenge, authentication.challenge.as_slice())
        } else {
            (Packet::AuthResponse, authentication.response())
        };
        let length = u32::try_from(usize_to_u64(bytes.len())).ok()?;
        let head = self.encode(&packet, 0, length, buffer)?;
        let end = head.checked_add(bytes.len())?;
        buffer.get_mut(head..end)?.copy_from_slice(bytes);
        Some(Outgoing {
            head: end,
            payload: Payload::None,
        })
    }
}

/// Whether both are the same; how long that takes tells nothing about where they differ.
fn is_same(left: &[u8], right: &[u8]) -> bool {
    let difference = left
        .iter()
        .zip(right)
        .fold(0, |difference, (left, right)| difference | (left ^ right));
    left.len() == right.len() && core::hint::black_box(difference) == 0
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::connection::{ConnectionTables, LogEntry, MetaItem, ReceiveEpoch};
    use super::super::effect::{Completion, Effect, Event};
    use super::super::{ResourceTables, SEND_BUFFER};
    use super::*;
    use crate::config::net::NetConf;
    use crate::config::resource::ResourceOptions;
    use crate::config::text::{Secret, Text};
    use crate::state::ConnectionState;
    use crate::wire::{encode_packet, FeatureFlags, MAX_PACKET_HEAD};
    use std::boxed::Box;
    use std::vec;
    use std::vec::Vec;

    const SECRET: Option<&[u8]> = Some(b"open sesame");

    fn leak<T: Copy>(count: usize, value: T) -> &'static mut [T] {
        Box::leak(vec![value; count].into_boxed_slice())
    }

    /// A node that waits for the peer's first word.
    fn node(secret: Option<&[u8]>, challenge: u8) -> Resource<'static> {
        let mut conf = NetConf::default();
        if let Some(secret) = secret {
            conf.cram_hmac_alg = Text::new(b"model").unwrap();
            conf.shared_secret = Secret::new(secret);
        }
        node_with(conf, 0, challenge)
    }

    /// The same with these options.
    pub(in crate::resource) fn node_with(
        conf: NetConf,
        digest: u32,
        challenge: u8,
    ) -> Resource<'static> {
        let tables = ResourceTables {
            connection: ConnectionTables {
                data_queue: leak(300, DataItem::None),
                meta_queue: leak(300, MetaItem::None),
                transfer_log: leak(8, LogEntry::FILL),
                epochs: leak(8, ReceiveEpoch::EMPTY),
            },
            completions: leak(8, Completion::FILL),
            effects: leak(300, Effect::None),
            events: leak(300, Event::None),
        };
        let mut node = Resource::new(ResourceOptions::default(), tables);
        node.connect(conf, digest).unwrap();
        assert!(node.begin_connecting());
        assert!(node.link_up(false, [challenge; OWN_CHALLENGE]));
        node
    }

    /// Nobody's idea of a good digest, but the secret counts, and the bytes.
    fn sign(secret: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mix = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let sum = secret.iter().chain(bytes).fold(7, mix);
        sum.to_be_bytes().repeat(2)
    }

    pub(in crate::resource) fn outgoing(node: &mut Resource<'_>) -> Vec<u8> {
        let mut bytes = vec![0; SEND_BUFFER];
        let mut all = Vec::new();
        while let Some(outgoing) = node.next_data_packet(&mut bytes) {
            all.extend_from_slice(&bytes[..outgoing.head]);
        }
        all
    }

    /// Gives a node bytes; it stops reading at an error.
    pub(in crate::resource) fn feed(
        node: &mut Resource<'_>,
        mut bytes: &[u8],
    ) -> Result<(), ReceiveError> {
        while !bytes.is_empty() {
            let (header, rest) = bytes.split_at(node.header_size());
            let head = node.data_head(header)?;
            let (fixed, rest) = rest.split_at(head.fixed);
            let (payload, rest) = rest.split_at(u32_to_usize(head.payload));
            bytes = rest;
            let received = node.receive(head, fixed)?;
            if received == Received::PeerAlgorithm {
                let size = node.peer_integrity().name().as_bytes().len();
                node.peer_algorithm(u32::try_from(size).ok())?;
            }
            if received == Received::AuthBytes {
                let secret = node.connection().conf().unwrap().shared_secret;
                let signature = sign(secret.as_bytes(), node.to_sign(head, payload));
                node.signed(head, payload, &signature)?;
            }
        }
        Ok(())
    }

    pub(in crate::resource) type Ends = [Result<(), ReceiveError>; 2];

    /// Lets two nodes talk until both are silent or one has had enough.
    pub(in crate::resource) fn talk(nodes: [&mut Resource<'_>; 2]) -> Ends {
        let [left, right] = nodes;
        let mut ends: Ends = [Ok(()), Ok(())];
        for _ in 0..4 {
            let (from_left, from_right) = (outgoing(left), outgoing(right));
            ends[0] = ends[0].and_then(|()| feed(left, &from_right));
            ends[1] = ends[1].and_then(|()| feed(right, &from_left));
        }
        ends
    }

    /// What a stranger sends after the features.
    fn packet(packet: &Packet, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; MAX_PACKET_HEAD];
        let length = u32::try_from(payload.len()).unwrap();
        let features = FeatureFlags::SUPPORTED;
        let size = encode_packet(packet, 0, length, 101, features, &mut bytes).unwrap();
        bytes.truncate(size);
        bytes.extend_from_slice(payload);
        bytes
    }

    /// A node that has sent its challenge.
    fn challenger() -> Resource<'static> {
        let mut node = node(SECRET, 1);
        let features = outgoing(&mut self::node(None, 9));
        feed(&mut node, &features).unwrap();
        outgoing(&mut node);
        node
    }

    fn is_alone(node: &Resource<'_>) -> bool {
        node.connection().state() == ConnectionState::Disconnecting
    }

    #[test]
    fn the_same_secret_opens() {
        let (mut left, mut right) = (node(SECRET, 1), node(SECRET, 2));
        assert_eq!(talk([&mut left, &mut right]), [Ok(()), Ok(())]);
        for node in [&left, &right] {
            assert_eq!(node.connection.phase, Phase::Open);
        }
    }

    #[test]
    fn another_secret_ends_both() {
        let (mut left, mut right) = (node(SECRET, 1), node(Some(b"please"), 2));
        let refused = Err(ReceiveError::Incompatible);
        assert_eq!(talk([&mut left, &mut right]), [refused, refused]);
        assert!(is_alone(&left) && is_alone(&right));
    }

    #[test]
    fn one_without_secret_is_told_nothing() {
        let (mut left, mut right) = (node(SECRET, 1), node(None, 2));
        let ends = talk([&mut left, &mut right]);
        assert_eq!(
            ends,
            [
                Err(ReceiveError::Incompatible),
                Err(ReceiveError::Unexpected)
            ]
        );
        assert!(is_alone(&left) && !is_alone(&right));
        assert_eq!(left.connection.phase, Phase::Challenge);
    }

    #[test]
    fn a_stranger_gets_nothing_but_the_challenge() {
        let mut node = challenger();
        node.send_data(DataItem::Protocol);
        node.send_ping();
        assert!(outgoing(&mut node).is_empty());
        assert_eq!(node.next_meta_packets(&mut [0; SEND_BUFFER]), None);
        assert!(!node.is_introduced());
    }

    #[test]
    fn a_mirror_does_not_pass() {
        let mut node = challenger();
        let mirrored = packet(&Packet::AuthChallenge, &[1; 64]);
        assert_eq!(feed(&mut node, &mirrored), Err(ReceiveError::Incompatible));
        assert!(is_alone(&node));
        let mut node = challenger();
        let mut longer = [1; 128];
        longer[100] = 0;
        let mirrored = packet(&Packet::AuthChallenge, &longer);
        assert_eq!(feed(&mut node, &mirrored), Err(ReceiveError::Incompatible));
    }

    #[test]
    fn sizes_of_challenges() {
        for (size, result) in [
            (0, Err(ReceiveError::Incompatible)),
            (63, Err(ReceiveError::Incompatible)),
            (64, Ok(())),
            (128, Ok(())),
            (129, Err(ReceiveError::Incompatible)),
        ] {
            let mut node = challenger();
            let challenge = packet(&Packet::AuthChallenge, &vec![5; size]);
            assert_eq!(feed(&mut node, &challenge), result, "{size} bytes");
        }
    }

    #[test]
    fn responses_of_another_kind() {
        let right = sign(b"open sesame", &[1; OWN_CHALLENGE]);
        let mut wrong = right.clone();
        wrong[15] ^= 1;
        let retry = Err(ReceiveError::NotAuthenticated);
        for (response, result) in [
            (right.clone(), Ok(())),
            (wrong, Err(ReceiveError::Incompatible)),
            (right[..15].to_vec(), retry),
            (vec![], retry),
            (vec![0; 65], retry),
        ] {
            let mut node = challenger();
            feed(&mut node, &packet(&Packet::AuthChallenge, &[5; 64])).unwrap();
            let response = packet(&Packet::AuthResponse, &response);
            assert_eq!(feed(&mut node, &response), result);
            assert_eq!(node.connection.phase == Phase::Protocol, result.is_ok());
        }
    }

    #[test]
    fn nothing_else_takes_the_place_of_a_proof() {
        let mut node = challenger();
        let early = packet(&Packet::AuthResponse, &sign(b"", &[]));
        assert_eq!(feed(&mut node, &early), Err(ReceiveError::Incompatible));
        for other in [Packet::AuthChallenge, Packet::Ping, Packet::UnplugRemote] {
            let mut node = challenger();
            feed(&mut node, &packet(&Packet::AuthChallenge, &[5; 64])).unwrap();
            let payload: &[u8] = if other == Packet::AuthChallenge {
                &[6; 64]
            } else {
                &[]
            };
            let refused = feed(&mut node, &packet(&other, payload));
            assert_eq!(refused, Err(ReceiveError::NotAuthenticated));
        }
    }
}
