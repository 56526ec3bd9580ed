// SPDX-License-Identifier: GPL-2.0-only

//! Short text without allocation.

use core::fmt::{
    self,
    Write, //
};

/// Up to `N` bytes of text, in place. Never contains a NUL; need not be UTF-8, for a path need not be.
///
/// # Invariants
///
/// `length <= N`, and the bytes from `length` on are zero, so that equal texts compare equal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<const N: usize> {
    length: usize,
    bytes: [u8; N],
}

impl<const N: usize> Text<N> {
    /// No text.
    pub const EMPTY: Self = Self {
        length: 0,
        bytes: [0; N],
    };

    /// The text, unless it is longer than `N` bytes or contains a NUL.
    pub fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; N];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        if text.contains(&0) {
            return None;
        }
        Some(Self {
            length: text.len(),
            bytes,
        })
    }

    /// As much of the text as fits, up to the first NUL.
    pub fn truncated(text: &[u8]) -> Self {
        let text = text.get(..N).unwrap_or(text);
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        Self::new(text).unwrap_or(Self::EMPTY)
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(self.as_bytes()).ok()
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Writes what fits and drops the rest: messages for people are cut, not refused.
impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars().filter(|character| *character != '\0') {
            let mut utf8 = [0; 4];
            let encoded = character.encode_utf8(&mut utf8).as_bytes();
            let Some(end) = self.length.checked_add(encoded.len()) else {
                return Ok(());
            };
            let Some(target) = self.bytes.get_mut(self.length..end) else {
                return Ok(());
            };
            target.copy_from_slice(encoded);
            self.length = end;
        }
        Ok(())
    }
}

/// A secret of up to 63 bytes (`SHARED_SECRET_MAX` with its terminator), which never shows itself in logs.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Secret(Text<63>);

impl Secret {
    /// No secret.
    pub const EMPTY: Self = Self(Text::EMPTY);

    /// The secret. A 64th byte, which user space lets pass, is dropped as the C driver drops it: both nodes must compute
    /// the same digest from the same configuration file.
    pub fn new(text: &[u8]) -> Self {
        Self(Text::truncated(text))
    }

    /// The bytes to authenticate with.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn holds_what_fits() {
        assert_eq!(Text::<3>::new(b"abc").unwrap().as_bytes(), b"abc");
        assert_eq!(Text::<3>::new(b"abcd"), None);
        assert_eq!(Text::<3>::new(b"a\0"), None);
        assert_eq!(Text::<3>::truncated(b"abcd").to_string(), "abc");
        assert_eq!(Text::<8>::truncated(b"ab\0cd").to_string(), "ab");
        assert_eq!(Text::<8>::new(b"a\xffb").unwrap().to_string(), "a\u{fffd}b");
        let mut text = Text::<4>::EMPTY;
        write!(text, "{}345", 12).unwrap();
        assert_eq!(text.as_str(), Some("1234"));
    }

    #[test]
    fn a_secret_is_cut_and_hidden() {
        let secret = Secret::new(&[b'x'; 64]);
        assert_eq!(secret.as_bytes().len(), 63);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
