// SPDX-License-Identifier: GPL-2.0-only

//! A fixed series of random numbers, and a digest of answers, for tests that hold this crate against the C driver: both
//! are simple enough to be the same in a few lines of C.

/// The series (xorshift64).
pub(crate) struct Series(u64);

impl Series {
    /// From the start.
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `count`.
    pub(crate) fn pick(&mut self, count: usize) -> usize {
        (self.next() >> 33) as usize % count
    }

    /// Yes or no.
    pub(crate) fn coin(&mut self) -> bool {
        self.pick(2) == 1
    }
}

/// The digest (FNV-1a over the bytes of each answer, least significant first).
pub(crate) struct Digest(u64);

impl Digest {
    /// Of nothing.
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds an answer.
    pub(crate) fn add(&mut self, answer: u64) {
        for byte in answer.to_le_bytes() {
            self.0 ^= u64::from(byte);
            self.0 = self.0.wrapping_mul(0x100_0000_01b3);
        }
    }

    /// Adds an answer that may be below zero.
    pub(crate) fn add_signed(&mut self, answer: i64) {
        self.add(answer as u64);
    }

    /// Of all that was added.
    pub(crate) fn value(&self) -> u64 {
        self.0
    }
}
