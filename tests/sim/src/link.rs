// SPDX-License-Identifier: GPL-2.0-only

//! A connection between both nodes: two sockets, each a stream of bytes in both directions.
//!
//! Sectors travel as eight bytes each, the number that names their content; all else is what really goes over the wire.

use std::collections::VecDeque;

use crate::rng::Rng;
use crate::secrets::Identity;

/// Bytes of a sector in a simulated stream.
pub const SECTOR_BYTES: usize = 8;

pub const DATA: usize = 0;
pub const META: usize = 1;

/// One direction of a socket.
#[derive(Default)]
pub struct Pipe {
    flight: VecDeque<(u64, Vec<u8>)>,
    pub inbox: VecDeque<u8>,
    last_arrival: u64,
    in_flight: usize,
    sent: usize,
    /// The stream broke before all that was sent came through.
    pub truncated: bool,
}

impl Pipe {
    /// Bytes that the receiver has not taken.
    pub fn unread(&self) -> usize {
        self.in_flight + self.inbox.len()
    }

    /// Bytes that the receiver has taken so far.
    pub fn taken(&self) -> usize {
        self.sent.saturating_sub(self.unread())
    }

    /// When the next bytes arrive.
    pub fn next_arrival(&self) -> Option<u64> {
        self.flight.front().map(|(at, _)| *at)
    }

    /// The next bytes of the inbox, which has as many.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let (front, back) = self.inbox.as_slices();
        let mut bytes = Vec::with_capacity(count);
        bytes.extend_from_slice(&front[..count.min(front.len())]);
        bytes.extend_from_slice(&back[..count - bytes.len()]);
        self.inbox.drain(..count);
        bytes
    }

    /// Puts bytes on their way, behind all others. Answers when they arrive.
    pub fn send(&mut self, bytes: Vec<u8>, arrives: u64) -> u64 {
        self.last_arrival = self.last_arrival.max(arrives);
        self.in_flight += bytes.len();
        self.sent += bytes.len();
        self.flight.push_back((self.last_arrival, bytes));
        self.last_arrival
    }

    /// Moves what has arrived by `now` to the inbox.
    pub fn arrive(&mut self, now: u64) {
        while self.flight.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, bytes)) = self.flight.pop_front() {
                self.in_flight -= bytes.len();
                self.inbox.extend(bytes);
            }
        }
    }

    /// The stream breaks: of what is on its way, some still comes, up to any byte.
    fn cut(&mut self, rng: &mut Rng) {
        let keep = if self.in_flight == 0 {
            0
        } else {
            rng.below(self.in_flight as u64 + 1) as usize
        };
        self.truncated |= keep < self.in_flight;
        let mut rest: Vec<u8> = self.flight.drain(..).flat_map(|(_, bytes)| bytes).collect();
        rest.truncate(keep);
        self.in_flight = 0;
        self.inbox.extend(rest);
    }
}

/// Both sockets of a connection.
pub struct Link {
    pub id: u32,
    /// By the node that sends, then by the socket.
    pub pipes: [[Pipe; 2]; 2],
    /// This node has shut its sockets, or is gone.
    pub closed: [bool; 2],
    /// This node's sockets are broken: reading ends when what came is read, writing fails.
    pub broken: [bool; 2],
    /// What each node knew to prove when it took part.
    pub identities: [Option<Identity>; 2],
    /// At the other end is no peer, but somebody who sends what it likes; or a peer that changed its mind.
    pub stranger: bool,
    /// Data from this node was damaged.
    pub damaged: [bool; 2],
}

impl Link {
    pub fn new(id: u32) -> Self {
        Self {
            id,
            pipes: Default::default(),
            closed: [false; 2],
            broken: [false; 2],
            identities: [None; 2],
            stranger: false,
            damaged: [false; 2],
        }
    }

    pub fn cut(&mut self, rng: &mut Rng) {
        for pipe in self.pipes.iter_mut().flatten() {
            pipe.cut(rng);
        }
        self.broken = [true; 2];
    }

    /// Nothing more will come to `node`.
    pub fn is_over(&self, node: usize, socket: usize) -> bool {
        let pipe = &self.pipes[1 - node][socket];
        pipe.next_arrival().is_none() && (self.broken[node] || self.closed[1 - node])
    }
}
