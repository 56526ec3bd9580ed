// SPDX-License-Identifier: GPL-2.0-only

//! A target that did not note the start of its resync, and keeps the name that it had.
//!
//! The source has that name in its history. But that is short: each start moves it, and so does each new generation that begins
//! before the target is heard of again. With the C driver the two are strangers then ("Unrelated data"). The name can be read
//! off the bitmap identifier, too: each start adds [`NEW_BITMAP_OFFSET`] to the one before.

use super::{without_primary_bit, Uuids, NEW_BITMAP_OFFSET};

/// Starts of a resync, one after the other, that a target may have missed.
const MOST_STARTS: u64 = 0x7fff;

impl Uuids {
    /// Whether the bitmap identifier was made from `uuid`, by starts of resyncs.
    pub(super) fn counts_from_before(&self, uuid: u64) -> bool {
        let made = without_primary_bit(self.bitmap).wrapping_sub(without_primary_bit(uuid));
        let starts = made / NEW_BITMAP_OFFSET;
        self.bitmap != 0
            && uuid != 0
            && made % NEW_BITMAP_OFFSET == 0
            && (1..=MOST_STARTS).contains(&starts)
    }

    /// Two disks meet: these identifiers, as those of the source of a resync, with the name of `target` among them, if that is
    /// forgotten, and the disk is indeed a target that did not note the start.
    #[must_use]
    pub fn with_early_target(mut self, target: &Self) -> Self {
        if target.bitmap == 0 && self.counts_from_before(target.current) {
            self.remember(target.current);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{uuids, A, B, C, D};
    use super::*;

    #[test]
    fn its_name_is_forgotten() {
        let source = uuids([A, B + 3 * NEW_BITMAP_OFFSET, C, D]);
        let knows = uuids([A, B + 3 * NEW_BITMAP_OFFSET, C, B]);
        assert_eq!(source.with_early_target(&uuids([B, 0, 0, 0])), knows);
        assert_eq!(source.with_early_target(&uuids([B | 1, 0, 0, 0])), knows);
    }

    #[test]
    fn others_are_strangers() {
        let source = uuids([A, B + NEW_BITMAP_OFFSET, C, D]);
        let writes_alone = uuids([B, C, 0, 0]);
        let later = uuids([B + 2 * NEW_BITMAP_OFFSET, 0, 0, 0]);
        let nameless = uuids([0, 0, 0, 0]);
        let other = uuids([0xe0, 0, 0, 0]);
        for target in [writes_alone, later, nameless, other] {
            assert_eq!(source.with_early_target(&target), source, "{target}");
        }
        let idle = uuids([A, 0, C, D]);
        assert_eq!(idle.with_early_target(&uuids([B, 0, 0, 0])), idle);
    }
}
