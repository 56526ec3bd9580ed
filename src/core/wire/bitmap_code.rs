// SPDX-License-Identifier: GPL-2.0-only

//! The code of compressed bitmaps: alternating runs of clear and set bits, each as a number of variable length.
//!
//! A run of `n` bits is one code word. Its prefix selects a level; the data bits behind it count from the smallest run of
//! that level, and the levels follow each other without gap or overlap:
//!
//! | prefix, first bit left | data bits | longest run         |
//! |------------------------|-----------|---------------------|
//! | `0`                    | 1         | `0x2`               |
//! | `10`                   | 1         | `0x4`               |
//! | `110`                  | 2         | `0x8`               |
//! | `1110`                 | 3         | `0x10`              |
//! | `11110`                | 5         | `0x30`              |
//! | `111110`               | 8         | `0x130`             |
//! | `11111100`             | 13        | `0x2130`            |
//! | `11111110`             | 21        | `0x202130`          |
//! | `11111101`             | 34        | `0x400202130`       |
//! | `11111111`             | 56        | `0x100000400202130` |
//!
//! Code words stand one behind the other in a stream of bits; a byte of the stream begins with its least significant bit,
//! and so does the number in a code word. The last byte is filled up with `pad_bits` zeroes.
//!
//! C header: `drbd_vli.h`.

use crate::num::{
    u64_to_usize,
    usize_to_u64, //
};

/// The longest run that has a code word.
pub const LONGEST_RUN: u64 = 0x0100_0004_0020_2130;

/// Code words that share a prefix.
struct Level {
    /// Bits of the prefix, the first one least significant.
    prefix: u64,
    prefix_bits: u32,
    data_bits: u32,
}

impl Level {
    const fn new(prefix: u64, prefix_bits: u32, data_bits: u32) -> Self {
        Self {
            prefix,
            prefix_bits,
            data_bits,
        }
    }

    /// Bits of a code word.
    const fn bits(&self) -> u32 {
        self.prefix_bits.saturating_add(self.data_bits)
    }

    /// How many runs have a code word on this level.
    const fn runs(&self) -> u64 {
        1_u64.wrapping_shl(self.data_bits)
    }
}

/// From the shortest runs to the longest.
const LEVELS: [Level; 10] = [
    Level::new(0x00, 1, 1),
    Level::new(0x01, 2, 1),
    Level::new(0x03, 3, 2),
    Level::new(0x07, 4, 3),
    Level::new(0x0f, 5, 5),
    Level::new(0x1f, 6, 8),
    Level::new(0x3f, 8, 13),
    Level::new(0x7f, 8, 21),
    Level::new(0xbf, 8, 34),
    Level::new(0xff, 8, 56),
];

/// The lowest `count` bits of `value`; all of them from 64 on.
const fn low_bits(value: u64, count: u32) -> u64 {
    match 1_u64.checked_shl(count) {
        Some(limit) => value & limit.wrapping_sub(1),
        None => value,
    }
}

/// The code word of a run, and its bits. `None` where the run has none.
fn code_word(run: u64) -> Option<(u64, u32)> {
    let mut offset = run.checked_sub(1)?;
    for level in &LEVELS {
        match offset.checked_sub(level.runs()) {
            Some(beyond) => offset = beyond,
            None => {
                let word = offset.checked_shl(level.prefix_bits)? | level.prefix;
                return Some((word, level.bits()));
            }
        }
    }
    None
}

/// The run whose code word is in the lowest bits of `word`, and how many bits that are.
fn run_of(word: u64) -> Option<(u64, u32)> {
    let mut shortest = 1_u64;
    for level in &LEVELS {
        if low_bits(word, level.prefix_bits) == level.prefix {
            let offset = low_bits(word, level.bits()).checked_shr(level.prefix_bits)?;
            return Some((shortest.checked_add(offset)?, level.bits()));
        }
        shortest = shortest.checked_add(level.runs())?;
    }
    None
}

/// A run that has no code word: none at all, or above [`LONGEST_RUN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRun;

/// Writes runs into a buffer.
#[derive(Debug)]
pub struct Encoder<'a> {
    buffer: &'a mut [u8],
    /// Bits written.
    position: u64,
}

impl<'a> Encoder<'a> {
    /// Starts at the first bit of `buffer`, which is cleared.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        buffer.fill(0);
        Self {
            buffer,
            position: 0,
        }
    }

    /// Appends a run. Says whether it fits; where it does not, nothing is written, and a shorter run may still fit.
    pub fn push_run(&mut self, run: u64) -> Result<bool, InvalidRun> {
        let (word, bits) = code_word(run).ok_or(InvalidRun)?;
        let Some(end) = self.position.checked_add(u64::from(bits)) else {
            return Ok(false);
        };
        if end > usize_to_u64(self.buffer.len()).saturating_mul(8) {
            return Ok(false);
        }
        let (first, bit) = byte_and_bit(self.position);
        // A word of 64 bits that starts inside a byte reaches into a ninth.
        let low = word.wrapping_shl(bit).to_le_bytes();
        let beyond = word.checked_shr(64_u32.saturating_sub(bit)).unwrap_or(0);
        let [ninth, ..] = beyond.to_le_bytes();
        let target = self.buffer.get_mut(first..).unwrap_or_default();
        for (byte, more) in target.iter_mut().zip(low.into_iter().chain([ninth])) {
            *byte |= more;
        }
        self.position = end;
        Ok(true)
    }

    /// Ends the stream. Answers the number of bytes in use, and of unused bits in the last one.
    pub fn finish(self) -> (usize, u8) {
        let (full, bit) = byte_and_bit(self.position);
        match bit {
            0 => (full, 0),
            _ => (
                full.saturating_add(1),
                u8::try_from(8_u32.saturating_sub(bit)).unwrap_or(0),
            ),
        }
    }
}

/// The byte that holds bit `position` of a stream, and the bit in it.
fn byte_and_bit(position: u64) -> (usize, u32) {
    let [low, ..] = position.to_le_bytes();
    (u64_to_usize(position >> 3), u32::from(low & 7))
}

/// The stream ends inside a code word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncompleteRun;

/// Reads runs from a stream of bits. After an error there is nothing more.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    code: &'a [u8],
    /// Bits read.
    position: u64,
    /// Bits in the stream.
    end: u64,
}

impl<'a> Decoder<'a> {
    /// Starts at the first bit of `code`, whose last `pad_bits` bits do not count.
    pub fn new(code: &'a [u8], pad_bits: u8) -> Self {
        let bits = usize_to_u64(code.len()).saturating_mul(8);
        Self {
            code,
            position: 0,
            end: bits.saturating_sub(u64::from(pad_bits)),
        }
    }

    /// Ends here, whatever is left.
    pub(super) fn stop(&mut self) {
        self.position = self.end;
    }

    /// The next 64 bits, zeroes where the stream has ended.
    fn look_ahead(&self) -> u64 {
        let (first, bit) = byte_and_bit(self.position);
        let mut rest = self.code.get(first..).unwrap_or_default().iter().copied();
        let mut low = [0; 8];
        for (target, byte) in low.iter_mut().zip(rest.by_ref()) {
            *target = byte;
        }
        let ninth = u64::from(rest.next().unwrap_or(0));
        let beyond = ninth.checked_shl(64_u32.saturating_sub(bit)).unwrap_or(0);
        u64::from_le_bytes(low).wrapping_shr(bit) | beyond
    }
}

impl Iterator for Decoder<'_> {
    type Item = Result<u64, IncompleteRun>;

    fn next(&mut self) -> Option<Self::Item> {
        let have = self
            .end
            .checked_sub(self.position)
            .filter(|&have| have > 0)?;
        match run_of(self.look_ahead()) {
            Some((run, bits)) if u64::from(bits) <= have => {
                self.position = self.position.saturating_add(u64::from(bits));
                Some(Ok(run))
            }
            _ => {
                self.stop();
                Some(Err(IncompleteRun))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Runs at both ends of each level with their code words, from the C implementation.
    const EDGES: [(u64, u32, u64); 20] = [
        (0x1, 2, 0x0),
        (0x2, 2, 0x2),
        (0x3, 3, 0x1),
        (0x4, 3, 0x5),
        (0x5, 5, 0x3),
        (0x8, 5, 0x1b),
        (0x9, 7, 0x7),
        (0x10, 7, 0x77),
        (0x11, 10, 0xf),
        (0x30, 10, 0x3ef),
        (0x31, 14, 0x1f),
        (0x130, 14, 0x3fdf),
        (0x131, 21, 0x3f),
        (0x2130, 21, 0x1fff3f),
        (0x2131, 29, 0x7f),
        (0x202130, 29, 0x1fffff7f),
        (0x202131, 42, 0xbf),
        (0x400202130, 42, 0x3ffffffffbf),
        (0x400202131, 64, 0xff),
        (LONGEST_RUN, 64, u64::MAX),
    ];

    fn encode(runs: &[u64], room: usize) -> (usize, Vec<u8>, u8) {
        let mut buffer = std::vec![0xff; room];
        let mut encoder = Encoder::new(&mut buffer);
        let fit = runs
            .iter()
            .take_while(|&&run| encoder.push_run(run).unwrap())
            .count();
        let (bytes, pad_bits) = encoder.finish();
        buffer.truncate(bytes);
        (fit, buffer, pad_bits)
    }

    fn decode(code: &[u8], pad_bits: u8) -> Result<Vec<u64>, IncompleteRun> {
        Decoder::new(code, pad_bits).collect()
    }

    #[test]
    fn code_words() {
        for (run, bits, word) in EDGES {
            assert_eq!(code_word(run), Some((word, bits)));
            assert_eq!(run_of(word), Some((run, bits)));
        }
        let mut buffer = [0; 32];
        let mut encoder = Encoder::new(&mut buffer);
        assert_eq!(encoder.push_run(0), Err(InvalidRun));
        assert_eq!(encoder.push_run(LONGEST_RUN + 1), Err(InvalidRun));
        assert_eq!(encoder.push_run(u64::MAX), Err(InvalidRun));
        assert_eq!(encoder.finish(), (0, 0));
    }

    /// Streams that the C implementation made.
    #[test]
    fn streams() {
        let edges = EDGES.map(|(run, ..)| run);
        let streams: [(&[u64], u8, &[u8]); 3] = [
            (
                &edges,
                6,
                &[
                    0x98, 0x8e, 0x7d, 0xb8, 0x3f, 0xf0, 0xfe, 0x07, 0xf0, 0xfd, 0xff, 0x00, 0x80,
                    0x9f, 0xff, 0xff, 0x07, 0x00, 0x00, 0xfe, 0xfe, 0xff, 0xff, 0x2f, 0x00, 0x00,
                    0x00, 0x00, 0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0x03, 0x00, 0x00, 0x00, 0x00,
                    0x00, 0x00, 0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x03,
                ],
            ),
            (
                &[1, 1, 1, 1, 7, 1000, 3, 262_144, 17, 2],
                2,
                &[0x00, 0xf3, 0xe7, 0x56, 0xe4, 0xef, 0xd9, 0x7b, 0x3c, 0x20],
            ),
            (
                &[1 << 33, 1, 1 << 40, 12_345_678_901_234],
                4,
                &[
                    0xbf, 0xcf, 0xde, 0xdf, 0xff, 0xf1, 0xff, 0xec, 0xfd, 0xfd, 0xbf, 0x0f, 0x00,
                    0xf0, 0x1f, 0xec, 0xe0, 0x3a, 0x67, 0xb3, 0x00, 0x00,
                ],
            ),
        ];
        for (runs, pad_bits, code) in streams {
            let (fit, bytes, pad) = encode(runs, 256);
            assert_eq!((fit, &bytes[..], pad), (runs.len(), code, pad_bits));
            assert_eq!(decode(code, pad_bits).as_deref(), Ok(runs));
        }
    }

    #[test]
    fn stops_at_the_byte_budget() {
        let runs = [LONGEST_RUN, 5, LONGEST_RUN, 1, 1, 1, 1];
        let (fit, bytes, pad_bits) = encode(&runs, 17);
        assert_eq!((fit, bytes.len(), pad_bits), (4, 17, 1));
        assert_eq!(bytes[16], 0x1f);
        let (fit, bytes, pad_bits) = encode(&runs, 18);
        assert_eq!((fit, bytes.len(), pad_bits), (7, 18, 3));
        let (fit, bytes, pad_bits) = encode(&runs, 8);
        assert_eq!((fit, bytes.len(), pad_bits), (1, 8, 0));
        assert_eq!(encode(&runs, 0).0, 0);

        let mut buffer = [0; 1];
        let mut encoder = Encoder::new(&mut buffer);
        assert_eq!(encoder.push_run(0x11), Ok(false));
        assert_eq!(encoder.push_run(0x9), Ok(true));
        assert_eq!(encoder.push_run(1), Ok(false));
        assert_eq!(encoder.finish(), (1, 1));
    }

    /// Random bytes as the C implementation decodes them.
    #[test]
    fn random_bytes() {
        let code = [
            0x13, 0xb3, 0x43, 0x4b, 0x93, 0x18, 0xb2, 0x2e, 0x52, 0x50, 0xcb,
        ];
        let runs = [
            7, 1, 2, 3, 8, 3, 1, 4, 4, 1, 4, 3, 3, 3, 2, 3, 1, 3, 6, 0xa, 2, 1, 4, 1, 1, 2, 2, 2,
            4, 1,
        ];
        assert_eq!(decode(&code, 2).as_deref(), Ok(&runs[..]));

        let code = [0x26, 0x76, 0xb7, 0x2e, 0x14, 0x0c, 0x37, 0x1f];
        let runs = [2, 3, 3, 2, 4, 8, 4, 4, 2, 6, 1, 2, 2, 1, 1, 2, 3, 1, 0xc, 2];
        let mut decoder = Decoder::new(&code, 1);
        for run in runs {
            assert_eq!(decoder.next(), Some(Ok(run)));
        }
        assert_eq!(decoder.next(), Some(Err(IncompleteRun)));
        assert_eq!(decoder.next(), None);
        assert_eq!(
            decode(&[0xbf, 0xc4, 0x0e, 0x39, 0x34], 0),
            Err(IncompleteRun)
        );
        assert_eq!(decode(&[0], 7), Err(IncompleteRun));
        assert_eq!(decode(&[], 7), Ok(Vec::new()));
    }

    /// Runs of all lengths, with short ones as likely as long ones.
    fn runs() -> impl Strategy<Value = Vec<u64>> {
        let run = (0_u32..57, any::<u64>()).prop_map(|(bits, value)| 1 + low_bits(value, bits));
        proptest::collection::vec(run, 0..100)
    }

    proptest! {
        #[test]
        fn round_trip(runs in runs(), room in 0_usize..300) {
            let (fit, code, pad_bits) = encode(&runs, room);
            prop_assert!(code.len() <= room && pad_bits < 8);
            let decoded = decode(&code, pad_bits);
            prop_assert_eq!(decoded.as_deref(), Ok(&runs[..fit]));
            if let Some(&next) = runs.get(fit) {
                let (_, bits) = code_word(next).unwrap();
                prop_assert!(code.len() * 8 - usize::from(pad_bits) + bits as usize > room * 8);
            }
        }

        /// Any bytes: the decoder ends, and what it accepted encodes to the same bits.
        #[test]
        fn any_bytes_end(code in proptest::collection::vec(any::<u8>(), 0..200), pad_bits in 0_u8..8) {
            let results: Vec<_> = Decoder::new(&code, pad_bits).take(code.len() * 4 + 2).collect();
            prop_assert!(results.len() <= code.len() * 4 + 1);
            let runs: Vec<u64> = results.iter().map_while(|result| result.ok()).collect();
            prop_assert!(results.len() - runs.len() <= 1);
            let (fit, again, pad) = encode(&runs, code.len());
            prop_assert_eq!(fit, runs.len());
            if let Some((last, full)) = again.split_last() {
                prop_assert_eq!(full, &code[..full.len()]);
                prop_assert_eq!(*last, code[full.len()] & (0xff >> pad));
            }
        }
    }
}
