// SPDX-License-Identifier: GPL-2.0-only

//! One transaction of the activity log, and how a ring of them is read back.
//!
//! A transaction is a block of 4 KiB. It tells which slots change to which extents, and repeats the content of 919
//! consecutive slots, its context; the context moves on with each transaction. Whatever happens to the newest
//! transaction of a ring, the others still tell the content of every slot.
//!
//! The kernel only writes the ring. `drbdmeta apply-al` reads it, before a disk is attached; [`replay`] does the same,
//! for the simulator and for tests.

use super::{
    crc32c::crc32c,
    layout::AlStripes, //
};
use crate::{
    bytes::{
        Reader,
        Truncated,
        Writer, //
    },
    num::u32_to_usize, //
};

/// Bytes of a transaction.
pub const TRANSACTION_BYTES: usize = 4096;
/// The most changes in one transaction (`AL_UPDATES_PER_TRANSACTION`).
pub const UPDATES_PER_TRANSACTION: usize = 64;
/// Slots that each transaction repeats (`AL_CONTEXT_PER_TRANSACTION`).
pub const CONTEXT_PER_TRANSACTION: usize = 919;
/// The extent of a slot that is free (`LC_FREE`).
pub const FREE_EXTENT: u32 = u32::MAX;
/// The slot number in an update that is not used.
const NO_SLOT: u16 = u16::MAX;
/// `DRBD_AL_MAGIC`.
const MAGIC: u32 = 0x69cb_65a2;
/// Where the checksum lies.
const CHECKSUM_AT: usize = 8;
/// Where slot numbers begin; extent numbers and context follow.
const UPDATE_SLOTS_AT: usize = 36;

const _: () = assert!(
    UPDATE_SLOTS_AT + 6 * UPDATES_PER_TRANSACTION + 4 * CONTEXT_PER_TRANSACTION
        == TRANSACTION_BYTES
);

/// What a block of the ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A change of the active set (`AL_TR_UPDATE`).
    Update,
    /// Never written since `drbdmeta` emptied the log (`AL_TR_INITIALIZED`).
    Initialized,
}

impl Kind {
    fn to_raw(self) -> u16 {
        match self {
            Self::Update => 0,
            Self::Initialized => 0xffff,
        }
    }
}

/// Why a block is no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionError {
    /// Not 4096 bytes.
    Size,
    /// No transaction was ever written here.
    Magic,
    /// Torn or damaged.
    Checksum,
    /// A type that this version does not know.
    Kind(u16),
    /// More updates than there is room for.
    Updates(u16),
}

impl From<Truncated> for TransactionError {
    fn from(_: Truncated) -> Self {
        Self::Size
    }
}

/// The fixed fields of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its number, which wraps; modulo the size of the ring it is the place there.
    pub tr_number: u32,
    /// What the block is.
    pub kind: Kind,
    /// How many updates there are.
    pub update_count: u16,
    /// How many slots the activity log has.
    pub slot_count: u16,
    /// The slot that the context begins with.
    pub context_start: u16,
}

/// A transaction that passed all checks, in the block where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'b> {
    header: Header,
    slots: &'b [u8],
    extents: &'b [u8],
    context: &'b [u8],
}

impl<'b> Transaction<'b> {
    /// Reads a block of the ring.
    pub fn decode(block: &'b [u8]) -> Result<Self, TransactionError> {
        if block.len() != TRANSACTION_BYTES {
            return Err(TransactionError::Size);
        }
        let mut reader = Reader::new(block);
        if reader.u32()? != MAGIC {
            return Err(TransactionError::Magic);
        }
        let tr_number = reader.u32()?;
        if reader.u32()? != checksum(block) {
            return Err(TransactionError::Checksum);
        }
        let kind = match reader.u16()? {
            0 => Kind::Update,
            0xffff => Kind::Initialized,
            other => return Err(TransactionError::Kind(other)),
        };
        let update_count = reader.u16()?;
        if usize::from(update_count) > UPDATES_PER_TRANSACTION {
            return Err(TransactionError::Updates(update_count));
        }
        let header = Header {
            tr_number,
            kind,
            update_count,
            slot_count: reader.u16()?,
            context_start: reader.u16()?,
        };
        reader.bytes(16)?;
        Ok(Self {
            header,
            slots: reader.bytes(2 * UPDATES_PER_TRANSACTION)?,
            extents: reader.bytes(4 * UPDATES_PER_TRANSACTION)?,
            context: reader.take_rest(),
        })
    }

    /// The fixed fields.
    pub fn header(&self) -> Header {
        self.header
    }

    /// Slots that change, and what they hold from this transaction on.
    pub fn updates(&self) -> impl Iterator<Item = (u16, u32)> + 'b {
        let slots = self.slots.chunks_exact(2).map(u16_from_be);
        let extents = self.extents.chunks_exact(4).map(u32_from_be);
        slots
            .zip(extents)
            .take(usize::from(self.header.update_count))
    }

    /// Slots of the context, and what they held before this transaction, [`FREE_EXTENT`] where they were free.
    pub fn context(&self) -> impl Iterator<Item = (u16, u32)> + 'b {
        let Header {
            slot_count,
            context_start,
            ..
        } = self.header;
        (context_start..slot_count).zip(self.context.chunks_exact(4).map(u32_from_be))
    }
}

/// Writes a transaction, all but its checksum: see [`seal`].
///
/// Of `updates`, the first 64 are taken; of `context`, the first 919. `header.update_count` is ignored: the updates
/// themselves are counted.
pub fn encode(
    block: &mut [u8; TRANSACTION_BYTES],
    header: Header,
    updates: impl Iterator<Item = (u16, u32)>,
    context: impl Iterator<Item = u32>,
) {
    block.fill(0);
    let (head, rest) = block.split_at_mut(UPDATE_SLOTS_AT);
    let (slots, rest) = rest.split_at_mut(2 * UPDATES_PER_TRANSACTION);
    let (extents, contexts) = rest.split_at_mut(4 * UPDATES_PER_TRANSACTION);
    // What is not used: no slot, free extent.
    slots.fill(0xff);
    extents.fill(0xff);
    contexts.fill(0xff);
    let mut update_count: u16 = 0;
    let places = slots.chunks_exact_mut(2).zip(extents.chunks_exact_mut(4));
    for ((slot_bytes, extent_bytes), (slot, extent)) in places.zip(updates) {
        slot_bytes.copy_from_slice(&slot.to_be_bytes());
        extent_bytes.copy_from_slice(&extent.to_be_bytes());
        update_count = update_count.saturating_add(1);
    }
    for (bytes, extent) in contexts.chunks_exact_mut(4).zip(context) {
        bytes.copy_from_slice(&extent.to_be_bytes());
    }
    // The head has room for these 20 bytes.
    let _ = write_head(&mut Writer::new(head), header, update_count);
}

fn write_head(writer: &mut Writer<'_>, header: Header, update_count: u16) -> Result<(), Truncated> {
    writer.u32(MAGIC)?;
    writer.u32(header.tr_number)?;
    writer.u32(0)?;
    writer.u16(header.kind.to_raw())?;
    writer.u16(update_count)?;
    writer.u16(header.slot_count)?;
    writer.u16(header.context_start)
}

/// Puts the checksum in. Apart from [`encode`], because it is the one step that takes long (some microseconds), and
/// needs no lock.
pub fn seal(block: &mut [u8; TRANSACTION_BYTES]) {
    let checksum = checksum(block);
    if let Some(field) = block.get_mut(CHECKSUM_AT..CHECKSUM_AT + 4) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Writes a block as `drbdmeta` leaves it when it empties the log.
pub fn encode_initialized(block: &mut [u8; TRANSACTION_BYTES]) {
    block.fill(0);
    let (head, _) = block.split_at_mut(UPDATE_SLOTS_AT);
    let header = Header {
        tr_number: 0,
        kind: Kind::Initialized,
        update_count: 0,
        slot_count: 0,
        context_start: 0,
    };
    let _ = write_head(&mut Writer::new(head), header, 0);
    seal(block);
}

/// The checksum over the block, its own field counted as zero.
fn checksum(block: &[u8]) -> u32 {
    let (before, rest) = block.split_at_checked(CHECKSUM_AT).unwrap_or((block, &[]));
    let (_, after) = rest.split_at_checked(4).unwrap_or((rest, &[]));
    crc32c(crc32c(crc32c(0, before), &[0; 4]), after)
}

fn u16_from_be(bytes: &[u8]) -> u16 {
    bytes
        .first_chunk()
        .map_or(NO_SLOT, |bytes| u16::from_be_bytes(*bytes))
}

fn u32_from_be(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(FREE_EXTENT, |bytes| u32::from_be_bytes(*bytes))
}

/// A ring that tells nothing about the active set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// Not one valid block: no activity log of 8.4 was ever here.
    Missing,
    /// Blocks of an empty log, beside more damaged ones than a crash explains.
    Damaged,
}

/// What [`replay`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Transactions that were applied; 0 where the log was empty.
    pub transactions: u32,
    /// Blocks that are no transaction. One is what a crash may leave; more are worth a warning.
    pub damaged: u32,
    /// The number of the newest transaction.
    pub newest: u32,
    /// Slots outside `slots`, which were left out: the caller lent too few.
    pub out_of_range: u32,
}

/// Reads the active set back from a ring: afterwards `slots` has for each slot the extent that it held, or
/// [`FREE_EXTENT`].
///
/// `read` gives a 4 KiB block of the activity log area by its number there; each is read twice. Lend 65535 slots, or
/// as many as the superblock names (`al_nr_extents`). Several slots may name the same extent.
pub fn replay<'b>(
    stripes: AlStripes,
    read: impl Fn(u32) -> &'b [u8],
    slots: &mut [u32],
) -> Result<Replayed, ReplayError> {
    slots.fill(FREE_EXTENT);
    let blocks = stripes.blocks();
    let at = |position: u32| Transaction::decode(read(stripes.block(position)));
    let mut replayed = Replayed::default();
    let mut newest: Option<(u32, u32)> = None;
    let mut valid: u32 = 0;
    for position in 0..blocks {
        let Ok(transaction) = at(position) else {
            replayed.damaged = replayed.damaged.saturating_add(1);
            continue;
        };
        valid = valid.saturating_add(1);
        let Header {
            kind, tr_number, ..
        } = transaction.header();
        let is_newer = newest.is_none_or(|(_, newest)| is_after(tr_number, newest));
        if kind == Kind::Update && is_newer {
            newest = Some((position, tr_number));
        }
    }
    if valid == 0 {
        return Err(ReplayError::Missing);
    }
    let Some((newest_position, newest)) = newest else {
        // The first transaction ever may have been torn, and that alone.
        return if replayed.damaged <= 1 {
            Ok(replayed)
        } else {
            Err(ReplayError::Damaged)
        };
    };
    replayed.newest = newest;
    // The block after the newest is the oldest.
    let oldest_first = (newest_position.saturating_add(1)..blocks).chain(0..=newest_position);
    for transaction in oldest_first.filter_map(|position| at(position).ok()) {
        if transaction.header().kind != Kind::Update {
            continue;
        }
        replayed.transactions = replayed.transactions.saturating_add(1);
        for (slot, extent) in transaction.context().chain(transaction.updates()) {
            match slots.get_mut(u32_to_usize(u32::from(slot))) {
                Some(place) => *place = extent,
                None => replayed.out_of_range = replayed.out_of_range.saturating_add(1),
            }
        }
    }
    Ok(replayed)
}

/// Whether transaction `a` was written after `b`, where numbers wrap.
fn is_after(a: u32, b: u32) -> bool {
    let distance = a.wrapping_sub(b);
    distance != 0 && distance < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{
        vec,
        vec::Vec, //
    };

    type Block = [u8; TRANSACTION_BYTES];

    fn header(tr_number: u32) -> Header {
        Header {
            tr_number,
            kind: Kind::Update,
            update_count: 0,
            slot_count: 1237,
            context_start: 919,
        }
    }

    fn sealed(header: Header, updates: &[(u16, u32)], context: &[u32]) -> Block {
        let mut block = [0; TRANSACTION_BYTES];
        encode(
            &mut block,
            header,
            updates.iter().copied(),
            context.iter().copied(),
        );
        seal(&mut block);
        block
    }

    fn initialized() -> Block {
        let mut block = [0; TRANSACTION_BYTES];
        encode_initialized(&mut block);
        block
    }

    fn ring(numbers: &[Option<u32>]) -> Vec<Block> {
        let block = |(slot, number): (usize, &Option<u32>)| match number {
            Some(number) => sealed(header(*number), &[(slot as u16, 100 + slot as u32)], &[]),
            None => initialized(),
        };
        numbers.iter().enumerate().map(block).collect()
    }

    fn replay_ring(ring: &[Block], slots: &mut [u32]) -> Result<Replayed, ReplayError> {
        let stripes = AlStripes::new(1, ring.len() as u32).unwrap();
        replay(stripes, |block| &ring[block as usize], slots)
    }

    #[test]
    fn bytes_lie_where_the_c_structure_has_them() {
        let block = sealed(header(0x0102_0304), &[(5, 6)], &[7, 8]);
        assert_eq!(block[..8], [0x69, 0xcb, 0x65, 0xa2, 1, 2, 3, 4]);
        // type, updates, slots, first slot of the context, reserved
        assert_eq!(block[12..22], [0, 0, 0, 1, 0x04, 0xd5, 0x03, 0x97, 0, 0]);
        assert_eq!(block[36..40], [0, 5, 0xff, 0xff]);
        assert_eq!(block[164..172], [0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(
            block[420..432],
            [0, 0, 0, 7, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff]
        );
        let mut unsealed = block;
        unsealed[8..12].fill(0);
        assert_eq!(block[8..12], crc32c(0, &unsealed).to_be_bytes());
    }

    #[test]
    fn damage_is_found() {
        let mut block = sealed(header(1), &[(5, 6)], &[]);
        assert!(Transaction::decode(&block).is_ok());
        assert_eq!(
            Transaction::decode(&block[..4095]).err(),
            Some(TransactionError::Size)
        );
        block[4095] ^= 1;
        assert_eq!(
            Transaction::decode(&block).err(),
            Some(TransactionError::Checksum)
        );
        block[15] = 65;
        seal(&mut block);
        assert_eq!(
            Transaction::decode(&block).err(),
            Some(TransactionError::Updates(65))
        );
        block[12] = 1;
        seal(&mut block);
        assert_eq!(
            Transaction::decode(&block).err(),
            Some(TransactionError::Kind(256))
        );
        block[0] = 0;
        assert_eq!(
            Transaction::decode(&block).err(),
            Some(TransactionError::Magic)
        );
    }

    #[test]
    fn a_ring_is_replayed_from_the_oldest_to_the_newest() {
        let mut slots = vec![0; 1300];
        let mut ring = ring(&[
            Some(8),
            Some(9),
            Some(2),
            Some(3),
            Some(4),
            Some(5),
            Some(6),
            Some(7),
        ]);
        // The newest says again what the oldest said otherwise.
        ring[1] = sealed(header(9), &[(2, 200)], &[]);
        let replayed = replay_ring(&ring, &mut slots).unwrap();
        assert_eq!(
            (replayed.transactions, replayed.newest, replayed.damaged),
            (8, 9, 0)
        );
        assert_eq!(slots[..8], [100, FREE_EXTENT, 200, 103, 104, 105, 106, 107]);
    }

    #[test]
    fn numbers_wrap() {
        let mut slots = vec![0; 1300];
        let ring = ring(&[
            Some(0),
            Some(1),
            None,
            None,
            None,
            None,
            Some(u32::MAX - 1),
            Some(u32::MAX),
        ]);
        assert_eq!(replay_ring(&ring, &mut slots).unwrap().newest, 1);
    }

    #[test]
    fn rings_without_a_transaction() {
        let mut slots = [7; 4];
        let mut ring = ring(&[None; 8]);
        assert_eq!(replay_ring(&ring, &mut slots), Ok(Replayed::default()));
        assert_eq!(slots, [FREE_EXTENT; 4]);
        ring[0][100] ^= 1;
        assert_eq!(replay_ring(&ring, &mut slots).unwrap().damaged, 1);
        ring[3][100] ^= 1;
        assert_eq!(replay_ring(&ring, &mut slots), Err(ReplayError::Damaged));
        let nothing = [[0; TRANSACTION_BYTES]; 8];
        assert_eq!(replay_ring(&nothing, &mut slots), Err(ReplayError::Missing));
    }

    #[test]
    fn slots_out_of_range_are_counted() {
        let mut slots = [0; 2];
        let replayed = replay_ring(&ring(&[Some(0); 8]), &mut slots).unwrap();
        assert!(replayed.out_of_range >= 6);
    }

    proptest! {
        #[test]
        fn round_trip(
            tr_number: u32, slot_count in 1u16..0xffff, start: prop::sample::Index,
            updates in prop::collection::vec((any::<u16>(), any::<u32>()), 0..=64),
            context in prop::collection::vec(any::<u32>(), 919),
        ) {
            let context_start = start.index(usize::from(slot_count)) as u16;
            let header = Header { tr_number, slot_count, context_start, ..header(0) };
            let block = sealed(header, &updates, &context);
            let transaction = Transaction::decode(&block).unwrap();
            let update_count = updates.len() as u16;
            prop_assert_eq!(transaction.header(), Header { update_count, ..header });
            prop_assert_eq!(transaction.updates().collect::<Vec<_>>(), updates);
            let want: Vec<_> = (context_start..slot_count).zip(context).collect();
            prop_assert_eq!(transaction.context().collect::<Vec<_>>(), want);
        }

        #[test]
        fn decoding_any_bytes_is_harmless(mut bytes in prop::collection::vec(any::<u8>(), 4096)) {
            prop_assert!(Transaction::decode(&bytes).is_err());
            bytes[..4].copy_from_slice(&MAGIC.to_be_bytes());
            bytes[12..14].fill(0);
            bytes[14] = 0;
            let block: &mut Block = bytes.as_mut_slice().try_into().unwrap();
            seal(block);
            if let Ok(transaction) = Transaction::decode(block) {
                let _ = (transaction.updates().count(), transaction.context().count());
                let mut slots = [0; 100];
                let block = &*block;
                let _ = replay(AlStripes::standard(), |_| block, &mut slots);
            }
        }
    }
}
