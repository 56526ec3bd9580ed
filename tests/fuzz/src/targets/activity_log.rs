// SPDX-License-Identifier: GPL-2.0-only

//! Blocks of the activity log, and a ring of them. A block that is given without a right checksum gets one when the first
//! byte says so: no fuzzer would find it. Bytes: that, how often the ring has a hole, then blocks, each by its length (a
//! word of two bytes) and its first bytes; the rest of a block is free.

use drbd_core::meta::layout::AlStripes;
use drbd_core::meta::transaction::{
    encode, replay, seal, Kind, Transaction, FREE_EXTENT, TRANSACTION_BYTES,
    UPDATES_PER_TRANSACTION,
};

use super::Source;

type Block = [u8; TRANSACTION_BYTES];

pub fn run(data: &[u8]) {
    let mut source = Source(data);
    let sealed = source.byte() & 1 == 1;
    let stripes = AlStripes::new(1 + u32::from(source.byte() % 4), 8).expect("a possible ring");
    let mut ring: Vec<Block> = Vec::new();
    while !source.is_empty() && ring.len() < stripes.blocks() as usize {
        let length = usize::from(u16::from_le_bytes(source.array())) % (TRANSACTION_BYTES + 1);
        let bytes = source.bytes(length);
        let mut block = [0xff; TRANSACTION_BYTES];
        block[..bytes.len()].copy_from_slice(bytes);
        if sealed {
            seal(&mut block);
        }
        one_block(&block);
        ring.push(block);
    }
    if ring.is_empty() {
        return;
    }
    let empty = [0; TRANSACTION_BYTES];
    let read = |block: u32| {
        ring.get(block as usize)
            .map_or(&empty[..], |block| &block[..])
    };
    let mut slots = vec![7; 300];
    if let Ok(found) = replay(stripes, read, &mut slots) {
        assert!(found.transactions + found.damaged <= stripes.blocks());
        if found.transactions == 0 {
            assert!(slots.iter().all(|extent| *extent == FREE_EXTENT));
        }
    }
}

fn one_block(block: &Block) {
    assert!(Transaction::decode(&block[1..]).is_err());
    let Ok(transaction) = Transaction::decode(block) else {
        return;
    };
    let header = transaction.header();
    let updates: Vec<_> = transaction.updates().collect();
    let context: Vec<_> = transaction.context().collect();
    assert_eq!(updates.len(), usize::from(header.update_count));
    assert!(updates.len() <= UPDATES_PER_TRANSACTION);
    assert!(context.iter().all(|(slot, _)| *slot < header.slot_count));
    let mut again = [0; TRANSACTION_BYTES];
    encode(
        &mut again,
        header,
        updates.iter().copied(),
        context.iter().map(|(_, extent)| *extent),
    );
    seal(&mut again);
    let second = Transaction::decode(&again).expect("our own transaction");
    assert_eq!(second.header(), header);
    assert!(second.updates().eq(updates.iter().copied()));
    assert!(second.context().eq(context.iter().copied()));
    assert_ne!(
        header.kind == Kind::Update,
        header.kind == Kind::Initialized
    );
}
