// SPDX-License-Identifier: GPL-2.0-only

//! Sizes as the kernel log of 8.4 words them, for people and for what reads logs.

use core::fmt;

/// An amount of data with at most four digits and a unit: `9999 KB`, `64 MB`, `2 TB`; halves are rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeText {
    /// KiB.
    pub kib: u64,
}

const UNITS: [&str; 6] = ["KB", "MB", "GB", "TB", "PB", "EB"];

impl fmt::Display for SizeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut size = self.kib;
        let mut unit = "KB";
        for larger in UNITS.iter().skip(1) {
            if size < 10_000 {
                break;
            }
            // At most 2^54, so one more fits.
            size = (size >> 10).saturating_add((size >> 9) & 1);
            unit = larger;
        }
        write!(f, "{size} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::SizeText;
    use std::string::ToString;

    #[test]
    fn units_change_at_ten_thousand() {
        for (kib, text) in [
            (0, "0 KB"),
            (9_999, "9999 KB"),
            (10_000, "10 MB"),
            (65_496, "64 MB"),
            (1 << 20, "1024 MB"),
            (10_000 << 10, "10 GB"),
            (u64::MAX, "16384 EB"),
        ] {
            assert_eq!(SizeText { kib }.to_string(), text);
        }
    }

    #[test]
    fn halves_are_rounded_up() {
        assert_eq!(SizeText { kib: 10_751 }.to_string(), "10 MB");
        assert_eq!(SizeText { kib: 10_752 }.to_string(), "11 MB");
    }
}
