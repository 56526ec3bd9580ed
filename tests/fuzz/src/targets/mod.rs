// SPDX-License-Identifier: GPL-2.0-only

//! A file for each target.

pub mod activity_log;
pub mod bitmap_runs;
pub mod hostile_peer;
pub mod netlink;
pub mod packet;
pub mod superblock;

/// Takes values off the front of the bytes; zeros where they end.
pub struct Source<'a>(pub &'a [u8]);

impl<'a> Source<'a> {
    pub fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    pub fn word(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.bytes(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    /// At most `count` bytes.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
