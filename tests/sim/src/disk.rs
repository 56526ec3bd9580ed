// SPDX-License-Identifier: GPL-2.0-only

//! A disk: sectors with a volatile cache in front, and an area with metadata.
//!
//! A sector holds a number that names the write which wrote it. What was written stays in the cache until a flush; a
//! crash throws away any part of it.

use crate::rng::Rng;

/// A disk that outlives crashes of its node.
pub struct Disk {
    /// What survives the loss of power.
    durable: Vec<u64>,
    /// What reads see.
    current: Vec<u64>,
    /// Written and not flushed, in the order in which it was done: when, sector, value.
    cache: Vec<(u64, u32, u64)>,
    clock: u64,
    /// Sectors read and written since the disk exists.
    pub done: u64,
    /// The metadata area, as bytes from `meta_first`.
    pub meta: Vec<u8>,
    /// The sector on the metadata device where `meta` begins.
    pub meta_first: u64,
    /// Metadata lies on the same device: writing it flushes the data too.
    pub internal: bool,
    /// Sectors of the whole device, metadata included where it is internal.
    pub device_sectors: u64,
    pub volatile: bool,
}

impl Disk {
    pub fn new(device_sectors: u64, internal: bool, volatile: bool) -> Self {
        Self {
            durable: vec![0; device_sectors as usize],
            current: vec![0; device_sectors as usize],
            cache: Vec::new(),
            clock: 0,
            done: 0,
            meta: Vec::new(),
            meta_first: 0,
            internal,
            device_sectors,
            volatile,
        }
    }

    /// What reads see.
    pub fn look(&self, sector: u64, sectors: u64) -> &[u64] {
        &self.current[sector as usize..(sector + sectors) as usize]
    }

    /// What a read of one sector sees; nothing beyond the end.
    pub fn value(&self, sector: u64) -> Option<u64> {
        self.current.get(sector as usize).copied()
    }

    pub fn read(&self, sector: u64, sectors: u64) -> Vec<u64> {
        self.look(sector, sectors).to_vec()
    }

    /// Fills the disk with what was there before it was ever used for replication.
    pub fn scribble(&mut self, value: impl Fn(u64) -> u64) {
        for sector in 0..self.current.len() {
            self.current[sector] = value(sector as u64);
            self.durable[sector] = self.current[sector];
        }
    }

    pub fn write(&mut self, sector: u64, values: &[u64], durable: bool) {
        self.clock += 1;
        for (offset, value) in values.iter().enumerate() {
            let at = sector as usize + offset;
            self.current[at] = *value;
            if self.volatile {
                self.cache.push((self.clock, at as u32, *value));
            } else {
                self.durable[at] = *value;
            }
        }
        if self.volatile && durable {
            let (first, last) = (sector as u32, sector as u32 + values.len() as u32);
            for (offset, value) in values.iter().enumerate() {
                self.durable[sector as usize + offset] = *value;
            }
            self.cache.retain(|(_, at, _)| *at < first || *at >= last);
        }
    }

    /// A sector is not what was written there. Of what the cache had for it, nothing is left.
    pub fn change_silently(&mut self, sector: u64, value: u64) {
        self.current[sector as usize] = value;
        self.durable[sector as usize] = value;
        self.cache.retain(|(_, at, _)| u64::from(*at) != sector);
    }

    /// The moment that a flush which begins now covers.
    pub fn now(&self) -> u64 {
        self.clock
    }

    /// What was written up to `moment` is durable.
    pub fn flush(&mut self, moment: u64) {
        let mut kept = Vec::new();
        for entry in std::mem::take(&mut self.cache) {
            if entry.0 <= moment {
                self.durable[entry.1 as usize] = entry.2;
            } else {
                kept.push(entry);
            }
        }
        self.cache = kept;
    }

    /// The power goes. Of what was not flushed, some made it. Answers the sectors that now hold something older,
    /// and what they held.
    pub fn lose_power(&mut self, rng: &mut Rng) -> Vec<(u64, u64)> {
        let survival = *rng.pick(&[0, 20, 50, 90, 100]);
        for (_, sector, value) in std::mem::take(&mut self.cache) {
            if rng.chance(survival) {
                self.durable[sector as usize] = value;
            }
        }
        let mut lost = Vec::new();
        for (sector, value) in self.durable.iter().enumerate() {
            if self.current[sector] != *value {
                let before = std::mem::replace(&mut self.current[sector], *value);
                lost.push((sector as u64, before));
            }
        }
        lost
    }

    pub fn read_meta(&self, sector: u64, bytes: usize) -> &[u8] {
        let at = ((sector - self.meta_first) * 512) as usize;
        &self.meta[at..at + bytes]
    }

    pub fn write_meta(&mut self, sector: u64, bytes: &[u8]) {
        let at = ((sector - self.meta_first) * 512) as usize;
        self.meta[at..at + bytes.len()].copy_from_slice(bytes);
    }
}
