// SPDX-License-Identifier: GPL-2.0-only

//! Compressed bitmaps. Bytes: the encoding, the first bit and the number of bits, then the code.

use drbd_core::wire::bitmap_code::Encoder;
use drbd_core::wire::compressed_bitmap::CODE_RLE_VLI;
use drbd_core::wire::{BitmapEncoding, Runs, WireValue};

use super::Source;

pub fn run(data: &[u8]) {
    let mut source = Source(data);
    let encoding = BitmapEncoding::decode(&[source.byte()]).expect("any byte");
    let next = source.word() >> 20;
    let bits = source.word() >> 16;
    let code = source.bytes(4080);
    let Ok(mut runs) = Runs::new(encoding, code, next, bits) else {
        assert_ne!(encoding.code, CODE_RLE_VLI);
        return;
    };
    let mut lengths = Vec::new();
    let (mut position, mut set, mut whole) = (next, encoding.first_set, true);
    for run in runs.by_ref() {
        let Ok(run) = run else {
            whole = false;
            continue;
        };
        assert!(whole, "nothing comes after an error");
        assert_eq!((run.start, run.set), (position, set));
        assert!(run.length > 0);
        position += run.length;
        assert!(position <= bits, "a run outside of the bitmap");
        set = !set;
        lengths.push(run.length);
    }
    assert_eq!(runs.position(), position);
    assert!(
        lengths.len() <= code.len() * 4,
        "a code word has two bits at least"
    );
    encodes_again(encoding, code, next, bits, &lengths, whole);
}

/// The same runs again: the code is a bijection, so the bytes are the same where all of them were used.
fn encodes_again(
    encoding: BitmapEncoding,
    code: &[u8],
    next: u64,
    bits: u64,
    lengths: &[u64],
    whole: bool,
) {
    let mut buffer = [0; 4096];
    let mut encoder = Encoder::new(&mut buffer);
    for length in lengths {
        assert_eq!(
            encoder.push_run(*length),
            Ok(true),
            "{length} has a code word"
        );
    }
    let (used, pad_bits) = encoder.finish();
    if whole && used > 0 {
        let last = 0xffu8.checked_shr(pad_bits.into()).unwrap_or(0);
        assert_eq!((used, pad_bits), (code.len(), encoding.pad_bits));
        assert_eq!(buffer[..used - 1], code[..used - 1]);
        assert_eq!(buffer[used - 1], code[used - 1] & last);
    }
    let again = BitmapEncoding {
        pad_bits,
        ..encoding
    };
    let runs = Runs::new(again, &buffer[..used], next, bits).expect("our own code");
    let decoded: Vec<u64> = runs.map(|run| run.expect("our own runs").length).collect();
    assert_eq!(decoded, lengths);
}
