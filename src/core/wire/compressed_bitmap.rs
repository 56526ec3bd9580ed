// SPDX-License-Identifier: GPL-2.0-only

//! Bitmaps as runs of clear and set bits.
//!
//! The fixed part of the packet is one byte, which says how the payload is to be read: the code (bits 0 to 3), the number
//! of unused bits at its end (bits 4 to 6), and whether the first run is of set bits (bit 7).
//!
//! C header: `struct p_compressed_bm` in `drbd_protocol.h`.

use super::{
    bitmap_code::{
        Decoder,
        IncompleteRun, //
    },
    WireValue, //
};
use crate::bytes::{
    Reader,
    Truncated,
    Writer, //
};

/// The one code in use (`RLE_VLI_Bits`).
pub const CODE_RLE_VLI: u8 = 2;

/// Why a compressed bitmap cannot be decoded. Each of these ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeError {
    /// A code that nobody speaks.
    UnknownCode(u8),
    /// The stream ends inside a code word.
    Truncated,
    /// A run reaches beyond the end of the bitmap.
    Overflow,
}

impl From<IncompleteRun> for CodeError {
    fn from(_: IncompleteRun) -> Self {
        Self::Truncated
    }
}

/// The fixed part of `P_COMPRESSED_BITMAP`, one byte: how to read the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapEncoding {
    /// The code, [`CODE_RLE_VLI`] (4 bits).
    pub code: u8,
    /// Whether the first run is of set bits.
    pub first_set: bool,
    /// Unused bits at the end of the payload (3 bits).
    pub pad_bits: u8,
}

const CODE_MASK: u8 = 0x0f;
const PAD_MASK: u8 = 0x07;
const PAD_SHIFT: u32 = 4;
const FIRST_SET: u8 = 0x80;

impl WireValue for BitmapEncoding {
    const SIZE: usize = 1;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        let byte = reader.u8()?;
        Ok(Self {
            code: byte & CODE_MASK,
            first_set: byte & FIRST_SET != 0,
            pad_bits: (byte >> PAD_SHIFT) & PAD_MASK,
        })
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        let first_set = if self.first_set { FIRST_SET } else { 0 };
        let pad_bits = (self.pad_bits & PAD_MASK) << PAD_SHIFT;
        writer.u8(self.code & CODE_MASK | first_set | pad_bits)
    }
}

/// Bits of a bitmap that have the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first bit.
    pub start: u64,
    /// How many; never 0.
    pub length: u64,
    /// Whether the bits are set, out of sync.
    pub set: bool,
}

/// The runs in one packet, each of them inside the bitmap. After an error there is nothing more.
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    decoder: Decoder<'a>,
    next: u64,
    bits: u64,
    set: bool,
}

impl<'a> Runs<'a> {
    /// Starts to decode the payload of a packet with this `encoding`, at bit `next` of a bitmap with `bits` bits.
    pub fn new(
        encoding: BitmapEncoding,
        code: &'a [u8],
        next: u64,
        bits: u64,
    ) -> Result<Self, CodeError> {
        if encoding.code != CODE_RLE_VLI {
            return Err(CodeError::UnknownCode(encoding.code));
        }
        Ok(Self {
            decoder: Decoder::new(code, encoding.pad_bits),
            next,
            bits,
            set: encoding.first_set,
        })
    }

    /// The first bit that no run has covered yet: where the next packet goes on. The bitmap is complete when this is its
    /// number of bits.
    pub fn position(&self) -> u64 {
        self.next
    }
}

impl Iterator for Runs<'_> {
    type Item = Result<Run, CodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let length = match self.decoder.next()? {
            Ok(length) => length,
            Err(error) => return Some(Err(error.into())),
        };
        let end = self.next.checked_add(length);
        let Some(end) = end.filter(|&end| end <= self.bits) else {
            self.decoder.stop();
            return Some(Err(CodeError::Overflow));
        };
        let run = Run {
            start: self.next,
            length,
            set: self.set,
        };
        self.next = end;
        self.set = !self.set;
        Some(Ok(run))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        bitmap_code::Encoder,
        tests::check_round_trip, //
    };
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_encoding_byte() {
        for code in 0..16 {
            for pad_bits in 0..8 {
                for first_set in [false, true] {
                    check_round_trip(&BitmapEncoding {
                        code,
                        first_set,
                        pad_bits,
                    });
                }
            }
        }
        let encoding = BitmapEncoding {
            code: 2,
            first_set: true,
            pad_bits: 5,
        };
        assert_eq!(BitmapEncoding::decode(&[0xd2]), Ok(encoding));
    }

    #[test]
    fn runs_stay_inside_the_bitmap() {
        let mut code = [0; 64];
        let mut encoder = Encoder::new(&mut code);
        for run in [10, 20, 30] {
            assert_eq!(encoder.push_run(run), Ok(true));
        }
        let (bytes, pad_bits) = encoder.finish();
        let code = &code[..bytes];
        let encoding = BitmapEncoding {
            code: CODE_RLE_VLI,
            first_set: true,
            pad_bits,
        };
        let mut runs = Runs::new(encoding, code, 4, 64).unwrap();
        let expected = [(4, 10, true), (14, 20, false), (34, 30, true)];
        for (start, length, set) in expected {
            assert_eq!(runs.next(), Some(Ok(Run { start, length, set })));
        }
        assert_eq!((runs.next(), runs.position()), (None, 64));

        // Also where the run that is too long is one of clear bits.
        let mut runs = Runs::new(encoding, code, 4, 33).unwrap();
        assert!(runs.next().unwrap().is_ok());
        assert_eq!(runs.next(), Some(Err(CodeError::Overflow)));
        assert_eq!((runs.next(), runs.position()), (None, 14));
        let mut runs = Runs::new(encoding, code, u64::MAX - 3, u64::MAX).unwrap();
        assert_eq!(runs.next(), Some(Err(CodeError::Overflow)));

        let encoding = BitmapEncoding {
            code: 1,
            ..encoding
        };
        let unknown = Runs::new(encoding, code, 0, 64).map(|_| ());
        assert_eq!(unknown, Err(CodeError::UnknownCode(1)));
    }

    proptest! {
        #[test]
        fn runs_are_a_partition(
            code in proptest::collection::vec(any::<u8>(), 0..100),
            byte: u8, next in 0_u64..1000, bits in 0_u64..100_000,
        ) {
            let encoding = BitmapEncoding::decode(&[byte & 0xf0 | CODE_RLE_VLI]).unwrap();
            let mut runs = Runs::new(encoding, &code, next, bits).unwrap();
            let (mut expected, mut set) = (next, encoding.first_set);
            while let Some(Ok(run)) = runs.next() {
                prop_assert_eq!((run.start, run.set), (expected, set));
                expected += run.length;
                set = !set;
                prop_assert!(run.length > 0 && expected <= bits);
            }
            prop_assert_eq!(runs.position(), expected);
            prop_assert_eq!(runs.next(), None);
        }
    }
}
