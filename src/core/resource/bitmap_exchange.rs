// SPDX-License-Identifier: GPL-2.0-only

//! Both nodes tell each other which blocks differ: the future source first, then the target. Each ends with the union.
//!
//! A bitmap is sent run-length encoded where that is shorter, else as it is. One packet is made when the socket can take
//! it, so that no copy of the bitmap is needed.

use super::connection::DataItem;
use super::device::{BitmapExchange, Device, DeviceIndex};
use super::log::LogMessage;
use super::receive::{Head, ReceiveError, Received};
use super::Resource;
use crate::num::{u64_to_usize, usize_to_u64};
use crate::state::{Change, ConnectionState, DiskState};
use crate::wire::bitmap_code::Encoder;
use crate::wire::compressed_bitmap::CODE_RLE_VLI;
use crate::wire::{
    BitmapEncoding, BlockDescriptor, Command, HeaderFormat, Packet, Runs, BITMAP_PACKET_SIZE,
};

impl Resource<'_> {
    /// A new exchange begins. One that was given up may not have had its turn in the queue.
    pub(super) fn begin_bitmap_exchange(&mut self, index: DeviceIndex) {
        if let Some(device) = self.device_mut(index) {
            let given_up = device.exchange;
            device.exchange = BitmapExchange {
                overtaken: given_up
                    .overtaken
                    .saturating_add(u32::from(given_up.sending)),
                broken_off: given_up.broken_off || given_up.is_sent_in_part(),
                ..BitmapExchange::default()
            };
        }
    }

    /// It is the turn of our bitmap, and the exchange that it is for was given up: for another, or for none. The peer would take
    /// it for a part of the next one.
    pub(super) fn bitmap_is_outlived(&mut self, index: DeviceIndex) -> bool {
        let Some(device) = self.device_mut(index) else {
            return true;
        };
        if let Some(fewer) = device.exchange.overtaken.checked_sub(1) {
            device.exchange.overtaken = fewer;
            return true;
        }
        let exchanging = device.exchanges_bitmaps();
        if !exchanging {
            device.exchange.broken_off |= device.exchange.is_sent_in_part();
            device.exchange.sending = false;
        }
        !exchanging
    }

    /// It is the turn of our bitmap, and one before it was broken off. A peer that has not heard why would take this one for the
    /// rest of that, and its bits for those of other blocks: both connect anew. Answers whether it is so.
    pub(super) fn bitmap_was_broken_off(&mut self, index: DeviceIndex) -> bool {
        let broken_off = self
            .device(index)
            .is_some_and(|device| device.exchange.broken_off);
        if broken_off {
            self.log(index, LogMessage::BitmapBrokenOff);
            self.connection_failed(ConnectionState::NetworkFailure);
        }
        broken_off
    }

    /// Our bitmap goes out as soon as what is queued before it has gone.
    pub(super) fn queue_bitmap(&mut self, index: DeviceIndex) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        if !device.exchanges_bitmaps() || device.exchange.sending {
            return;
        }
        device.exchange.sending = true;
        device.exchange.send_position = 0;
        self.send_data(DataItem::Bitmap(index));
    }

    /// Fills `buffer` with the next packet of our bitmap: its length, and whether it was the last.
    pub(super) fn next_bitmap_packet(
        &mut self,
        index: DeviceIndex,
        buffer: &mut [u8],
    ) -> (usize, bool) {
        let agreed = self.connection.agreed_protocol;
        let use_rle = agreed >= 90
            && self
                .connection
                .conf
                .as_ref()
                .is_some_and(|conf| conf.use_rle);
        let limit = self.bitmap_payload_limit();
        let Some(device) = self.device(index) else {
            return (0, true);
        };
        let position = device.exchange.send_position;
        let (Some(disk), true) = (device.disk.as_ref(), device.exchange.sending) else {
            return (0, true);
        };
        let bits = disk.bitmap.bits();
        if use_rle && position < bits {
            // The code goes behind the header and the byte that describes it.
            let head = BITMAP_PACKET_SIZE.saturating_sub(limit).saturating_add(1);
            let runs =
                device.encode_runs(position, limit, buffer.get_mut(head..).unwrap_or(&mut []));
            if let Some((encoding, code, next)) = runs {
                let payload = u32::try_from(usize_to_u64(code)).unwrap_or(u32::MAX);
                let packet = Packet::CompressedBitmap(encoding);
                let volume = device.volume;
                if self.encode(&packet, volume, payload, buffer) != Some(head) {
                    return (0, true);
                }
                self.set_send_position(index, next);
                return (head.saturating_add(code), next >= bits);
            }
        }
        self.next_plain_packet(index, position, limit, buffer)
    }

    fn next_plain_packet(
        &mut self,
        index: DeviceIndex,
        position: u64,
        limit: usize,
        buffer: &mut [u8],
    ) -> (usize, bool) {
        let Some(device) = self.device(index) else {
            return (0, true);
        };
        let Some(disk) = device.disk.as_ref() else {
            return (0, true);
        };
        let volume = device.volume;
        let first_word = position / 64;
        let left = disk.bitmap.word_count().saturating_sub(first_word);
        let words = left.min(usize_to_u64(limit / 8));
        let bytes = u64_to_usize(words.saturating_mul(8));
        let length = u32::try_from(usize_to_u64(bytes)).unwrap_or(0);
        let Some(head) = self.encode(&Packet::Bitmap, volume, length, buffer) else {
            return (0, true);
        };
        let end = head.saturating_add(bytes);
        let Some(target) = buffer.get_mut(head..end) else {
            return (0, true);
        };
        disk_words(self, index, first_word, target);
        let next = first_word.saturating_add(words).saturating_mul(64);
        self.set_send_position(index, next);
        // The receiver counts on an empty packet at the end.
        (end, words == 0)
    }

    fn set_send_position(&mut self, index: DeviceIndex, position: u64) {
        if let Some(device) = self.device_mut(index) {
            device.exchange.send_position = position;
        }
    }

    /// What a bitmap packet can carry: both sides compute it, and must agree.
    fn bitmap_payload_limit(&self) -> usize {
        let header = HeaderFormat::for_protocol(self.connection.agreed_protocol).size();
        BITMAP_PACKET_SIZE.saturating_sub(header)
    }

    /// The last packet of our bitmap was made.
    pub(super) fn bitmap_sent(&mut self, index: DeviceIndex) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        device.exchange.sending = false;
        if device.state.connection == ConnectionState::WFBitMapT {
            let _ = self.change(
                index,
                Change::none().connection(ConnectionState::WFSyncUUID),
                false,
            );
        }
        self.bitmaps_exchanged(index);
    }

    /// The payload of a `P_BITMAP` or `P_COMPRESSED_BITMAP` packet.
    ///
    /// # Errors
    ///
    /// The bytes do not make sense: the connection is to be given up.
    pub fn receive_bitmap_bytes(
        &mut self,
        index: DeviceIndex,
        head: Head,
        fixed: &[u8],
        payload: &[u8],
    ) -> Result<Received, ReceiveError> {
        let limit = self.bitmap_payload_limit();
        let Some(device) = self.device_mut(index) else {
            return Err(ReceiveError::UnknownVolume);
        };
        if !device.exchanges_bitmaps() {
            self.bitmap_in_vain(index);
            return Ok(Received::Done);
        }
        let position = device.exchange.receive_position;
        let Some(disk) = device.disk.as_mut() else {
            return Ok(Received::Done);
        };
        let bits = disk.bitmap.bits();
        let malformed = ReceiveError::Malformed("a bitmap that does not fit");
        let finished = if head.command == Command::Bitmap {
            let first_word = position / 64;
            let left = disk.bitmap.word_count().saturating_sub(first_word);
            let words = left.min(usize_to_u64(limit / 8));
            if usize_to_u64(payload.len()) != words.saturating_mul(8) {
                return Err(malformed);
            }
            disk.bitmap
                .merge_words(first_word, payload)
                .map_err(|_| malformed)?;
            device.exchange.receive_position = first_word.saturating_add(words).saturating_mul(64);
            words == 0
        } else {
            let encoding = Packet::decode(
                head.command,
                fixed,
                self.connection.agreed_protocol,
                self.connection.features,
            );
            let Ok(Packet::CompressedBitmap(encoding)) = encoding else {
                return Err(malformed);
            };
            let Some(device) = self.device_mut(index) else {
                return Err(ReceiveError::UnknownVolume);
            };
            let next = device
                .merge_runs(encoding, payload, position, bits)
                .ok_or(malformed)?;
            device.exchange.receive_position = next;
            next >= bits
        };
        if finished {
            self.bitmap_received(index);
        }
        Ok(Received::Done)
    }

    /// The exchange was given up here before the peer knew, and what is left of it may come after a new disk. Where nothing was given
    /// up, the peer has begun an exchange alone, or anew: what it wrote in between is not in the bitmap that we took for its answer.
    fn bitmap_in_vain(&mut self, index: DeviceIndex) {
        let Some(device) = self.device(index) else {
            return;
        };
        let why = match device.state.connection {
            ConnectionState::Connected if device.state.disk >= DiskState::Inconsistent => {
                "no resync was about to begin here"
            }
            ConnectionState::WFSyncUUID if device.exchange.received => {
                "the second one for a resync"
            }
            _ => return,
        };
        self.compare_anew(index, Command::Bitmap, why);
    }

    fn bitmap_received(&mut self, index: DeviceIndex) {
        let Some(device) = self.device_mut(index) else {
            return;
        };
        device.exchange.received = true;
        device.exchange.receive_position = 0;
        if device.state.connection == ConnectionState::WFBitMapT {
            self.queue_bitmap(index);
        }
        self.bitmaps_exchanged(index);
    }

    /// The source begins when it has told everything and heard everything.
    fn bitmaps_exchanged(&mut self, index: DeviceIndex) {
        let ready = self.device(index).is_some_and(|device| {
            device.state.connection == ConnectionState::WFBitMapS
                && device.exchange.received
                && !device.exchange.sending
        });
        if ready {
            self.prepare_resync(index, ConnectionState::SyncSource);
        }
    }

    /// `P_OUT_OF_SYNC`: the source wrote a block and sends it later.
    pub(super) fn receive_out_of_sync(
        &mut self,
        index: DeviceIndex,
        block: BlockDescriptor,
    ) -> Result<Received, ReceiveError> {
        let Some(device) = self.device_mut(index) else {
            return Err(ReceiveError::UnknownVolume);
        };
        if block.size % 512 != 0 || !device.holds(block.sector, u64::from(block.size >> 9)) {
            return Err(ReceiveError::Malformed("a range outside the device"));
        }
        device.set_out_of_sync(block.sector, block.size);
        Ok(Received::Done)
    }
}

fn disk_words(resource: &Resource<'_>, index: DeviceIndex, first_word: u64, target: &mut [u8]) {
    if let Some(disk) = resource
        .device(index)
        .and_then(|device| device.disk.as_ref())
    {
        disk.bitmap.copy_words(first_word, target);
    }
}

impl BitmapExchange {
    /// Some packets of our bitmap have gone, and others have not.
    fn is_sent_in_part(&self) -> bool {
        self.sending && self.send_position > 0
    }
}

impl Device<'_> {
    fn exchanges_bitmaps(&self) -> bool {
        matches!(
            self.state.connection,
            ConnectionState::WFBitMapS | ConnectionState::WFBitMapT
        )
    }

    /// Encodes runs from `position` into `buffer`; `None` where the plain form is shorter. Answers the encoding, the
    /// bytes used, and the bit where the next packet goes on.
    fn encode_runs(
        &self,
        position: u64,
        limit: usize,
        buffer: &mut [u8],
    ) -> Option<(BitmapEncoding, usize, u64)> {
        let bitmap = &self.disk.as_ref()?.bitmap;
        let code = buffer.get_mut(..limit.checked_sub(1)?)?;
        let first_set = bitmap.test(position);
        let mut encoder = Encoder::new(code);
        let mut next = position;
        while next < bitmap.bits() {
            let run = bitmap.next_run(next)?;
            if !encoder.push_run(run.length).ok()? {
                break;
            }
            next = next.saturating_add(run.length);
        }
        let (used, pad_bits) = encoder.finish();
        let plain_bits = next.saturating_sub(position);
        if plain_bits < usize_to_u64(used).saturating_mul(8) {
            return None;
        }
        Some((
            BitmapEncoding {
                code: CODE_RLE_VLI,
                first_set,
                pad_bits,
            },
            used,
            next,
        ))
    }

    /// Merges encoded runs; answers the bit where the next packet goes on, `None` where they do not make sense.
    fn merge_runs(
        &mut self,
        encoding: BitmapEncoding,
        code: &[u8],
        position: u64,
        bits: u64,
    ) -> Option<u64> {
        let bitmap = &mut self.disk.as_mut()?.bitmap;
        let mut runs = Runs::new(encoding, code, position, bits).ok()?;
        for run in runs.by_ref() {
            let run = run.ok()?;
            if run.set {
                let last = run.start.checked_add(run.length)?.checked_sub(1)?;
                bitmap.set_range(run.start, last);
            }
        }
        Some(runs.position())
    }
}
