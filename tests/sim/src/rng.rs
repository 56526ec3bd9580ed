// SPDX-License-Identifier: GPL-2.0-only

//! Chance, from one number. Written here so that a seed tells the same story with every version of every library.

/// A stream of numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def0)
    }

    /// A stream of its own for the thing with this number, so that it is the same whatever happened to others.
    pub fn branch(seed: u64, number: u64) -> Self {
        Self::new(Self::new(seed ^ number.rotate_left(32)).next())
    }

    #[expect(
        clippy::should_implement_trait,
        reason = "a source of numbers without end is no iterator that anyone would loop over"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number from `first` to `last`.
    pub fn range(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'s, T>(&mut self, from: &'s [T]) -> &'s T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Four random words, as the engine asks for them.
    pub fn words(&mut self) -> [u64; 4] {
        [self.next(), self.next(), self.next(), self.next()]
    }

    /// Goes on as if [`words`](Self::words) had been taken.
    pub fn skip_words(&mut self) {
        self.0 = self
            .0
            .wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(4));
    }

    /// One of the two nodes.
    pub fn node(&mut self) -> usize {
        self.below(2) as usize
    }

    /// One of the volumes.
    pub fn volume(&mut self, world: &crate::world::World<'_>) -> u8 {
        self.below(world.setup.volumes as u64) as u8
    }
}
