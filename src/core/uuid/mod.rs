// SPDX-License-Identifier: GPL-2.0-only

//! Generation identifiers: by them two nodes find out, when they meet, who has the newer data.
//!
//! Each disk carries four. The *current* one names the data as it is now. It is replaced by a new random one whenever
//! the data begins to change without the peer following. The *bitmap* one names the data that the peer had at that
//! moment: against it, the bitmap counts what changed since. It is zero while the peer follows. The two *history* ones
//! are bitmap identifiers of before.
//!
//! The lowest bit of an identifier is none of it: in the current one it says that the node was Primary, and it goes along
//! when the identifier moves to another place.
//!
//! Mirrors `enum drbd_uuid_index` of `include/uapi/linux/drbd.h`. The changes here are to memory: after any of them the
//! caller has the metadata written. A new current identifier is also the one of the data that applications see from then
//! on ("exposed data", `ed_uuid`), which the caller keeps.

pub mod both_sources;
pub mod both_targets;
pub mod compare;
pub mod early_target;
pub mod handshake;
pub mod report;

#[cfg(test)]
mod against_c;
#[cfg(test)]
mod two_nodes;

/// The current identifier of a disk that was never used.
pub const JUST_CREATED: u64 = 4;
/// What the source of a resync adds to its bitmap identifier for the data that the target has while the resync runs.
pub const NEW_BITMAP_OFFSET: u64 = 0x0001_0000_0000_0000;
/// The bit that says that the node was Primary.
pub const PRIMARY_BIT: u64 = 1;

/// Flag in `P_UUIDS`: this node was told to discard its data.
pub const FLAG_DISCARD_MY_DATA: u64 = 1;
/// Flag in `P_UUIDS`: this node crashed as Primary.
pub const FLAG_CRASHED_PRIMARY: u64 = 2;
/// Flag in `P_UUIDS`: the disk that is being attached is Inconsistent.
pub const FLAG_INCONSISTENT: u64 = 4;
/// Flag in `P_UUIDS`: both disks are declared equal, the first resync is to be skipped.
pub const FLAG_SKIP_INITIAL_SYNC: u64 = 8;

/// `uuid` without the bit that says that the node was Primary.
pub const fn without_primary_bit(uuid: u64) -> u64 {
    uuid & !PRIMARY_BIT
}

/// Whether two identifiers name the same data.
pub const fn same_data(one: u64, other: u64) -> bool {
    without_primary_bit(one) == without_primary_bit(other)
}

/// The generation identifiers of one disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Uuids {
    /// The data as it is now.
    pub current: u64,
    /// The data that the peer had when the bitmap began to count; 0 while the peer follows.
    pub bitmap: u64,
    /// Bitmap identifiers of before, the youngest first.
    pub history: [u64; 2],
}

impl Uuids {
    /// A disk that was never used.
    pub const NEW_DISK: Self = Self {
        current: JUST_CREATED,
        bitmap: 0,
        history: [0; 2],
    };

    /// In the order of the metadata and of `P_UUIDS`.
    pub const fn to_array(self) -> [u64; 4] {
        let [youngest, oldest] = self.history;
        [self.current, self.bitmap, youngest, oldest]
    }

    /// From the order of the metadata and of `P_UUIDS`.
    pub const fn from_array([current, bitmap, youngest, oldest]: [u64; 4]) -> Self {
        Self {
            current,
            bitmap,
            history: [youngest, oldest],
        }
    }

    /// Puts `uuid` in front of the history; the oldest entry is forgotten.
    pub fn move_history(&mut self, uuid: u64) {
        let [youngest, _] = self.history;
        self.history = [uuid, youngest];
    }

    /// Keeps `uuid` as the oldest of the history, unless it is among these identifiers already.
    pub fn remember(&mut self, uuid: u64) {
        let known = self.to_array();
        if !known.into_iter().any(|known| same_data(known, uuid)) {
            let [youngest, _] = self.history;
            self.history = [youngest, without_primary_bit(uuid)];
        }
    }

    /// Replaces the current identifier, with the bit of the role that the node has now. Nothing moves.
    pub fn set_current(&mut self, uuid: u64, primary: bool) {
        self.current = uuid;
        self.set_primary(primary);
    }

    /// Notes in the current identifier whether the node is Primary.
    pub fn set_primary(&mut self, primary: bool) {
        self.current = without_primary_bit(self.current) | if primary { PRIMARY_BIT } else { 0 };
    }

    /// The data begins to change without the peer: a new current identifier, and the bitmap counts from the old one.
    ///
    /// `random` is a fresh random number. Answers the bitmap identifier that was lost by this, which is 0 when all is
    /// well: the C driver warns otherwise (`bm UUID was already set: %llX`).
    pub fn new_current(&mut self, random: u64, primary: bool) -> u64 {
        let lost = core::mem::replace(&mut self.bitmap, self.current);
        self.set_current(random, primary);
        lost
    }

    /// This node, source of a resync, has lost its target: whether the target may be UpToDate with the same current
    /// identifier. `target` is the current identifier of the target when they met. `begun` is whether the target is known
    /// to have begun the resync, `all_sent` whether everything was sent to it.
    ///
    /// If so, the data must not begin to change here without
    /// [`new_current_beside_bitmap`](Self::new_current_beside_bitmap).
    pub fn may_be_current_of_target(&self, target: u64, begun: bool, all_sent: bool) -> bool {
        if begun {
            all_sent
        } else {
            same_data(self.current, target)
        }
    }

    /// The data begins to change without the peer, and the bitmap counts already: a new current identifier beside the
    /// counting one; the old one joins the history.
    ///
    /// Needed where the peer [may have the old one](Self::may_be_current_of_target). The C driver leaves it as it is.
    /// Should the former target then be written to, too, the next meeting takes the former source for its past, and
    /// what the source wrote alone is gone without a word.
    pub fn new_current_beside_bitmap(&mut self, random: u64, primary: bool) {
        self.move_history(self.current);
        self.set_current(random, primary);
    }

    /// Sets the bitmap identifier, or with 0 ends the counting: then the one that counted becomes history.
    ///
    /// Answers the bitmap identifier that was lost by this, as [`new_current`](Self::new_current).
    pub fn set_bitmap(&mut self, uuid: u64) -> u64 {
        if uuid == 0 {
            if self.bitmap != 0 {
                self.move_history(self.bitmap);
                self.bitmap = 0;
            }
            return 0;
        }
        core::mem::replace(&mut self.bitmap, without_primary_bit(uuid))
    }

    /// Sets the bitmap identifier after the one before, if there was one, became history.
    pub fn rotate_bitmap(&mut self, uuid: u64) {
        if self.bitmap != 0 {
            self.move_history(self.bitmap);
        }
        self.bitmap = uuid;
    }

    /// A resync starts, this node is its source. Answers the identifier that names the target's data until the resync is
    /// finished: it is to be sent (`P_SYNC_UUID`). `target` is what the target's data is called until then, 0 where it is not known, `random`
    /// a fresh random number.
    ///
    /// It is made from the bitmap identifier; or, where that counts from other data than the target's, from the target's name,
    /// so that a [target that did not note it](early_target) can be known by it.
    pub fn start_resync_as_source(&mut self, target: u64, random: u64) -> u64 {
        let target = without_primary_bit(target);
        let is_other_data = !matches!(target, 0 | JUST_CREATED)
            && !same_data(target, self.current)
            && !same_data(target, self.bitmap)
            && !self.counts_from_before(target);
        let before = if is_other_data { target } else { self.bitmap };
        let sync_uuid = match before {
            0 | JUST_CREATED => random,
            before => before.wrapping_add(NEW_BITMAP_OFFSET),
        };
        self.rotate_bitmap(sync_uuid);
        sync_uuid
    }

    /// A resync starts, this node is its target and was sent `sync_uuid` (`P_SYNC_UUID`).
    pub fn start_resync_as_target(&mut self, sync_uuid: u64, primary: bool) {
        self.set_current(sync_uuid, primary);
        self.bitmap = 0;
    }

    /// A resync without a failed block is finished, this node was its source.
    pub fn finish_resync_as_source(&mut self) {
        self.set_bitmap(0);
    }

    /// A resync without a failed block is finished, this node was its target. `source` is what is known of the peer,
    /// as it was when the peer reported it last. This node now has the peer's data and past; what it had during the resync
    /// joins the past.
    pub fn finish_resync_as_target(&mut self, source: &Self, primary: bool) {
        self.bitmap = source.bitmap;
        self.history = source.history;
        self.rotate_bitmap(self.current);
        self.set_current(source.current, primary);
        self.set_bitmap(0);
    }

    /// An administrator declares the data a new generation (`new-current-uuid`).
    pub fn new_current_by_administrator(&mut self, random: u64, primary: bool) {
        self.rotate_bitmap(0);
        self.new_current(random, primary);
    }

    /// The peer declared both disks equal ([`FLAG_SKIP_INITIAL_SYNC`]), and this one was never used.
    pub fn skip_initial_sync(&mut self, source_current: u64, primary: bool) {
        self.set_current(source_current, primary);
        self.bitmap = 0;
    }
}

impl core::fmt::Display for Uuids {
    /// As the log shows them.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [youngest, oldest] = self.history;
        write!(
            f,
            "{:016X}:{:016X}:{youngest:016X}:{oldest:016X}",
            self.current, self.bitmap
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) const A: u64 = 0xa0;
    pub(super) const B: u64 = 0xb0;
    pub(super) const C: u64 = 0xc0;
    pub(super) const D: u64 = 0xd0;

    pub(super) fn uuids(array: [u64; 4]) -> Uuids {
        Uuids::from_array(array)
    }

    #[test]
    fn losing_the_peer_as_primary() {
        let mut own = uuids([A | 1, 0, C, D]);
        assert_eq!(own.new_current(B | 1, true), 0);
        assert_eq!(own, uuids([B | 1, A | 1, C, D]));
        assert_eq!(own.new_current(D, false), A | 1, "the lost one is reported");
        assert_eq!(own, uuids([D, B | 1, C, D]));
    }

    #[test]
    fn bitmap() {
        let mut own = uuids([A, 0, C, D]);
        assert_eq!(own.set_bitmap(0), 0);
        assert_eq!(own, uuids([A, 0, C, D]), "nothing counted, nothing moves");
        assert_eq!(own.set_bitmap(B | 1), 0);
        assert_eq!(own, uuids([A, B, C, D]));
        assert_eq!(own.set_bitmap(0), 0);
        assert_eq!(own, uuids([A, 0, B, C]));
        own.rotate_bitmap(D);
        assert_eq!(own, uuids([A, D, B, C]));
        own.rotate_bitmap(0);
        assert_eq!(own, uuids([A, 0, D, B]));
    }

    #[test]
    fn a_resync_makes_both_sides_equal() {
        let mut source = uuids([A, B, C, D]);
        let mut target = uuids([B, 0, C, D]);
        let sync_uuid = source.start_resync_as_source(B, 0);
        assert_eq!(sync_uuid, B + NEW_BITMAP_OFFSET);
        assert_eq!(source, uuids([A, sync_uuid, B, C]));
        // The source reported its identifiers before the resync started.
        let reported = uuids([A, B, C, D]);
        target.start_resync_as_target(sync_uuid, false);
        assert_eq!(target, uuids([sync_uuid, 0, C, D]));
        source.finish_resync_as_source();
        target.finish_resync_as_target(&reported, false);
        assert_eq!(source, uuids([A, 0, sync_uuid, B]));
        assert_eq!(target, source);
    }

    #[test]
    fn a_full_resync_is_named_after_its_target() {
        for bitmap in [0, JUST_CREATED, B] {
            let mut source = uuids([A, bitmap, C, 0]);
            assert_eq!(
                source.start_resync_as_source(D | 1, 0xe0),
                D + NEW_BITMAP_OFFSET
            );
        }
        let mut again = uuids([A, D + NEW_BITMAP_OFFSET, C, 0]);
        assert_eq!(
            again.start_resync_as_source(D, 0xe0),
            D + 2 * NEW_BITMAP_OFFSET
        );
    }

    #[test]
    fn where_its_target_has_no_name_of_its_own_it_is_random() {
        for bitmap in [0, JUST_CREATED] {
            for target in [0, JUST_CREATED, A | 1] {
                let mut source = uuids([A, bitmap, 0, 0]);
                assert_eq!(source.start_resync_as_source(target, C), C);
            }
        }
    }

    #[test]
    fn declared_equal() {
        let (mut own, mut peer) = (Uuids::NEW_DISK, Uuids::NEW_DISK);
        own.new_current_by_administrator(A, false);
        assert_eq!(own, uuids([A, JUST_CREATED, 0, 0]));
        peer.skip_initial_sync(own.current, false);
        own.bitmap = 0;
        assert_eq!(own, peer);
    }

    #[test]
    fn log_form() {
        assert_eq!(
            std::format!("{}", uuids([A, 0, 0xdead_beef_0000_0001, 4])),
            "00000000000000A0:0000000000000000:DEADBEEF00000001:0000000000000004"
        );
    }

    proptest! {
        #[test]
        fn the_primary_bit_is_the_role_and_nothing_else(array: [u64; 4], random: u64, primary: bool) {
            let mut own = uuids(array);
            own.new_current(random, primary);
            prop_assert_eq!(own.current & PRIMARY_BIT == 1, primary);
            prop_assert!(same_data(own.current, random));
            prop_assert_eq!(&own.to_array()[1..], [array[0], array[2], array[3]]);
        }
    }
}
