// SPDX-License-Identifier: GPL-2.0-only

//! Netlink attributes: bounded reading of foreign ones, writing of ours.
//!
//! An attribute is a header of two 16-bit words in the byte order of the machine, length (of header and payload) and
//! type, followed by the payload and padded to four bytes. The upper two bits of the type are flags; DRBD once used bit
//! 14 to say "refuse the request if you do not know this attribute", which is how strict parsing behaves anyway.
//!
//! C header: [`include/uapi/linux/netlink.h`](srctree/include/uapi/linux/netlink.h)

/// Bytes in the header of an attribute (`NLA_HDRLEN`).
pub const HEADER_LENGTH: usize = 4;
/// Flag in the type: the payload is a list of attributes (`NLA_F_NESTED`).
pub const FLAG_NESTED: u16 = 1 << 15;
/// The bits of the type that number the attribute (`NLA_TYPE_MASK`).
const NUMBER_MASK: u16 = 0x3fff;

/// What user space sent is not a valid netlink message; the command is answered with an errno, not with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Broken framing, unknown attribute, wrong length or missing nesting flag (`EINVAL`).
    Invalid,
    /// A text or binary attribute is longer than its field (`ERANGE`).
    TooLong,
}

impl Malformed {
    /// The negative errno for user space.
    pub const fn errno(self) -> i32 {
        match self {
            Malformed::Invalid => -22,
            Malformed::TooLong => -34,
        }
    }
}

/// One attribute of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    raw_type: u16,
    bytes: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The number of the attribute, without flags.
    pub fn number(&self) -> u16 {
        self.raw_type & NUMBER_MASK
    }

    /// Whether the sender flagged the payload as a list of attributes.
    pub fn is_nested(&self) -> bool {
        self.raw_type & FLAG_NESTED != 0
    }

    /// Header and payload, without padding: what a reply echoes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The payload.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    fn array<const N: usize>(&self) -> Result<[u8; N], Malformed> {
        self.payload.try_into().map_err(|_| Malformed::Invalid)
    }

    /// The payload as 8-bit number.
    pub fn u8(&self) -> Result<u8, Malformed> {
        self.array().map(u8::from_ne_bytes)
    }

    /// The payload as 32-bit number.
    pub fn u32(&self) -> Result<u32, Malformed> {
        self.array().map(u32::from_ne_bytes)
    }

    /// The payload as signed 32-bit number.
    pub fn i32(&self) -> Result<i32, Malformed> {
        self.array().map(i32::from_ne_bytes)
    }

    /// The payload as 64-bit number.
    pub fn u64(&self) -> Result<u64, Malformed> {
        self.array().map(u64::from_ne_bytes)
    }

    /// The payload as NUL-terminated text of at most `limit` bytes; the terminator is not part of the answer.
    pub fn text(&self, limit: usize) -> Result<&'a [u8], Malformed> {
        let end = self.payload.iter().position(|byte| *byte == 0);
        let text = self
            .payload
            .get(..end.ok_or(Malformed::Invalid)?)
            .ok_or(Malformed::Invalid)?;
        // What follows the terminator counts too: that is how the kernel checks NLA_NUL_STRING.
        let counted = self.payload.strip_suffix(&[0]).unwrap_or(self.payload);
        if text.len() > limit {
            Err(Malformed::Invalid)
        } else if counted.len() > limit {
            Err(Malformed::TooLong)
        } else {
            Ok(text)
        }
    }

    /// The payload as at most `limit` bytes.
    pub fn binary(&self, limit: usize) -> Result<&'a [u8], Malformed> {
        if self.payload.len() > limit {
            return Err(Malformed::TooLong);
        }
        Ok(self.payload)
    }

    /// The payload as list of attributes; the nesting flag must be set.
    pub fn nested(&self) -> Result<Attributes<'a>, Malformed> {
        if !self.is_nested() {
            return Err(Malformed::Invalid);
        }
        Ok(Attributes::new(self.payload))
    }
}

/// The attributes in a slice, in order. Ends after the first error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The attributes in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self) -> Result<Attribute<'a>, Malformed> {
        let all = core::mem::take(&mut self.rest);
        let (header, _) = all
            .split_first_chunk::<HEADER_LENGTH>()
            .ok_or(Malformed::Invalid)?;
        let [length_0, length_1, type_0, type_1] = *header;
        let length = usize::from(u16::from_ne_bytes([length_0, length_1]));
        let bytes = all.get(..length).ok_or(Malformed::Invalid)?;
        let payload = bytes.get(HEADER_LENGTH..).ok_or(Malformed::Invalid)?;
        // The last attribute may lack its padding.
        self.rest = all.get(aligned(length)..).unwrap_or_default();
        Ok(Attribute {
            raw_type: u16::from_ne_bytes([type_0, type_1]),
            bytes,
            payload,
        })
    }

    /// The last attribute with this number: a repetition replaces what came before.
    pub fn find(self, number: u16) -> Result<Option<Attribute<'a>>, Malformed> {
        let mut found = None;
        for attribute in self {
            let attribute = attribute?;
            if attribute.number() == number {
                found = Some(attribute);
            }
        }
        Ok(found)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some(self.take())
    }
}

const fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// The buffer is too small for the message (`EMSGSIZE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSpace;

impl NoSpace {
    /// The negative errno for user space.
    pub const fn errno(self) -> i32 {
        -90
    }
}

/// Appends attributes to a buffer. An attribute, or a nest with all that is in it, is written whole or not at all.
///
/// 64-bit values are not aligned further than to four bytes: the C driver does so only on machines that cannot load
/// unaligned words, and the engine builds for none of them.
#[derive(Debug)]
pub struct AttributeWriter<'a> {
    buffer: &'a mut [u8],
    written: usize,
}

impl<'a> AttributeWriter<'a> {
    /// Starts at the first byte of `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, written: 0 }
    }

    /// What has been written: whole attributes with their padding.
    pub fn written(&self) -> &[u8] {
        self.buffer.get(..self.written).unwrap_or_default()
    }

    /// Drops all that was written.
    pub fn clear(&mut self) {
        self.written = 0;
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), NoSpace> {
        let padded = self
            .written
            .checked_add(aligned(bytes.len()))
            .ok_or(NoSpace)?;
        let target = self.buffer.get_mut(self.written..padded).ok_or(NoSpace)?;
        let (data, padding) = target.split_at_mut_checked(bytes.len()).ok_or(NoSpace)?;
        data.copy_from_slice(bytes);
        padding.fill(0);
        self.written = padded;
        Ok(())
    }

    fn header(&mut self, at: usize, raw_type: u16, length: usize) -> Result<(), NoSpace> {
        let length = u16::try_from(length).map_err(|_| NoSpace)?;
        let [length_0, length_1] = length.to_ne_bytes();
        let [type_0, type_1] = raw_type.to_ne_bytes();
        self.buffer
            .get_mut(at..)
            .and_then(|rest| rest.first_chunk_mut::<HEADER_LENGTH>())
            .map(|header| *header = [length_0, length_1, type_0, type_1])
            .ok_or(NoSpace)
    }

    /// Runs `write`, and takes back what it wrote when it fails.
    fn whole(
        &mut self,
        write: impl FnOnce(&mut Self, usize) -> Result<(), NoSpace>,
    ) -> Result<(), NoSpace> {
        let start = self.written;
        let result = write(self, start);
        if result.is_err() {
            self.written = start;
        }
        result
    }

    fn nest_with_type(
        &mut self,
        raw_type: u16,
        fill: impl FnOnce(&mut Self) -> Result<(), NoSpace>,
    ) -> Result<(), NoSpace> {
        self.whole(|writer, start| {
            writer.append(&[0; HEADER_LENGTH])?;
            fill(writer)?;
            let length = writer.written.checked_sub(start).ok_or(NoSpace)?;
            writer.header(start, raw_type, length)
        })
    }

    /// Appends a list of attributes that `fill` writes, with the nesting flag.
    pub fn nest(
        &mut self,
        number: u16,
        fill: impl FnOnce(&mut Self) -> Result<(), NoSpace>,
    ) -> Result<(), NoSpace> {
        self.nest_with_type(number | FLAG_NESTED, fill)
    }

    /// Appends a list of attributes that `fill` writes, without the nesting flag: the older form, which the C driver
    /// still uses for some groups.
    pub fn nest_without_flag(
        &mut self,
        number: u16,
        fill: impl FnOnce(&mut Self) -> Result<(), NoSpace>,
    ) -> Result<(), NoSpace> {
        self.nest_with_type(number, fill)
    }

    /// Appends raw bytes as payload.
    pub fn binary(&mut self, number: u16, payload: &[u8]) -> Result<(), NoSpace> {
        self.whole(|writer, start| {
            writer.append(&[0; HEADER_LENGTH])?;
            writer.append(payload)?;
            let length = HEADER_LENGTH.checked_add(payload.len()).ok_or(NoSpace)?;
            writer.header(start, number, length)
        })
    }

    /// Appends a number in 8 bits.
    pub fn u8(&mut self, number: u16, value: u8) -> Result<(), NoSpace> {
        self.binary(number, &value.to_ne_bytes())
    }

    /// Appends a flag, which DRBD sends as number 0 or 1 in 8 bits.
    pub fn flag(&mut self, number: u16, value: bool) -> Result<(), NoSpace> {
        self.u8(number, u8::from(value))
    }

    /// Appends a number in 32 bits.
    pub fn u32(&mut self, number: u16, value: u32) -> Result<(), NoSpace> {
        self.binary(number, &value.to_ne_bytes())
    }

    /// Appends a signed number in 32 bits.
    pub fn i32(&mut self, number: u16, value: i32) -> Result<(), NoSpace> {
        self.binary(number, &value.to_ne_bytes())
    }

    /// Appends a number in 64 bits.
    pub fn u64(&mut self, number: u16, value: u64) -> Result<(), NoSpace> {
        self.binary(number, &value.to_ne_bytes())
    }

    /// Appends text, with the terminating NUL that user space expects. The text must not contain one.
    pub fn text(&mut self, number: u16, text: &[u8]) -> Result<(), NoSpace> {
        self.whole(|writer, start| {
            let length = HEADER_LENGTH
                .checked_add(text.len())
                .and_then(|length| length.checked_add(1))
                .ok_or(NoSpace)?;
            let end = start.checked_add(aligned(length)).ok_or(NoSpace)?;
            let target = writer.buffer.get_mut(start..end).ok_or(NoSpace)?;
            target.fill(0);
            target
                .get_mut(HEADER_LENGTH..)
                .and_then(|payload| payload.get_mut(..text.len()))
                .ok_or(NoSpace)?
                .copy_from_slice(text);
            writer.written = end;
            writer.header(start, number, length)
        })
    }

    /// Appends an attribute as it came: header and payload.
    pub fn echo(&mut self, attribute: &Attribute<'_>) -> Result<(), NoSpace> {
        self.append(attribute.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn writes_the_bytes_of_the_kernel() {
        let mut buffer = [0xff; 64];
        let mut writer = AttributeWriter::new(&mut buffer);
        writer
            .nest(3, |writer| {
                writer.u8(1, 7)?;
                writer.text(2, b"r0")
            })
            .unwrap();
        let expected: Vec<u8> = [
            &20u16.to_ne_bytes()[..],
            &0x8003u16.to_ne_bytes(),
            &5u16.to_ne_bytes(),
            &1u16.to_ne_bytes(),
            &[7, 0, 0, 0],
            &7u16.to_ne_bytes(),
            &2u16.to_ne_bytes(),
            b"r0\0\0",
        ]
        .concat();
        assert_eq!(writer.written(), expected);
    }

    #[test]
    fn a_full_buffer_keeps_what_was_whole() {
        let mut buffer = [0; 20];
        let mut writer = AttributeWriter::new(&mut buffer);
        writer.u32(1, 1).unwrap();
        assert_eq!(
            writer.nest(2, |writer| {
                writer.u32(1, 2)?;
                writer.u32(2, 3)
            }),
            Err(NoSpace)
        );
        assert_eq!(writer.written().len(), 8);
        assert_eq!(writer.text(3, b"12345678"), Err(NoSpace));
        assert_eq!(writer.text(3, b"1234567"), Ok(()));
        assert_eq!(writer.written().len(), 20);
    }

    #[test]
    fn text_must_be_terminated_and_fit() {
        let text = |bytes: &[u8], limit| {
            let mut buffer = [0; 64];
            let mut writer = AttributeWriter::new(&mut buffer);
            writer.binary(1, bytes).unwrap();
            let attribute = Attributes::new(writer.written()).next().unwrap().unwrap();
            attribute.text(limit).map(|text| text.to_vec())
        };
        assert_eq!(text(b"abc\0", 3), Ok(b"abc".to_vec()));
        assert_eq!(text(b"abc", 3), Err(Malformed::Invalid));
        assert_eq!(text(b"", 3), Err(Malformed::Invalid));
        assert_eq!(text(b"\0", 3), Ok(b"".to_vec()));
        assert_eq!(text(b"abcd\0", 3), Err(Malformed::Invalid));
        assert_eq!(text(b"ab\0cd\0", 3), Err(Malformed::TooLong));
    }

    #[test]
    fn framing_errors_end_the_list() {
        for bytes in [
            &[1, 0, 0][..],
            &[3, 0, 1, 0],
            &[9, 0, 1, 0, 0, 0, 0, 0],
            &[4, 0, 1, 0, 0],
        ] {
            let mut attributes = Attributes::new(bytes);
            assert!(attributes.any(|attribute| attribute == Err(Malformed::Invalid)));
            assert_eq!(attributes.next(), None);
        }
        // The padding of the last attribute may be missing.
        let short = [5u16.to_ne_bytes(), 1u16.to_ne_bytes()].concat();
        let short = [&short[..], &[9]].concat();
        let mut attributes = Attributes::new(&short);
        assert_eq!(attributes.next().unwrap().unwrap().u8(), Ok(9));
        assert_eq!(attributes.next(), None);
    }

    #[test]
    fn flags_are_not_part_of_the_number() {
        let bytes = [4u16.to_ne_bytes(), 0xc002u16.to_ne_bytes()].concat();
        let attribute = Attributes::new(&bytes).next().unwrap().unwrap();
        assert_eq!(attribute.number(), 2);
        assert!(attribute.is_nested());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut count = 0;
            for attribute in Attributes::new(&bytes) {
                count += 1;
                if let Ok(attribute) = attribute {
                    let _ = (attribute.u8(), attribute.u32(), attribute.u64(), attribute.text(8));
                    for _ in attribute.nested().into_iter().flatten() {}
                }
            }
            prop_assert!(count <= bytes.len() / HEADER_LENGTH + 1);
        }

        #[test]
        fn what_is_written_is_read(
            list in proptest::collection::vec((1u16..0x3fff, proptest::collection::vec(any::<u8>(), 0..40)), 0..20)
        ) {
            let mut buffer = [0; 2000];
            let mut writer = AttributeWriter::new(&mut buffer);
            for (number, payload) in &list {
                writer.binary(*number, payload).unwrap();
            }
            let read: Vec<_> = Attributes::new(writer.written())
                .map(|attribute| attribute.map(|a| (a.number(), a.payload().to_vec())).unwrap())
                .collect();
            prop_assert_eq!(read, list);
        }
    }
}
