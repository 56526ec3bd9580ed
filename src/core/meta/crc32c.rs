// SPDX-License-Identifier: GPL-2.0-only

//! CRC-32C (Castagnoli), as the activity log uses it: the register itself, neither inverted before nor after.

/// The polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The effect of each value of the low byte.
const TABLE: [u32; 256] = table();

#[expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "runs when the crate is built, where a mistake is an error of the build"
)]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut value = 0;
    while value < 256 {
        let mut crc = value as u32;
        let mut bit = 0;
        while bit < 8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= POLYNOMIAL;
            }
            bit += 1;
        }
        table[value] = crc;
        value += 1;
    }
    table
}

/// Continues the checksum `crc` over `bytes`; begin with 0 (`crc32c()` of the kernel, `linux/crc32c.h`).
pub fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        let effect = TABLE.get(usize::from(low ^ byte)).copied().unwrap_or(0);
        crc.wrapping_shr(8) ^ effect
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn published_check_values() {
        // RFC 3720 B.4 inverts before and after.
        let iscsi = |bytes: &[u8]| !crc32c(!0, bytes);
        assert_eq!(iscsi(b"123456789"), 0xe306_9283);
        assert_eq!(iscsi(&[0; 32]), 0x8a91_36aa);
        assert_eq!(iscsi(&[0xff; 32]), 0x62a8_ab43);
    }

    proptest! {
        #[test]
        fn parts_give_what_the_whole_gives(bytes: std::vec::Vec<u8>, cut: prop::sample::Index, seed: u32) {
            let (front, back) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(crc32c(crc32c(seed, front), back), crc32c(seed, &bytes));
        }
    }
}
