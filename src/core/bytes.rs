// SPDX-License-Identifier: GPL-2.0-only

//! Bounded readers and writers of big-endian bytes.
//!
//! All foreign bytes (wire, disk, user space) pass through these two types: neither can read or write outside its
//! slice, and neither panics.

/// The bytes ended before the value did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated;

/// Reads big-endian values from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The number of bytes that have not been read.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes the next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Truncated> {
        let (front, rest) = self.rest.split_at_checked(count).ok_or(Truncated)?;
        self.rest = rest;
        Ok(front)
    }

    /// Takes the next `N` bytes by value.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (front, rest) = self.rest.split_first_chunk::<N>().ok_or(Truncated)?;
        self.rest = rest;
        Ok(*front)
    }

    /// Takes all that is left.
    pub fn take_rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Takes one byte.
    pub fn u8(&mut self) -> Result<u8, Truncated> {
        self.array().map(u8::from_be_bytes)
    }

    /// Takes a big-endian 16-bit value.
    pub fn u16(&mut self) -> Result<u16, Truncated> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes a big-endian 32-bit value.
    pub fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes a big-endian 64-bit value.
    pub fn u64(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_be_bytes)
    }
}

/// Writes big-endian values to the front of a slice and counts what was written.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    written: usize,
}

impl<'a> Writer<'a> {
    /// Starts at the first byte of `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, written: 0 }
    }

    /// The number of bytes written.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Appends `bytes`; writes nothing at all where they do not fit.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Truncated> {
        let end = self.written.checked_add(bytes.len()).ok_or(Truncated)?;
        let target = self.buffer.get_mut(self.written..end).ok_or(Truncated)?;
        target.copy_from_slice(bytes);
        self.written = end;
        Ok(())
    }

    /// Appends `count` zero bytes.
    pub fn zeroes(&mut self, count: usize) -> Result<(), Truncated> {
        let end = self.written.checked_add(count).ok_or(Truncated)?;
        self.buffer
            .get_mut(self.written..end)
            .ok_or(Truncated)?
            .fill(0);
        self.written = end;
        Ok(())
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> Result<(), Truncated> {
        self.bytes(&[value])
    }

    /// Appends a big-endian 16-bit value.
    pub fn u16(&mut self, value: u16) -> Result<(), Truncated> {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends a big-endian 32-bit value.
    pub fn u32(&mut self, value: u32) -> Result<(), Truncated> {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends a big-endian 64-bit value.
    pub fn u64(&mut self, value: u64) -> Result<(), Truncated> {
        self.bytes(&value.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_was_written() {
        let mut buffer = [0xff; 16];
        let mut writer = Writer::new(&mut buffer);
        writer.u8(1).unwrap();
        writer.u16(0x0203).unwrap();
        writer.u32(0x0405_0607).unwrap();
        writer.u64(8).unwrap();
        assert_eq!(writer.written(), 15);
        assert_eq!(writer.u16(0), Err(Truncated));
        assert_eq!(writer.written(), 15);

        let mut reader = Reader::new(&buffer);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(0x0203));
        assert_eq!(reader.u32(), Ok(0x0405_0607));
        assert_eq!(reader.u64(), Ok(8));
        assert_eq!(reader.u16(), Err(Truncated));
        assert_eq!(reader.remaining(), 1);
    }
}
