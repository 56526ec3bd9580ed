// SPDX-License-Identifier: GPL-2.0-only

//! The receiver and asender threads: bytes in, packets to the engine.

use drbd_core::resource::{Head, ReceiveError, Received};
use drbd_core::state::ConnectionState;
use drbd_core::wire::Command;

use crate::integrity::{digest, size_of};
use crate::link::{DATA, SECTOR_BYTES};
use crate::node::{Reading, Receiver};
use crate::secrets::sign;
use crate::shell::{key, simulated};
use crate::world::{Moment, World};

enum Step {
    /// Go on.
    More,
    /// Not enough has come, or there is no room.
    Enough,
    /// The link is of no use.
    Error,
}

/// The bytes of a packet's payload in the simulated stream: sectors are short here.
fn payload_bytes(head: &Head, digest: u32) -> usize {
    match head.command {
        Command::Data | Command::DataReply | Command::ResyncDataReply => {
            digest as usize + simulated(head.payload - digest)
        }
        _ => head.payload as usize,
    }
}

/// How much of a payload is its digest.
fn digest_bytes(received: &Received) -> usize {
    match received {
        Received::PeerPayload { digest, .. } | Received::ReadReply { digest, .. } => {
            *digest as usize
        }
        _ => 0,
    }
}

impl World<'_> {
    /// Reads what has come on a socket.
    pub fn receive(&mut self, node: usize, socket: usize) {
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.scheduled.receive[socket] = false;
            if life.closing && socket == DATA {
                // It only waits for the sender to leave the sockets.
                return;
            }
        }
        let Some(link) = self.current_link(node) else {
            return;
        };
        loop {
            // The engine may have had the sockets shut meanwhile.
            let shut = self.links.get(&link).is_none_or(|link| link.closed[node]);
            if shut {
                if socket == DATA {
                    self.receiver_ends(node);
                }
                return;
            }
            match self.read_step(node, link, socket) {
                Step::More => self.settle(node),
                Step::Enough => break,
                Step::Error => {
                    self.link_lost(node, ConnectionState::ProtocolError);
                    if socket == DATA {
                        self.receiver_ends(node);
                    }
                    return;
                }
            }
        }
        self.settle(node);
        // The sender at the other end may go on.
        self.schedule_send(1 - node, DATA);
        let over = self
            .links
            .get(&link)
            .is_some_and(|link| link.is_over(node, socket));
        let waits = self.nodes[node]
            .life
            .as_ref()
            .is_some_and(|life| matches!(life.reading[socket], Reading::Retry(..)));
        if over && !waits {
            self.link_lost(node, ConnectionState::BrokenPipe);
            if socket == DATA {
                self.receiver_ends(node);
            } else {
                self.schedule_receive(node, DATA);
            }
        }
    }

    fn take(&mut self, node: usize, link: u32, socket: usize, count: usize) -> Option<Vec<u8>> {
        let pipe = &mut self.links.get_mut(&link)?.pipes[1 - node][socket];
        if pipe.inbox.len() < count {
            return None;
        }
        Some(pipe.take(count))
    }

    fn read_step(&mut self, node: usize, link: u32, socket: usize) -> Step {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return Step::Enough;
        };
        if life.receiver != Receiver::Up(link) {
            return Step::Enough;
        }
        match std::mem::take(&mut life.reading[socket]) {
            Reading::Header => {
                let size = life.engine.header_size();
                let Some(bytes) = self.take(node, link, socket, size) else {
                    return Step::Enough;
                };
                let Some(life) = self.nodes[node].life.as_mut() else {
                    return Step::Enough;
                };
                let engine = life.engine.at(now);
                let head = if socket == DATA {
                    engine.data_head(&bytes)
                } else {
                    engine.meta_head(&bytes)
                };
                match head {
                    Ok(head) => {
                        life.reading[socket] = Reading::Fixed(head);
                        Step::More
                    }
                    Err(error) => self.refused(node, error),
                }
            }
            Reading::Fixed(head) => {
                let Some(fixed) = self.take(node, link, socket, head.fixed) else {
                    if let Some(life) = self.nodes[node].life.as_mut() {
                        life.reading[socket] = Reading::Fixed(head);
                    }
                    return Step::Enough;
                };
                if socket == DATA {
                    self.give(node, head, fixed)
                } else {
                    self.give_meta(node, head, &fixed)
                }
            }
            Reading::Retry(head, fixed) => self.give(node, head, fixed),
            Reading::Payload(head, fixed, received) => {
                let digest = life.engine.peer_integrity().size();
                let length = payload_bytes(&head, digest);
                let Some(payload) = self.take(node, link, socket, length) else {
                    if let Some(life) = self.nodes[node].life.as_mut() {
                        life.reading[socket] = Reading::Payload(head, fixed, received);
                    }
                    return Step::Enough;
                };
                self.give_payload(node, head, &fixed, received, &payload)
            }
        }
    }

    fn give_meta(&mut self, node: usize, head: Head, fixed: &[u8]) -> Step {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return Step::Enough;
        };
        match life.engine.at(now).receive_meta(head, fixed) {
            Ok(()) => {
                self.moment_of(1 - node, Moment::Answered);
                Step::More
            }
            Err(error) => self.refused(node, error),
        }
    }

    fn give(&mut self, node: usize, head: Head, fixed: Vec<u8>) -> Step {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return Step::Enough;
        };
        match life.engine.at(now).receive(head, &fixed) {
            Ok(Received::Done) => Step::More,
            Ok(Received::Algorithms { device }) => {
                if self.look_for_algorithms(node, device) {
                    Step::More
                } else {
                    Step::Error
                }
            }
            Ok(Received::PeerAlgorithm) => {
                let size = size_of(life.engine.peer_integrity().name());
                match life.engine.peer_algorithm(Some(size)) {
                    Ok(()) => Step::More,
                    Err(error) => self.refused(node, error),
                }
            }
            Ok(Received::Wait) => {
                life.reading[DATA] = Reading::Retry(head, fixed);
                Step::Enough
            }
            Ok(received) => {
                life.reading[DATA] = Reading::Payload(head, fixed, received);
                Step::More
            }
            Err(error) => self.refused(node, error),
        }
    }

    fn give_payload(
        &mut self,
        node: usize,
        head: Head,
        fixed: &[u8],
        received: Received,
        payload: &[u8],
    ) -> Step {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return Step::Enough;
        };
        let engine = life.engine.at(now);
        let (sum, payload) = payload.split_at(digest_bytes(&received));
        let whole = sum.is_empty() || sum == digest(engine.peer_integrity().name(), payload);
        let values = || {
            payload
                .chunks_exact(SECTOR_BYTES)
                .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
                .collect::<Vec<u64>>()
        };
        match received {
            Received::PeerPayload {
                device,
                peer_request,
                ..
            } if !whole => {
                let error = engine.peer_payload_corrupt(device, peer_request);
                return self.refused(node, error);
            }
            Received::ReadReply {
                device, request, ..
            } if !whole => {
                let error = engine.read_reply_corrupt(device, request);
                return self.refused(node, error);
            }
            Received::PeerPayload {
                device,
                peer_request,
                ..
            } => {
                life.peer_pages.insert(key(device, peer_request), values());
                engine.peer_payload_received(device, peer_request, true);
            }
            Received::ReadReply {
                device, request, ..
            } => {
                if let Some(application) = life.requests.get_mut(&key(device, request)) {
                    application.values = values();
                }
                engine.read_reply_received(device, request, true);
            }
            Received::AuthBytes => {
                let secret = engine.connection().conf().map(|conf| conf.shared_secret);
                let signature = sign(
                    secret.unwrap_or_default().as_bytes(),
                    engine.to_sign(head, payload),
                );
                if let Err(error) = engine.signed(head, payload, &signature) {
                    return self.refused(node, error);
                }
            }
            Received::BitmapBytes { device } => {
                if let Err(error) = engine.receive_bitmap_bytes(device, head, fixed, payload) {
                    return self.refused(node, error);
                }
            }
            Received::Digest {
                device,
                peer_request,
                ..
            } => engine.digest_received(device, peer_request, payload),
            Received::Skip
            | Received::Done
            | Received::Wait
            | Received::Algorithms { .. }
            | Received::PeerAlgorithm => {}
        }
        Step::More
    }

    /// The payload that was being read will never be whole.
    pub fn abandon_reading(&mut self, node: usize, reading: [Reading; 2]) {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let engine = life.engine.at(now);
        for reading in reading {
            match reading {
                Reading::Payload(
                    _,
                    _,
                    Received::PeerPayload {
                        device,
                        peer_request,
                        ..
                    }
                    | Received::Digest {
                        device,
                        peer_request,
                        ..
                    },
                ) => engine.peer_payload_received(device, peer_request, false),
                Reading::Payload(
                    _,
                    _,
                    Received::ReadReply {
                        device, request, ..
                    },
                ) => engine.read_reply_received(device, request, false),
                _ => {}
            }
        }
    }

    fn was_damaged(&self, node: usize) -> bool {
        self.current_link(node)
            .and_then(|link| self.links.get(&link))
            .is_some_and(|link| link.damaged[1 - node])
    }

    fn refused(&mut self, node: usize, error: ReceiveError) -> Step {
        self.tell(node, || format!("refuses a packet: {error:?}"));
        let stranger = self
            .current_link(node)
            .and_then(|link| self.links.get(&link))
            .is_some_and(|link| link.stranger);
        let damaged = error == ReceiveError::Corrupt && self.was_damaged(node);
        if !self.garbage
            && !stranger
            && !damaged
            && self.peers_know_each_other(node)
            && !matches!(error, ReceiveError::GoingDown | ReceiveError::Incompatible)
        {
            self.fail(format!(
                "node {node}: refused a packet of an honest peer: {error:?}"
            ));
        }
        Step::Error
    }
}
