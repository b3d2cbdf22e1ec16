// SPDX-License-Identifier: Apache-2.0
//! Reading bytes that may stop anywhere.
//!
//! In: a slice. Out: parts of it, or [`Unreadable::Cut`] with the name of the part that is missing. A failed read
//! takes nothing. Copies nothing, never panics.

use crate::Unreadable;

/// A place in bytes, from which they are read forward.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Begins at the first of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes, which are `what`.
    pub fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Unreadable::Cut(what))?;
        self.rest = rest;
        Ok(taken)
    }

    /// Passes over at most `len` bytes; says over how many.
    pub fn skip(&mut self, len: u64) -> u64 {
        let here = count(self.rest);
        let skipped = len.min(here);
        let at = usize::try_from(skipped).unwrap_or(usize::MAX);
        self.rest = self.rest.get(at..).unwrap_or_default();
        skipped
    }

    /// The bytes before the next `end`, which are `what`; `end` is read too.
    pub fn until(&mut self, end: u8, what: &'static str) -> Result<&'a [u8], Unreadable> {
        let at = memchr::memchr(end, self.rest).ok_or(Unreadable::Cut(what))?;
        let found = self.take(at, what)?;
        self.skip(1);
        Ok(found)
    }

    /// The bytes before the next LF or CR LF, which are `what`; the line's end is read too.
    pub fn line(&mut self, what: &'static str) -> Result<&'a [u8], Unreadable> {
        let line = self.until(b'\n', what)?;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// The next byte, which is `what`.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Unreadable> {
        self.array(what).map(|[byte]| byte)
    }

    /// The next two bytes, most significant first, which are `what`.
    pub fn u16_be(&mut self, what: &'static str) -> Result<u16, Unreadable> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// The next four bytes, most significant first, which are `what`.
    pub fn u32_be(&mut self, what: &'static str) -> Result<u32, Unreadable> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// The next eight bytes, most significant first, which are `what`.
    pub fn u64_be(&mut self, what: &'static str) -> Result<u64, Unreadable> {
        self.array(what).map(u64::from_be_bytes)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Unreadable> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Unreadable::Cut(what))?;
        self.rest = rest;
        Ok(*taken)
    }
}

/// How many bytes there are.
pub(crate) fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_part_is_named_and_nothing_is_taken() {
        let mut cursor = Cursor::new(b"\x01\x02\x03");
        assert_eq!(cursor.u16_be("length"), Ok(0x0102));
        assert_eq!(cursor.u16_be("port"), Err(Unreadable::Cut("port")));
        assert_eq!(cursor.u32_be("address"), Err(Unreadable::Cut("address")));
        assert_eq!(cursor.take(2, "name"), Err(Unreadable::Cut("name")));
        assert_eq!(cursor.until(0, "text"), Err(Unreadable::Cut("text")));
        assert_eq!((cursor.u8("kind"), cursor.is_empty()), (Ok(3), true));
        assert_eq!(cursor.u8("kind"), Err(Unreadable::Cut("kind")));
    }

    #[test]
    fn lines_end_with_or_without_carriage_return() {
        let mut cursor = Cursor::new(b"a\r\nb\n\nc");
        let lines: Vec<_> = std::iter::from_fn(|| cursor.line("line").ok()).collect();
        assert_eq!(lines, [&b"a"[..], b"b", b""]);
        assert_eq!(cursor.rest(), b"c");
    }

    #[test]
    fn more_than_there_is_cannot_be_skipped() {
        let mut cursor = Cursor::new(b"abc");
        assert_eq!((cursor.skip(2), cursor.skip(u64::MAX), cursor.skip(1)), (2, 1, 0));
        let mut eight = Cursor::new(&[0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(eight.u64_be("number"), Ok(256));
    }
}
